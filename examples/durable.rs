//! A durable task: a job that is stored before it runs, and finished even if its process dies.
//!
//! ```sh
//! cargo run --example durable --features durable
//!
//! curl -d '{"action":"submit","pages":5,"key":"k1"}' localhost:8080/invocations
//! # {"job":"read:019ad0c5-9d2b-7c31-a4c2-6d1f6f2b1f00"}
//! curl -d '{"action":"fetch","job":"read:019ad0c5-9d2b-7c31-a4c2-6d1f6f2b1f00"}' localhost:8080/invocations
//! # {"status":"running","attempt":1,"value":null}
//! curl -d '{"action":"cancel","job":"read:019ad0c5-9d2b-7c31-a4c2-6d1f6f2b1f00"}' localhost:8080/invocations
//! # {"cancelled":true}
//! ```
//!
//! Kill it with `kill -9` while a job runs, and start it again. The job goes on after its last step, once its lease of 30 s has ended.
//! The jobs are in `agentcore-jobs.db`; `AGENTCORE_DURABLE=sqlite:PATH` chooses another file. Each step that starts appends a line
//! `job step attempt` to the file that `TRACE_FILE` names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use agentcore::{
    BoxError, JobId, JobStatus, TaskContext, async_task, cancel_job, entrypoint, job_status, step,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The time that one page takes.
const PAGE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Event {
    Submit { pages: u32, key: Option<String> },
    Fetch { job: JobId },
    Cancel { job: JobId },
}

/// Reads a document of `pages` pages. Each page is a step, so a recorded page is not read again.
#[async_task(durable, attempts = 5, timeout = "10m")]
async fn read(pages: u32, task: TaskContext) -> Result<u64, BoxError> {
    let mut words = 0;
    for page in 0..pages {
        words += step(("page", page), || read_page(page, &task)).await?;
    }
    Ok(words)
}

async fn read_page(page: u32, task: &TaskContext) -> Result<u64, BoxError> {
    trace(&format!("{} page:{page} {}", task.id(), task.attempt()))?;
    tokio::time::sleep(PAGE).await;
    Ok(100 + u64::from(page))
}

/// Appends the line to the trace file.
fn trace(line: &str) -> Result<(), BoxError> {
    if let Some(path) = std::env::var_os("TRACE_FILE") {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        // In one write, because other processes write to it too.
        file.write_all(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

#[entrypoint]
async fn handler(event: Event) -> Result<Value, BoxError> {
    Ok(match event {
        Event::Submit { pages, key } => {
            let mut call = read(pages);
            if let Some(key) = key {
                call = call.key(key);
            }
            json!({ "job": call.submit().await?.id() })
        }
        Event::Fetch { job } => {
            let status = job_status(&job).await?;
            let value = match &status {
                JobStatus::Completed { result, .. } => Some(result),
                _ => None,
            };
            let said = json!(status);
            json!({ "status": said["status"], "attempt": status.attempt(), "value": value })
        }
        Event::Cancel { job } => json!({ "cancelled": cancel_job(&job).await? }),
    })
}

#[cfg(test)]
mod tests {
    use agentcore::testing::TestClient;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_survives_the_end_of_its_process() {
        let agent = TestClient::from_registry().await.unwrap();
        agent.crash_after_step(("page", 1));
        let submit = json!({ "action": "submit", "pages": 3, "key": "k1" });
        let job = agent.invoke(submit.clone()).await.json::<Value>()["job"].clone();
        assert_eq!(agent.invoke(submit).await.json::<Value>()["job"], job);
        // The lease of the first attempt is over then.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let fetched = agent.invoke(json!({ "action": "fetch", "job": job })).await;
        assert_eq!(
            fetched.json::<Value>(),
            json!({ "status": "completed", "attempt": 2, "value": 303 })
        );
        let cancelled = agent
            .invoke(json!({ "action": "cancel", "job": job }))
            .await;
        assert_eq!(cancelled.json::<Value>(), json!({ "cancelled": false }));
    }
}
