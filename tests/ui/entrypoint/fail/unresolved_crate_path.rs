#[agentcore::entrypoint(crate = ::agent::core)]
async fn handler(event: String) -> String {
    event
}
