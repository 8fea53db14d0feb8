use agentcore::Error;

#[agentcore::entrypoint]
async fn handler(number: String) -> Result<u32, Error> {
    Ok(number.parse()?)
}
