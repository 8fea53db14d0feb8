#[agentcore::entrypoint(name = "chat", name = "talk")]
async fn handler(event: String) -> String {
    event
}
