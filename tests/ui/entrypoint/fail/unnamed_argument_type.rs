#[agentcore::entrypoint]
async fn handler(event: impl Into<String>, _: Vec<impl Send>) -> String {
    event.into()
}
