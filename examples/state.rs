//! State that is made once, before the agent is ready, and shared by all invocations.
//!
//! ```text
//! cargo run --example state
//! curl -X POST localhost:8080/invocations -d '"tea"'
//! curl -X POST localhost:8080/invocations -d '"tea"'
//! ```
//!
//! The answers are `{"drink":"tea","asked":1}` and `{"drink":"tea","asked":2}`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use agentcore::{BoxError, State, entrypoint, on_shutdown, on_start};
use serde_json::{Value, json};

/// The value that invocations share. A real agent would have a connection pool or a model.
#[derive(Default)]
struct Counter(Mutex<BTreeMap<String, u32>>);

/// Runs before `/ping` answers 200. An error stops the start with a clear line.
#[on_start(timeout = "30s")]
async fn open() -> Result<Counter, BoxError> {
    Ok(Counter::default())
}

/// Runs when the last work has ended.
#[on_shutdown]
async fn close() {
    println!("closed");
}

#[entrypoint]
async fn handler(drink: String, State(counter): State<Counter>) -> Value {
    let asked = {
        let mut counts = counter.0.lock().expect("no panic under this lock");
        let count = counts.entry(drink.clone()).or_default();
        *count += 1;
        *count
    };
    json!({ "drink": drink, "asked": asked })
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn invocations_share_the_state_and_agents_do_not() {
        let agent = TestClient::from_registry().await.unwrap();
        for asked in 1..=2 {
            let reply: Value = agent.invoke("tea").await.json();
            assert_eq!(reply, json!({ "drink": "tea", "asked": asked }));
        }
        let other = TestClient::from_registry().await.unwrap();
        assert_eq!(other.invoke("tea").await.json::<Value>()["asked"], 1);
        agent.shutdown().await.unwrap();
        assert_eq!(agent.invoke("tea").await.status(), 503);
    }
}
