//! [`JobError`]: why there is no job, or no result of it.

use std::fmt;

use http::StatusCode;

use crate::engine::{EngineError, JobId};

/// Why a [durable task](macro@crate::async_task) could not be submitted, or has no result.
///
/// Its text is for people; the `is_*` methods decide something in code. Where it is what a handler returns, as `?` makes it, the
/// reply has the status of [`status`](Self::status).
///
/// ```
/// use agentcore::{BoxError, async_task};
///
/// #[async_task(durable)]
/// async fn transcribe(url: String) -> Result<usize, BoxError> {
///     Ok(url.len())
/// }
///
/// # async fn example() -> Result<(), BoxError> {
/// match transcribe("https://example.com/talk.wav".to_owned()).await {
///     Ok(words) => println!("{words} words"),
///     Err(error) if error.is_unavailable() => println!("later, perhaps: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The caller is no part of an agent, so there is no store.
    NoAgent,
    Engine(EngineError),
    /// Its last attempt failed so.
    Failed {
        id: JobId,
        message: String,
    },
    Cancelled(JobId),
    Unknown(JobId),
    /// Its result is not of the type that the caller waits for.
    Result {
        id: JobId,
        why: String,
    },
}

impl JobError {
    pub(crate) fn no_agent() -> Self {
        Self(Kind::NoAgent)
    }

    pub(crate) fn failed(id: JobId, message: String) -> Self {
        Self(Kind::Failed { id, message })
    }

    pub(crate) fn cancelled(id: JobId) -> Self {
        Self(Kind::Cancelled(id))
    }

    pub(crate) fn unknown(id: JobId) -> Self {
        Self(Kind::Unknown(id))
    }

    pub(crate) fn result(id: JobId, why: String) -> Self {
        Self(Kind::Result { id, why })
    }

    /// The store of jobs did not answer within five seconds. Nothing is known of the job that was to be submitted: it may have
    /// been accepted. With a [key](crate::Durable::key) it can be submitted again.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(&self.0, Kind::Engine(error) if error.is_temporary())
    }

    /// There is a job of this task and this [key](crate::Durable::key), and it has other arguments.
    #[must_use]
    pub fn is_key_conflict(&self) -> bool {
        matches!(self.0, Kind::Engine(EngineError::KeyConflict { .. }))
    }

    /// The arguments, the key or what goes along is larger than is stored: 1 MiB of JSON for all arguments, 512 bytes for a key.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0, Kind::Engine(EngineError::TooLarge { .. }))
    }

    /// The job has failed for good: its attempts are used up, its deadline is over, or its error is a
    /// [`Permanent`](crate::Permanent) one.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self.0, Kind::Failed { .. })
    }

    /// The job was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Kind::Cancelled(_))
    }

    /// There is no such job for the caller: it belongs to another session, or its record is kept no longer.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.0, Kind::Unknown(_))
    }

    /// The status of a reply that says so: 503 if the store is out of reach or lacks its schema, 409 for a key conflict, 413 for what is
    /// too large, 404 for an unknown job, and 500 otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Kind::Engine(EngineError::Unreachable(_) | EngineError::Schema(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Kind::Engine(EngineError::KeyConflict { .. }) => StatusCode::CONFLICT,
            Kind::Engine(EngineError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Unknown(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text for a client. The address of the store and its trouble are for the log only.
    pub(crate) fn client_text(&self) -> String {
        match &self.0 {
            Kind::Engine(EngineError::Unreachable(_) | EngineError::Schema(_)) => {
                "The store of durable jobs is unavailable".to_owned()
            }
            Kind::Engine(EngineError::Refused(_)) => {
                "The store of durable jobs refuses the call".to_owned()
            }
            _ => self.to_string(),
        }
    }
}

impl From<EngineError> for JobError {
    fn from(error: EngineError) -> Self {
        Self(Kind::Engine(error))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::NoAgent => f.write_str(
                "a durable task was submitted outside of an agent's work; call it in a handler, a task or a hook, or in what \
                 `agentcore::spawn` has started",
            ),
            Kind::Engine(error) => error.fmt(f),
            Kind::Failed { id, message } => write!(f, "job {id} failed: {message}"),
            Kind::Cancelled(id) => write!(f, "job {id} was cancelled"),
            Kind::Unknown(id) => write!(f, "there is no job {id} in this session"),
            Kind::Result { id, why } => {
                write!(f, "the result of job {id} is of another type: {why}")
            }
        }
    }
}

impl std::error::Error for JobError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_not_told_where_the_store_is() {
        let address = || "run .. -d 'postgres://me@db/jobs'".to_owned();
        for (error, status) in [
            (EngineError::Unreachable(address()), 503),
            (EngineError::Schema(address()), 503),
            (EngineError::Refused(address()), 500),
        ] {
            let error = JobError::from(error);
            assert_eq!(error.status().as_u16(), status, "{error}");
            assert!(!error.client_text().contains("db"), "{error}");
            assert!(error.to_string().contains("postgres://me@db/jobs"));
        }
    }
}
