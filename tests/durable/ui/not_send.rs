use std::rc::Rc;

use agentcore::{BoxError, async_task};

#[async_task(durable)]
async fn transcribe() -> Result<(), BoxError> {
    let local = Rc::new(1);
    std::future::ready(()).await;
    drop(local);
    Ok(())
}

fn main() {}
