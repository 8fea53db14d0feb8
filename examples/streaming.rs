//! A reply that is streamed while it is produced: `yield` as in Python.
//!
//! ```text
//! cargo run --example streaming
//! curl -N -X POST localhost:8080/invocations -d '{"prompt": "why is the sky blue"}'
//! curl -N -X POST localhost:8080/invocations -d '{"prompt": "explode"}'
//! ```
//!
//! Each word is an event of its own, half a second apart:
//!
//! ```text
//! data: {"text":"why"}
//!
//! data: {"text":"is"}
//! ```
//!
//! The second request ends with `data: {"error":"the fuse is lit","error_type":"Error","message":"An error occurred during
//! streaming"}`. Press Ctrl-C to leave: the producer is dropped at its current await.

use std::time::Duration;

use agentcore::{BoxError, Stream, entrypoint, try_stream};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Request {
    prompt: String,
}

#[derive(Serialize)]
struct Token {
    text: String,
}

#[entrypoint]
async fn handler(request: Request) -> impl Stream<Item = Result<Token, BoxError>> {
    try_stream! {
        for word in request.prompt.split_whitespace() {
            if word == "explode" {
                Err("the fuse is lit")?;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            yield Token { text: word.to_owned() };
        }
    }
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    // Paused time: the half seconds pass at once.
    #[tokio::test(start_paused = true)]
    async fn every_word_is_an_event() {
        let agent = TestClient::from_registry().await.unwrap();
        let mut stream = agent.stream(json!({ "prompt": "one two" })).await;
        assert_eq!(
            stream.next().await.unwrap().json::<Value>(),
            json!({ "text": "one" })
        );
        assert!(agent.ping().await.status.is_busy());
        assert_eq!(stream.collect::<Value>().await, [json!({ "text": "two" })]);
        assert!(!agent.ping().await.status.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_the_last_event() {
        let agent = TestClient::from_registry().await.unwrap();
        let events: Vec<Value> = agent
            .stream(json!({ "prompt": "now explode please" }))
            .await
            .collect()
            .await;
        assert_eq!(
            (events.len(), &events[1]["error"]),
            (2, &json!("the fuse is lit"))
        );
    }
}
