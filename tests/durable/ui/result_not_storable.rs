use agentcore::{BoxError, async_task};

#[derive(serde::Deserialize)]
struct Report;

struct Failure;

#[async_task(durable)]
async fn transcribe() -> Result<Report, BoxError> {
    Ok(Report)
}

#[async_task(durable)]
async fn index() -> Result<(), Failure> {
    Err(Failure)
}

fn main() {}
