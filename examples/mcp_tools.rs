//! A server of the Model Context Protocol with four tools.
//!
//! ```text
//! cargo run --features mcp --example mcp_tools
//! npx @modelcontextprotocol/inspector --cli http://127.0.0.1:8000/mcp --transport http --method tools/list
//! ```

use std::time::Duration;

use agentcore::{BoxError, RequestContext, Stream, stream, tool};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
struct Forecast {
    city: String,
    /// In degrees Celsius, one for each day.
    temperatures: Vec<i8>,
}

/// The weather of the next days.
#[tool(read_only, open_world)]
async fn forecast(
    /// The name of the city.
    city: String,
    /// How many days, including today.
    #[default(3)]
    days: u8,
) -> Result<Forecast, BoxError> {
    if city.is_empty() {
        return Err("which city?".into());
    }
    Ok(Forecast {
        temperatures: (0..days).map(|day| 4 + (day % 5) as i8).collect(),
        city,
    })
}

/// Waits, and reports progress every second.
#[tool]
async fn wait(seconds: u32) -> impl Stream<Item = String> {
    stream! {
        for second in 1..=seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            yield format!("{second} of {seconds} seconds");
        }
    }
}

/// Fails with a text, which the model reads.
#[tool]
async fn fail(text: String) -> Result<(), BoxError> {
    Err(text.into())
}

/// The session id of the caller.
#[tool]
async fn whoami(context: RequestContext) -> String {
    context.session_id().unwrap_or("no session").to_owned()
}

fn main() -> std::process::ExitCode {
    agentcore::run()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[tokio::test]
    async fn tools_answer() {
        let tools = agentcore::tools();
        let arguments = json!({ "city": "Bergen", "days": 2 });
        let forecast = tools.call("forecast", arguments).await.unwrap();
        assert_eq!(
            forecast.to_value(),
            json!({ "city": "Bergen", "temperatures": [4, 5] })
        );
        let failure = tools
            .call("fail", json!({ "text": "no luck" }))
            .await
            .unwrap_err();
        assert_eq!(failure.to_string(), "no luck");
        assert_eq!(
            tools.call("whoami", json!({})).await.unwrap().to_value(),
            "no session"
        );
    }
}
