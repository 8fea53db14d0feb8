#[agentcore::async_task]
#[agentcore::entrypoint]
async fn handler(event: String) -> String {
    event
}
