//! The newest jobs, for the dev page.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::client::Client;
use super::status::failure_text;
use crate::engine::{Cancel, JobId, JobState, Status};

/// How many the page shows.
const SHOWN: usize = 20;

impl Client {
    /// The newest jobs of all sessions, newest first, as JSON. The error is a text for the developer.
    pub(crate) async fn newest(&self) -> Result<Value, String> {
        let say = |error: crate::engine::EngineError| error.to_string();
        self.ready().await.map_err(say)?;
        let jobs = self.engine().list(self.names(), SHOWN).await.map_err(say)?;
        let mut shown = Vec::with_capacity(jobs.len());
        for job in jobs {
            let steps = if job.started.is_some() {
                let names = self.engine().step_names(&job.id).await.map_err(say)?;
                let names = names.into_iter();
                names.filter(|name| !name.starts_with("$p")).collect()
            } else {
                Vec::new()
            };
            shown.push(shown_job(&job, &steps));
        }
        Ok(Value::Array(shown))
    }

    /// Cancels a job of any session.
    pub(crate) async fn cancel_any(&self, id: &JobId) -> Result<bool, String> {
        let cancelled = self
            .engine()
            .cancel(id)
            .await
            .map_err(|error| error.to_string())?;
        if cancelled == Cancel::Cancelled {
            self.tell_ended(id);
        }
        Ok(cancelled == Cancel::Cancelled)
    }
}

fn shown_job(job: &JobState, steps: &[String]) -> Value {
    let status = match &job.status {
        Status::Waiting { .. } => "queued",
        Status::Running { .. } => "running",
        Status::Done(_) => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    };
    json!({
        "id": job.id,
        "task": job.id.task(),
        "status": status,
        "attempt": job.attempt,
        "attempts": job.max_attempts,
        "submitted": seconds(job.submitted),
        "ended": job.ended.map(seconds),
        "steps": steps,
        "error": job.failure.as_ref().map(|failure| failure_text(Some(failure))),
        "cancellable": !job.status.is_final(),
    })
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
