#[agentcore::entrypoint]
async fn handler(_: Vec<_>) {}
