#[agentcore::entrypoint]
async fn handler(event: String, _: agentcore::HeaderMap, _: Vec<u32>) -> String {
    event
}
