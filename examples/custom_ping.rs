//! A custom status: the agent is busy while a queue elsewhere holds work, whatever runs here.
//!
//! ```text
//! cargo run --example custom_ping
//! curl localhost:8080/ping
//! curl -X POST localhost:8080/invocations -d '{"queue": 3}'
//! curl localhost:8080/ping
//! ```
//!
//! The second ping says `HealthyBusy`, with nothing running. The handler only adds to the automatic status: while an invocation,
//! a stream, a socket or a task runs, the agent is busy whatever the handler says. If a handler fails, or takes longer than
//! 250 ms, the automatic status counts.

use std::sync::atomic::{AtomicU32, Ordering};

use agentcore::{PingStatus, State, entrypoint, on_start, ping};
use serde::Deserialize;

#[derive(Default)]
struct Queue {
    waiting: AtomicU32,
}

#[on_start]
fn queue() -> Queue {
    Queue::default()
}

#[derive(Deserialize)]
struct Request {
    queue: u32,
}

#[ping]
async fn health(queue: State<Queue>) -> PingStatus {
    if queue.waiting.load(Ordering::Relaxed) > 0 {
        PingStatus::HealthyBusy
    } else {
        PingStatus::Healthy
    }
}

#[entrypoint]
async fn handler(request: Request, queue: State<Queue>) -> u32 {
    queue.waiting.store(request.queue, Ordering::Relaxed);
    request.queue
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::json;

    #[tokio::test]
    async fn the_queue_makes_it_busy() {
        let agent = TestClient::from_registry().await.unwrap();
        assert!(!agent.ping().await.status.is_busy());
        agent.invoke(json!({ "queue": 3 })).await;
        assert!(agent.ping().await.status.is_busy());
        agent.invoke(json!({ "queue": 0 })).await;
        assert!(!agent.ping().await.status.is_busy());
    }
}
