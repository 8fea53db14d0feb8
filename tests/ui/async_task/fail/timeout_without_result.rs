use agentcore::async_task;

#[async_task(timeout = "2h")]
async fn nothing() {}

#[async_task(timeout = "2h")]
async fn number() -> Option<u32> {
    None
}

fn main() {}
