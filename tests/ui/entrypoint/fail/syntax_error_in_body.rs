#[agentcore::entrypoint]
async fn handler(event: String) -> String {
    let = event;
    event
}
