#[agentcore::entrypoint]
unsafe extern "C" fn handler(event: String) -> String {
    event
}
