#[agentcore::tool(crate = nowhere::agentcore)]
async fn forecast() {}

fn main() {}
