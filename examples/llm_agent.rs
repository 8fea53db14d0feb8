//! A small agent: a model that may call tools, a loop around it, and an answer that is streamed word by word.
//!
//! ```text
//! cargo run --features schema --example llm_agent
//! curl -N -X POST localhost:8080/invocations -d '{"prompt": "how warm is it in Paris"}'
//! ```
//!
//! Its trace, with a span for every tool, goes to a collector on this port:
//!
//! ```text
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --features otel,schema --example llm_agent
//! ```
//!
//! The model here is a script, so that the example needs no network. A real model is another `impl Model`.

use agentcore::{BoxError, State, Stream, entrypoint, on_start, tool, tools, try_stream};
use serde::Deserialize;
use serde_json::{Value, json};

/// The number of times that the model may ask for tools before it has to answer.
const MOST_STEPS: usize = 5;

#[derive(Deserialize)]
struct Request {
    prompt: String,
}

/// One entry of the conversation.
#[derive(Clone, Debug)]
enum Message {
    User(String),
    Call(ToolCall),
    ToolResult(Value),
}

#[derive(Clone, Debug)]
struct ToolCall {
    tool: String,
    arguments: Value,
}

/// The next step of the model.
enum Turn {
    Call(ToolCall),
    /// The answer, piece by piece.
    Answer(Vec<String>),
}

/// The part of a language model that this agent needs. `tools` has the shape that the model's API takes.
trait Model: Send + Sync {
    fn next(&self, conversation: &[Message], tools: &[Value]) -> Result<Turn, BoxError>;
}

/// Asks for the weather of the city in the last word, and answers with it.
struct Scripted;

impl Model for Scripted {
    fn next(&self, conversation: &[Message], tools: &[Value]) -> Result<Turn, BoxError> {
        match conversation {
            [Message::User(prompt)] => {
                let city = prompt
                    .split_whitespace()
                    .last()
                    .ok_or("the prompt is empty")?;
                let city = city.trim_matches(|letter: char| !letter.is_alphanumeric());
                let tool = tools.first().ok_or("there is no tool")?;
                Ok(Turn::Call(ToolCall {
                    tool: tool["name"].as_str().unwrap_or_default().to_owned(),
                    arguments: json!({ "city": city }),
                }))
            }
            [.., Message::Call(call), Message::ToolResult(result)] => {
                let answer = format!(
                    "It is {} degrees in {}.",
                    result["celsius"], call.arguments["city"]
                );
                Ok(Turn::Answer(
                    answer
                        .replace('"', "")
                        .split_inclusive(' ')
                        .map(ToOwned::to_owned)
                        .collect(),
                ))
            }
            _ => Err("the script does not go on".into()),
        }
    }
}

/// How warm it is in a city.
///
/// Each call is a task: it shows in the status, and keeps the agent busy.
#[tool(read_only, timeout = "30s")]
async fn weather(
    /// The name of the city.
    city: String,
) -> Value {
    tokio::task::yield_now().await;
    json!({ "celsius": 10 + city.len() })
}

#[on_start]
fn load() -> Box<dyn Model> {
    Box::new(Scripted)
}

#[entrypoint]
async fn handler(
    request: Request,
    model: State<Box<dyn Model>>,
) -> impl Stream<Item = Result<String, BoxError>> {
    try_stream! {
        let mut conversation = vec![Message::User(request.prompt)];
        let tools = tools();
        let described = tools.anthropic();
        for _ in 0..MOST_STEPS {
            match model.next(&conversation, &described)? {
                Turn::Call(call) => {
                    // The model reads the error, and may correct its call.
                    let result = match tools.call(&call.tool, call.arguments.clone()).await {
                        Ok(result) => result.to_value(),
                        Err(error) => json!({ "error": error.to_string() }),
                    };
                    conversation.push(Message::Call(call));
                    conversation.push(Message::ToolResult(result));
                }
                Turn::Answer(words) => {
                    for word in words {
                        yield word;
                    }
                    return Ok(());
                }
            }
        }
        Err("the model asks for tools without end")?;
    }
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn the_answer_comes_word_by_word() {
        let agent = TestClient::from_registry().await.unwrap();
        let words: Vec<String> = agent
            .stream(json!({ "prompt": "how warm is it in Paris?" }))
            .await
            .collect()
            .await;
        assert_eq!(words, ["It ", "is ", "15 ", "degrees ", "in ", "Paris."]);
        assert!(!agent.ping().await.status.is_busy());
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told() {
        let agent = TestClient::from_registry().await.unwrap();
        let events: Vec<Value> = agent.stream(json!({ "prompt": "" })).await.collect().await;
        assert_eq!(events[0]["error"], "the prompt is empty");
    }
}
