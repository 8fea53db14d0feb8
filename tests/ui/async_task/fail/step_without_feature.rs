#[agentcore::step]
async fn fetch() -> Result<(), String> {
    Ok(())
}

fn main() {}
