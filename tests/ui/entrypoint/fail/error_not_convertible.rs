struct Failure;

#[agentcore::entrypoint]
async fn handler(_: String) -> Result<String, Failure> {
    Err(Failure)
}
