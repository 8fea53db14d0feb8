use agentcore::{BoxError, HttpError};
use serde_json::Value;

#[derive(Debug)]
struct Failure;

#[agentcore::entrypoint]
async fn handler(event: Value) -> Result<u32, HttpError> {
    let text = event["count"].as_str().ok_or("`count` is missing")?;
    let count: u32 = text.parse()?;
    lookup(count)?;
    let failed: HttpError = Failure.into();
    boxed()?;
    Err(failed)
}

fn lookup(_: u32) -> Result<(), Failure> {
    Err(Failure)
}

fn boxed() -> Result<(), BoxError> {
    Ok(())
}
