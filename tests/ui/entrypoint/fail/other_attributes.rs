#[agentcore::entrypoint]
#[tokio::main]
async fn handler(event: String) -> String {
    event
}

#[agentcore::entrypoint(main = false)]
#[agentcore::entrypoint(main = false)]
#[test]
async fn twice(event: String) -> String {
    event
}

#[agentcore::entrypoint(main = false)]
#[agentcore::async_task]
async fn counted(event: String) -> String {
    event
}

#[agentcore::entrypoint(main = false)]
#[agentcore::ping]
fn both() -> agentcore::PingStatus {
    agentcore::PingStatus::Healthy
}
