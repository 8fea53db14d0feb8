#[agentcore::entrypoint]
async fn handler(event: String) -> String {
    yield event.clone();
    event
}
