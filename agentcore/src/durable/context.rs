//! [`TaskContext`]: what the code of a job can ask about its attempt.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::run::JobRun;
use super::step::{StepName, step};
use super::task::RunFailure;
use crate::engine::{JobId, Json};

/// The name under which a job's progress is recorded, beside its steps.
pub(crate) const PROGRESS: &str = "$progress";

/// One attempt of a [durable task](macro@crate::async_task), as an argument of the task's function. Its callers do not pass it.
///
/// ```
/// use agentcore::{BoxError, TaskContext, async_task};
///
/// #[async_task(durable, attempts = 5)]
/// async fn charge(order: u64, task: TaskContext) -> Result<String, BoxError> {
///     if task.is_recovery() {
///         tracing::info!("attempt {} of {}", task.attempt(), task.id());
///     }
///     // One key for all attempts: the service charges once.
///     Ok(pay(order, &format!("{}/charge", task.id())).await)
/// }
///
/// async fn pay(order: u64, idempotency_key: &str) -> String {
///     format!("{order} {idempotency_key}")
/// }
/// ```
#[derive(Clone)]
pub struct TaskContext(Arc<JobRun>);

impl TaskContext {
    pub(crate) fn new(run: Arc<JobRun>) -> Self {
        Self(run)
    }

    /// The job's id. All attempts of a job have it.
    #[must_use]
    pub fn id(&self) -> &JobId {
        self.0.id()
    }

    /// Which attempt this is. It counts from 1. Attempts that ended with their process count; those that were handed back do not.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Whether the job has been started before, by this process or another one. Steps may be recorded then.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        self.0.is_recovery
    }

    /// The session that submitted the job; `None` if it was submitted outside of a session.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.0.session.as_deref()
    }

    /// The [key](crate::Durable::key) that the job was submitted with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Completes when the job is cancelled, or this process has lost it to another one; at once if it has happened. The function is
    /// dropped then, five seconds after a cancellation, and at once when the job is lost.
    ///
    /// # Cancel safety
    ///
    /// Safe: it may be dropped and asked for again.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether the job is cancelled or lost.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Whether the process has been told to stop. A job that does not end within the shutdown grace is handed back: another process,
    /// or the next start, runs it again, and this attempt is not counted.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Runs a part of the task once, and records its value; as [`step`](crate::step()).
    ///
    /// # Errors
    ///
    /// That of the body.
    pub fn step<T, E, F>(
        &self,
        name: impl Into<StepName>,
        body: impl FnOnce() -> F,
    ) -> impl Future<Output = Result<T, E>>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, E>>,
    {
        step(name, body)
    }

    /// Shows `value` to callers of [`job_status`](crate::job_status()), until the next call. It is stored as JSON, up to 1 MiB.
    ///
    /// Each call is a write to the store. A value that cannot be stored fails the job. Work that outlives the attempt shows nothing: the
    /// call returns at once.
    ///
    /// ```
    /// use agentcore::{BoxError, TaskContext, async_task};
    ///
    /// #[async_task(durable)]
    /// async fn import(rows: u32, task: TaskContext) -> Result<(), BoxError> {
    ///     for row in 0..rows {
    ///         if row % 1000 == 0 {
    ///             task.progress(&serde_json::json!({ "rows": row })).await;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: the value has been stored or not.
    pub async fn progress<T: Serialize + ?Sized>(&self, value: &T) {
        match Json::of(value, "the progress of a job") {
            Ok(json) => self.0.record(PROGRESS, json).await,
            Err(error) => {
                let failure = RunFailure::new("progress", error.to_string());
                self.0.fail(failure.permanent()).await;
            }
        }
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", self.id())
            .field("attempt", &self.attempt())
            .field("is_recovery", &self.is_recovery())
            .finish_non_exhaustive()
    }
}
