use agentcore::{BoxError, async_task};

#[async_task(durable)]
async fn generic<T: Send>(value: T) -> Result<(), BoxError> {
    drop(value);
    Ok(())
}

#[async_task(durable)]
async fn borrows(text: &str, parts: &[u8]) -> Result<(), BoxError> {
    let _ = (text, parts);
    Ok(())
}

struct Agent;

impl Agent {
    #[async_task(durable)]
    async fn method(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

#[async_task(durable)]
fn blocks() -> Result<(), BoxError> {
    Ok(())
}

#[async_task(durable)]
async fn pattern((a, b): (u8, u8)) -> Result<u8, BoxError> {
    Ok(a + b)
}

#[async_task(durable)]
async fn cannot_fail() {}

#[async_task(durable = true, attempts = 0, name = "speech to text")]
async fn arguments() -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
