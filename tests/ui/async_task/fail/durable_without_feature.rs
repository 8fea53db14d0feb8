use agentcore::async_task;

#[async_task(durable)]
async fn work() -> Result<(), String> {
    Ok(())
}

fn main() {}
