#[agentcore::entrypoint("chat", main, name("chat"),,)]
async fn handler(event: String) -> String {
    event
}
