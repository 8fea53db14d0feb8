struct Failure;

#[agentcore::async_task(timeout = "2h")]
async fn work() -> Result<u32, Failure> {
    Ok(1)
}

fn main() {}
