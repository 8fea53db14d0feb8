#[agentcore::tool]
#[agentcore::tool]
async fn twice() {}

#[agentcore::tool]
#[agentcore::async_task]
async fn task() {}

#[agentcore::tool]
#[agentcore::entrypoint(main = false)]
async fn entrypoint() {}

#[agentcore::tool]
#[tokio::main]
async fn runtime() {}

#[agentcore::tool]
#[tokio::test]
async fn test() {}

fn main() {}
