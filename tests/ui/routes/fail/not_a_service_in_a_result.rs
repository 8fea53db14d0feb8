#[agentcore::routes]
fn web() -> Result<u32, agentcore::BoxError> {
    Ok(1)
}

fn main() {}
