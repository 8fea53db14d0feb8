use std::error::Error;

#[agentcore::entrypoint]
async fn handler(number: String) -> Result<u32, Box<dyn Error>> {
    Ok(number.parse()?)
}
