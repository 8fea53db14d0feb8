//! Submit a job in one invocation, ask how it is doing in others, and fetch its result.
//!
//! ```text
//! cargo run --example background_job
//! curl -X POST localhost:8080/invocations -d '{"action": "submit", "pages": 5}'
//! curl -X POST localhost:8080/invocations -d '{"action": "poll", "job": "<the id>"}'
//! curl -X POST localhost:8080/invocations -d '{"action": "cancel", "job": "<the id>"}'
//! curl localhost:8080/ping
//! ```
//!
//! `submit` answers `{"job":"<id>"}` at once; `poll` answers `{"status":"running"}` and, a second a page later,
//! `{"status":"completed","result":{"pages":5}}`. Meanwhile `/ping` says `HealthyBusy`, so the platform keeps the session.

use std::time::Duration;

use agentcore::{BoxError, TaskBuilder, TaskId, cancel_task, entrypoint, task_status};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Request {
    Submit { pages: u32 },
    Poll { job: TaskId },
    Cancel { job: TaskId },
}

#[entrypoint]
async fn handler(request: Request) -> Result<Value, BoxError> {
    Ok(match request {
        Request::Submit { pages } => {
            let job = TaskBuilder::new("transcribe")
                .timeout(Duration::from_secs(3600))
                .spawn(transcribe(pages));
            json!({ "job": job.detach() })
        }
        Request::Poll { job } => serde_json::to_value(task_status(job))?,
        Request::Cancel { job } => json!({ "cancelled": cancel_task(job) }),
    })
}

async fn transcribe(pages: u32) -> Result<Value, BoxError> {
    if pages == 0 {
        return Err("there is nothing to transcribe".into());
    }
    tokio::time::sleep(Duration::from_secs(pages.into())).await;
    Ok(json!({ "pages": pages }))
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;
    use serde_json::{Value, json};

    async fn submit(agent: &TestClient, pages: u32) -> Value {
        let reply: Value = agent
            .invoke(json!({ "action": "submit", "pages": pages }))
            .await
            .json();
        assert!(reply["job"].is_string(), "{reply}");
        reply["job"].clone()
    }

    async fn ask(agent: &TestClient, action: &str, job: &Value) -> Value {
        agent
            .invoke(json!({ "action": action, "job": job }))
            .await
            .json()
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_submitted_polled_and_fetched() {
        let agent = TestClient::from_registry().await.unwrap();
        let job = submit(&agent, 5).await;
        assert_eq!(
            ask(&agent, "poll", &job).await,
            json!({ "status": "running" })
        );
        assert!(agent.ping().await.status.is_busy());
        agent.idle().await;
        let done = json!({ "status": "completed", "result": { "pages": 5 } });
        assert_eq!(ask(&agent, "poll", &job).await, done);
        assert_eq!(
            ask(&agent, "poll", &job).await,
            done,
            "it can be fetched again"
        );
        assert!(!agent.ping().await.status.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_may_fail_and_be_cancelled_and_be_unknown() {
        let agent = TestClient::from_registry().await.unwrap();
        let fails = submit(&agent, 0).await;
        agent.idle().await;
        let failed = json!({ "status": "failed", "error": "there is nothing to transcribe" });
        assert_eq!(ask(&agent, "poll", &fails).await, failed);

        let cancelled = submit(&agent, 5).await;
        assert_eq!(
            ask(&agent, "cancel", &cancelled).await,
            json!({ "cancelled": true })
        );
        agent.idle().await;
        assert_eq!(
            ask(&agent, "poll", &cancelled).await,
            json!({ "status": "cancelled" })
        );
        assert_eq!(
            ask(&agent, "cancel", &cancelled).await,
            json!({ "cancelled": false })
        );

        let stranger = json!("0123456789abcdef0123456789abcdef");
        assert_eq!(
            ask(&agent, "poll", &stranger).await,
            json!({ "status": "unknown" })
        );
    }
}
