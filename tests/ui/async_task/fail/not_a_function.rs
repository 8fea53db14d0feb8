#[agentcore::async_task]
trait Work {}

fn main() {}
