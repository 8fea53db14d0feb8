use agentcore::async_task;

#[async_task(main = false)]
async fn one() {}

#[async_task(timeot = "1s", name, name = "two")]
async fn two() {}

fn main() {}
