#![deny(unused_must_use)]

use agentcore::{BoxError, async_task};

#[async_task(durable)]
async fn work() -> Result<(), BoxError> {
    Ok(())
}

fn main() {
    work();
}
