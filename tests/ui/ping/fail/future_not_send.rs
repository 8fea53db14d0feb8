use std::rc::Rc;

use agentcore::PingStatus;

#[agentcore::ping]
async fn health() -> PingStatus {
    let status = Rc::new(PingStatus::Healthy);
    tokio::task::yield_now().await;
    *status
}

fn main() {}
