use agentcore::async_task;

#[async_task(attempts = 5, deadline = "1d", concurrency = 4)]
async fn work() {}

fn main() {}
