//! The facts about a request, as an argument and anywhere in the code that the request runs.
//!
//! ```text
//! cargo run --example context
//! curl -X POST localhost:8080/invocations -d '"hello"' \
//!     -H 'X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: session-1' \
//!     -H 'X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant: acme' \
//!     -H 'Authorization: Bearer secret' -H 'baggage: user=j%C3%BCrgen'
//! ```

use agentcore::{RequestContext, async_task, entrypoint};
use serde_json::{Value, json};

#[entrypoint]
async fn handler(prompt: String, context: RequestContext) -> Value {
    json!({
        "session": context.session_id(),
        "request": context.request_id(),
        "user": context.baggage().get("user"),
        "tenant": context.header("x-amzn-bedrock-agentcore-runtime-custom-tenant"),
        // Tokens have methods of their own, and show nowhere else.
        "may_act_for_the_user": context.authorization().is_some(),
        "answer": answer(prompt).await,
    })
}

/// A function that gets the context without an argument.
#[async_task]
async fn answer(prompt: String) -> String {
    let context = RequestContext::current().expect("called below a request");
    format!(
        "{prompt} to you, {}",
        context.session_id().unwrap_or("stranger")
    )
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::Value;

    #[tokio::test]
    async fn the_session_reaches_the_task() {
        let agent = TestClient::from_registry().await.unwrap();
        let reply: Value = agent.invoke_as("session-1", "hello").await.json();
        assert_eq!(reply["session"], "session-1");
        assert_eq!(reply["answer"], "hello to you, session-1");
        assert_eq!(
            reply["request"].as_str().map(str::len),
            Some(36),
            "a UUID of our own"
        );
        assert_eq!(reply["may_act_for_the_user"], false);
    }
}
