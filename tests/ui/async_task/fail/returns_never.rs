#[agentcore::async_task]
async fn work() -> ! {
    loop {}
}

fn main() {}
