#[agentcore::entrypoint]
async fn first(event: String) -> String {
    event
}

#[agentcore::entrypoint]
async fn second(event: String) -> String {
    event
}
