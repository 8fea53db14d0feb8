#[agentcore::ping]
fn health() {}

fn main() {}
