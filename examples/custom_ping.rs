//! A status of one's own: busy while a queue elsewhere holds work, whatever runs here.
//!
//! ```text
//! cargo run --example custom_ping
//! curl localhost:8080/ping
//! curl -X POST localhost:8080/invocations -d '{"queue": 3}'
//! curl localhost:8080/ping
//! ```
//!
//! The second ping says `HealthyBusy`, with nothing running. A handler that fails, or takes longer than 250 ms, leaves
//! the automatic status standing.

use std::sync::atomic::{AtomicU32, Ordering};

use agentcore::{PingStatus, async_task_info, entrypoint, ping};
use serde::Deserialize;

static QUEUE: AtomicU32 = AtomicU32::new(0);

#[derive(Deserialize)]
struct Request {
    queue: u32,
}

#[ping]
fn health() -> PingStatus {
    let waiting = QUEUE.load(Ordering::Relaxed) > 0;
    let running = async_task_info().active_count > 0;
    if waiting || running {
        PingStatus::HealthyBusy
    } else {
        PingStatus::Healthy
    }
}

#[entrypoint]
async fn handler(request: Request) -> u32 {
    QUEUE.store(request.queue, Ordering::Relaxed);
    request.queue
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::json;

    #[tokio::test]
    async fn the_queue_decides() {
        let agent = TestClient::from_registry().await.unwrap();
        assert!(!agent.ping().await.status.is_busy());
        agent.invoke(json!({ "queue": 3 })).await;
        assert!(agent.ping().await.status.is_busy());
        agent.invoke(json!({ "queue": 0 })).await;
        assert!(!agent.ping().await.status.is_busy());
    }
}
