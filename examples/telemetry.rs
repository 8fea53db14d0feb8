//! The output of an agent for its operators: lines with ids, metrics, traces.
//!
//! ```text
//! AGENTCORE_METRICS=true cargo run --example telemetry
//! curl -X POST localhost:8080/invocations -d '"Paris"' \
//!     -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
//! curl localhost:8080/metrics
//! ```
//!
//! Start an OpenTelemetry collector at its usual port, or anything else that takes OTLP over HTTP, and run:
//!
//! ```text
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --features otel --example telemetry
//! ```

use agentcore::{async_task, entrypoint, outbound_headers};
use serde_json::{Value, json};
use tracing::{Instrument as _, info, info_span};

#[entrypoint]
async fn handler(city: String) -> Value {
    info!(city, "asked");
    forecast(&city).await
}

/// Has its own span, like every task.
#[async_task]
async fn forecast(city: &str) -> Value {
    // The program's own span, with the attributes that AgentCore's evaluations need.
    let span = info_span!(
        "execute_tool weather",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = "weather"
    );
    let ask = async {
        // The headers for the weather service, so that its spans join the trace.
        let headers = outbound_headers();
        info!("asking the weather service");
        tokio::task::yield_now().await;
        json!({
            "forecast": format!("{city}: sunny"),
            "traceparent": headers.get("traceparent").and_then(|value| value.to_str().ok()),
        })
    };
    ask.instrument(span).await
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::json;

    #[tokio::test]
    async fn it_answers() {
        let agent = TestClient::from_registry().await.unwrap();
        let reply = agent.invoke("Paris").await;
        let nothing: Option<String> = None;
        assert_eq!(
            reply.json::<serde_json::Value>(),
            json!({ "forecast": "Paris: sunny", "traceparent": nothing })
        );
    }
}
