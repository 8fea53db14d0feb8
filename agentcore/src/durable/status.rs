//! [`JobStatus`]: how a job is doing.

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::client::Client;
use super::failure::JobError;
use crate::engine::{Failure, JobId, JobState, Status};

/// How a job of a [durable task](macro@crate::async_task) is doing, or how it ended.
///
/// In JSON: `{"status":"queued","attempt":1}`, `{"status":"running","attempt":1}` with `"progress":..` where there is one,
/// `{"status":"completed","attempt":1,"result":..}`, `{"status":"failed","attempt":3,"error":".."}`,
/// `{"status":"cancelled","attempt":1}`, `{"status":"unknown"}`.
///
/// `attempt` counts from 1. It is the attempt that runs, that comes next while the job waits, or that was the last.
///
/// ```
/// use agentcore::JobStatus;
///
/// let status = JobStatus::Completed { attempt: 2, result: 42.into() };
/// let json = serde_json::to_string(&status).unwrap();
/// assert_eq!(json, r#"{"status":"completed","attempt":2,"result":42}"#);
/// assert!(status.is_final());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum JobStatus {
    /// It waits: for a process that runs it, for the end of a [delay](crate::Durable::after), or for its next attempt.
    Queued {
        /// The attempt that comes next.
        attempt: u32,
        /// What an earlier attempt has shown.
        progress: Option<Value>,
    },
    /// A process runs it. It may have died: that is noticed when its lease is over.
    Running {
        /// The attempt that runs.
        attempt: u32,
        /// What its code has [shown](crate::TaskContext::progress).
        progress: Option<Value>,
    },
    /// It ended, with this value.
    Completed {
        /// The attempt that ended it.
        attempt: u32,
        /// What its function has returned.
        result: Value,
    },
    /// It failed for good.
    Failed {
        /// The last attempt.
        attempt: u32,
        /// Why that failed: the error with its causes, how it panicked, or that its process died.
        error: String,
    },
    /// It was cancelled.
    Cancelled {
        /// The attempt that ran, or that would have come.
        attempt: u32,
    },
    /// There is no such job for the caller: there never was; or it ended so long ago that its record is gone; or it belongs to another
    /// session.
    Unknown,
}

impl JobStatus {
    pub(super) fn of(state: JobState, progress: Option<Value>) -> Result<Self, JobError> {
        let attempt = state.attempt;
        Ok(match state.status {
            Status::Waiting { .. } => Self::Queued { attempt, progress },
            Status::Running { .. } => Self::Running { attempt, progress },
            Status::Done(json) => Self::Completed {
                attempt,
                result: json
                    .read()
                    .map_err(|error| JobError::result(state.id, error.to_string()))?,
            },
            Status::Failed => Self::Failed {
                attempt,
                error: failure_text(state.failure.as_ref()),
            },
            Status::Cancelled => Self::Cancelled { attempt },
        })
    }

    /// The attempt, which counts from 1; `None` for an unknown job.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Queued { attempt, .. }
            | Self::Running { attempt, .. }
            | Self::Completed { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::Cancelled { attempt } => Some(*attempt),
            Self::Unknown => None,
        }
    }

    /// Whether it stays as it is. An unknown job is final.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Running { .. })
    }
}

impl Serialize for JobStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let status = match self {
            Self::Queued { .. } => "queued",
            Self::Running { .. } => "running",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Unknown => "unknown",
        };
        map.serialize_entry("status", status)?;
        if let Some(attempt) = self.attempt() {
            map.serialize_entry("attempt", &attempt)?;
        }
        match self {
            Self::Queued { progress, .. } | Self::Running { progress, .. } => {
                if let Some(progress) = progress {
                    map.serialize_entry("progress", progress)?;
                }
            }
            Self::Completed { result, .. } => map.serialize_entry("result", result)?,
            Self::Failed { error, .. } => map.serialize_entry("error", error)?,
            Self::Cancelled { .. } | Self::Unknown => {}
        }
        map.end()
    }
}

/// The text of a failure, for people.
pub(super) fn failure_text(failure: Option<&Failure>) -> String {
    match failure {
        None => "the job failed".to_owned(),
        Some(failure) if failure.name == Failure::LEASE_ENDED => {
            "its process died, or did not renew its lease".to_owned()
        }
        Some(failure) => failure.message.clone(),
    }
}

/// How a job is doing, whichever process submitted it and whichever runs it.
///
/// The caller's session is compared. A job belongs to the session of the request that submitted it; to callers of other sessions it
/// is [`Unknown`](JobStatus::Unknown), unless it was submitted with [`any_session`](crate::Durable::any_session). Ids can be
/// guessed, so that comparison is what keeps jobs apart.
///
/// The record of a job is kept for 24 hours after a success or a cancellation, and for 7 days after a failure. PostgreSQL keeps all
/// records for 7 days.
///
/// ```
/// use agentcore::{BoxError, JobId, JobStatus, job_status};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(job: JobId) -> Result<JobStatus, BoxError> {
///     Ok(job_status(&job).await?)
/// }
/// ```
///
/// # Errors
///
/// [`is_unavailable`](JobError::is_unavailable) if the store does not answer within five seconds. An error too where the caller is no part
/// of an agent's work.
///
/// # Cancel safety
///
/// Safe.
pub async fn job_status(id: &JobId) -> Result<JobStatus, JobError> {
    Client::current()?.status(id).await
}

/// Cancels a job, whichever process runs it. `true` if it is cancelled now; `false` if it had ended, or is
/// [unknown](JobStatus::Unknown) to the caller.
///
/// A job that waits is never run. Of one that runs, the [token](crate::CancellationToken) is cancelled at once where the store can tell the
/// process that runs it, and else at its next renewal, within a third of the lease. Its function has five seconds to return, and is dropped
/// then. Its result is ignored.
///
/// ```
/// use agentcore::{BoxError, JobId, cancel_job};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(job: JobId) -> Result<bool, BoxError> {
///     Ok(cancel_job(&job).await?)
/// }
/// ```
///
/// # Errors
///
/// As [`job_status`].
///
/// # Cancel safety
///
/// A call that is dropped may have cancelled the job or not.
pub async fn cancel_job(id: &JobId) -> Result<bool, JobError> {
    Client::current()?.cancel(id).await
}
