//! The future of a task is `Send` if its body is.

#[agentcore::async_task]
async fn work(input: String) -> usize {
    tokio::task::yield_now().await;
    input.len()
}

fn main() {
    fn spawn(_: impl Future + Send + 'static) {}
    spawn(work(String::new()));
}
