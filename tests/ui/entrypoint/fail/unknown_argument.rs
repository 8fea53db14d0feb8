#[agentcore::entrypoint(nam = "chat", retries = 3)]
async fn handler(event: String) -> String {
    event
}
