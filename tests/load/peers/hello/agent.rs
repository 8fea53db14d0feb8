use serde_json::{Value, json};

#[agentcore::entrypoint]
async fn handler(event: Value) -> Value {
    json!({ "echo": event })
}
