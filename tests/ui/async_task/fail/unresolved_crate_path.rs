#[agentcore::async_task(crate = ::agent::core)]
async fn work() {}

fn main() {}
