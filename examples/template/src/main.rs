//! An agent that answers questions, and writes reports in the background.
//!
//! ```text
//! cargo run
//! curl localhost:8080/ping
//! curl -X POST localhost:8080/invocations -d '{"action": "ask", "question": "who is there"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "report", "topic": "tea"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "fetch", "report": "<the id>"}'
//! ```

use std::time::Duration;

use agentcore::{HttpError, TaskBuilder, TaskId, async_task, entrypoint, task_status};
use serde::Deserialize;
use serde_json::{Value, json};

/// The actions of an invocation. Any other payload is answered with 422 and the place in the JSON that is wrong.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Event {
    Ask { question: String },
    Report { topic: String },
    Fetch { report: TaskId },
}

#[entrypoint(timeout = "15m")]
async fn handler(event: Event) -> Result<Value, HttpError> {
    match event {
        Event::Ask { question } if question.trim().is_empty() => {
            Err(HttpError::new(400, "ask something"))
        }
        Event::Ask { question } => Ok(json!({ "answer": think(question).await })),
        // The task outlives its reply: `/ping` says HealthyBusy until the task is done.
        Event::Report { topic } => {
            let report = TaskBuilder::new("report").spawn(write(topic));
            Ok(json!({ "report": report.detach() }))
        }
        Event::Fetch { report } => Ok(json!(task_status(report))),
    }
}

/// Put the model here.
#[async_task]
async fn think(question: String) -> String {
    tokio::time::sleep(Duration::from_secs(1)).await;
    format!("{question}?")
}

async fn write(topic: String) -> String {
    tokio::time::sleep(Duration::from_secs(30)).await;
    format!("All about {topic}")
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    async fn agent() -> TestClient {
        TestClient::from_registry().await.unwrap()
    }

    // With paused time, waiting costs nothing.
    #[tokio::test(start_paused = true)]
    async fn a_question_is_answered_and_leaves_the_agent_idle() {
        let agent = agent().await;
        let event = json!({ "action": "ask", "question": "who is there" });
        let reply = agent.invoke(event).await;
        assert_eq!(reply.json::<Value>(), json!({ "answer": "who is there?" }));
        assert!(!agent.ping().await.status.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_outlives_its_reply_and_can_be_fetched() {
        let agent = agent().await;
        let event = json!({ "action": "report", "topic": "tea" });
        let reply: Value = agent.invoke(event).await.json();
        let fetch = json!({ "action": "fetch", "report": reply["report"] });
        let now: Value = agent.invoke(&fetch).await.json();
        assert_eq!(now, json!({ "status": "running" }));
        assert!(agent.ping().await.status.is_busy());

        agent.idle().await;
        let then: Value = agent.invoke(&fetch).await.json();
        assert_eq!(
            then,
            json!({ "status": "completed", "result": "All about tea" })
        );
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        let agent = agent().await;
        let empty = json!({ "action": "ask", "question": " " });
        assert_eq!(agent.invoke(empty).await.status(), 400);
        let unknown = json!({ "action": "sing" });
        assert_eq!(agent.invoke(unknown).await.status(), 422);
    }
}
