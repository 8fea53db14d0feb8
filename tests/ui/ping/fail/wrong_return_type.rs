#[agentcore::ping]
fn health() -> bool {
    true
}

#[agentcore::ping]
async fn fallible() -> Result<Option<bool>, std::fmt::Error> {
    Ok(None)
}

fn main() {}
