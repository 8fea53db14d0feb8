//! A payload with rules: a payload that breaks one is answered with 422 and the path to the mistake.
//!
//! ```text
//! cargo run --features garde --example validation
//! curl -X POST localhost:8080/invocations -d '{"action": "order", "items": [{"name": "tea", "count": 2}]}'
//! curl -X POST localhost:8080/invocations -d '{"action": "order", "items": [{"name": "tea", "count": 0}]}'
//! curl -X POST localhost:8080/invocations -d '{"action": "order", "items": [{"name": "tea", "count": "2"}]}'
//! ```
//!
//! The second is answered `{"error":"Invalid payload","details":"lower than 1","path":"items[0].count"}`. The third, whose type
//! is wrong, is answered in the same shape.

use agentcore::{Valid, entrypoint};
use garde::Validate;
use serde::Deserialize;

#[derive(Deserialize, Validate)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Request {
    Order {
        #[garde(dive, length(min = 1, max = 100))]
        items: Vec<Item>,
    },
}

#[derive(Deserialize, Validate)]
struct Item {
    #[garde(length(min = 1))]
    name: String,
    #[garde(range(min = 1))]
    count: u32,
}

#[entrypoint]
async fn handler(Valid(request): Valid<Request>) -> String {
    let Request::Order { items } = request;
    let items = items
        .iter()
        .map(|item| format!("{} x {}", item.count, item.name));
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn what_breaks_a_rule_and_what_has_the_wrong_type_are_answered_alike() {
        let agent = TestClient::from_registry().await.unwrap();
        let order = |count: Value| {
            json!({
                "action": "order",
                "items": [{ "name": "tea", "count": 2 }, { "name": "milk", "count": count }],
            })
        };
        let reply = agent.invoke(order(json!(1))).await;
        assert_eq!(reply.json::<String>(), "2 x tea, 1 x milk");
        for (count, details) in [
            (json!(0), "lower than 1"),
            (json!("1"), "invalid type: string \"1\", expected u32"),
        ] {
            let reply = agent.invoke(order(count)).await;
            assert_eq!(reply.status(), 422);
            let error: Value = reply.json();
            assert_eq!(error["error"], "Invalid payload");
            assert_eq!(error["path"], "items[1].count");
            let text = error["details"].as_str().unwrap();
            assert!(text.starts_with(details), "{text}");
        }
    }
}
