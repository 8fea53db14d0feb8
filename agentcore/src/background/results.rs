//! Results of finished tasks, kept for whoever asks later; bounded in number, age and size.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::{Finished, TaskError};
use crate::error::BoxError;
use crate::panics;
use crate::response::Json;
use crate::tasks::TaskId;

const MOST: usize = 1024;
const LONGEST: Duration = Duration::from_secs(3600);
const MOST_BYTES: usize = 16 << 20;

/// How a task is doing, or how it ended.
///
/// In JSON: `{"status":"running"}`, `{"status":"completed","result":..}`, `{"status":"failed","error":".."}`,
/// `{"status":"cancelled"}`, `{"status":"timed_out"}`, `{"status":"unknown"}`.
///
/// ```
/// use agentcore::TaskStatus;
///
/// let json = serde_json::to_string(&TaskStatus::Completed(42.into())).unwrap();
/// assert_eq!(json, r#"{"status":"completed","result":42}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TaskStatus {
    /// It runs.
    Running,
    /// It ended, with this value.
    Completed(Value),
    /// It returned an error, with this text, or panicked.
    Failed(String),
    /// It was aborted.
    Cancelled,
    /// It took longer than its limit.
    TimedOut,
    /// There is no such task; or there was, and its result was not kept or no longer is.
    Unknown,
}

impl TaskStatus {
    pub(super) fn of<T: TaskResult>(result: Result<T, TaskError>) -> Self {
        match result {
            // Serialising is the user's code, and this is no place to end by a panic in it.
            Ok(value) => match panics::guard(|| value.into_json()) {
                Ok(Ok(value)) => Self::Completed(value),
                Ok(Err(error)) => Self::Failed(error),
                Err(panic) => {
                    panic.log("serialising a task's result");
                    Self::Failed(TaskError::Panicked.to_string())
                }
            },
            Err(TaskError::Cancelled) => Self::Cancelled,
            Err(TaskError::TimedOut(_)) => Self::TimedOut,
            Err(error @ TaskError::Panicked) => Self::Failed(error.to_string()),
        }
    }

    /// The size of what it carries, as JSON. An estimate is enough.
    fn bytes(&self) -> usize {
        match self {
            Self::Completed(value) => value.to_string().len(),
            Self::Failed(error) => error.len(),
            _ => 0,
        }
    }
}

impl Serialize for TaskStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let status = match self {
            Self::Running => "running",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        };
        map.serialize_entry("status", status)?;
        match self {
            Self::Completed(result) => map.serialize_entry("result", result)?,
            Self::Failed(error) => map.serialize_entry("error", error)?,
            _ => {}
        }
        map.end()
    }
}

/// What a task may end with so that its result can be kept: JSON values, or a `Result` of a serialisable value and any
/// error. [`Json`] makes one of everything else.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use agentcore::{BoxError, Json, spawn};
///
/// #[derive(serde::Serialize)]
/// struct Report { pages: u32 }
///
/// spawn(async { Ok::<_, BoxError>(Report { pages: 12 }) }).detach();
/// spawn(async { Json(Report { pages: 12 }) }).detach();
/// spawn(async { "plain values, too".to_owned() }).detach();
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "the result of this task cannot be kept: `{Self}`",
    note = "end with a `Result<T, E>` of a `serde::Serialize` value and an error, or wrap the value in `agentcore::Json`"
)]
pub trait TaskResult {
    /// The value as JSON, or the error's text.
    #[doc(hidden)]
    fn into_json(self) -> Finished;
}

fn to_json<T: serde_core::Serialize>(value: &T) -> Finished {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

impl<T: serde_core::Serialize, E: Into<BoxError>> TaskResult for Result<T, E> {
    fn into_json(self) -> Finished {
        match self {
            Ok(value) => to_json(&value),
            Err(error) => Err(error.into().to_string()),
        }
    }
}

impl<T: serde_core::Serialize> TaskResult for Json<T> {
    fn into_json(self) -> Finished {
        to_json(&self.0)
    }
}

impl<T: serde_core::Serialize> TaskResult for Option<T> {
    fn into_json(self) -> Finished {
        to_json(&self)
    }
}

impl<T: serde_core::Serialize> TaskResult for Vec<T> {
    fn into_json(self) -> Finished {
        to_json(&self)
    }
}

macro_rules! plain_results {
    ($($type:ty),+) => {$(
        impl TaskResult for $type {
            fn into_json(self) -> Finished {
                to_json(&self)
            }
        }
    )+};
}

plain_results!(
    (),
    bool,
    String,
    &'static str,
    Value,
    i32,
    i64,
    u32,
    u64,
    usize,
    f64
);

struct Kept {
    id: TaskId,
    at: Instant,
    bytes: usize,
    status: TaskStatus,
}

/// The results, the oldest first.
#[derive(Default)]
pub(crate) struct Results(Mutex<VecDeque<Kept>>);

impl Results {
    pub(super) fn keep(&self, id: TaskId, status: TaskStatus) {
        self.keep_at(id, status, Instant::now());
    }

    fn keep_at(&self, id: TaskId, status: TaskStatus, at: Instant) {
        let bytes = status.bytes();
        let mut kept = self.lock();
        kept.push_back(Kept {
            id,
            at,
            bytes,
            status,
        });
        let mut total: usize = kept.iter().map(|kept| kept.bytes).sum();
        while let Some(oldest) = kept.front() {
            let is_old = at.saturating_duration_since(oldest.at) > LONGEST;
            if !is_old && kept.len() <= MOST && total <= MOST_BYTES {
                break;
            }
            total -= oldest.bytes;
            kept.pop_front();
        }
    }

    pub(super) fn find(&self, id: TaskId) -> TaskStatus {
        self.find_at(id, Instant::now())
    }

    fn find_at(&self, id: TaskId, now: Instant) -> TaskStatus {
        let kept = self.lock();
        let found = kept.iter().rev().find(|kept| kept.id == id);
        found
            .filter(|kept| now.saturating_duration_since(kept.at) <= LONGEST)
            .map_or(TaskStatus::Unknown, |kept| kept.status.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results")
            .field("kept", &self.lock().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TaskId {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let results = Results::default();
        for number in 0..=MOST as u64 {
            results.keep(id(number), TaskStatus::Completed(number.into()));
        }
        assert_eq!(results.find(id(0)), TaskStatus::Unknown);
        assert_eq!(results.find(id(1)), TaskStatus::Completed(1.into()));
        assert_eq!(
            results.find(id(MOST as u64)),
            TaskStatus::Completed(MOST.into())
        );
    }

    #[test]
    fn large_results_push_others_out_and_a_huge_one_is_not_kept() {
        let results = Results::default();
        let large = || TaskStatus::Completed("x".repeat(MOST_BYTES / 2).into());
        results.keep(id(1), large());
        results.keep(id(2), large());
        assert_eq!(results.find(id(1)), TaskStatus::Unknown);
        assert_ne!(results.find(id(2)), TaskStatus::Unknown);
        results.keep(
            id(3),
            TaskStatus::Completed("x".repeat(MOST_BYTES + 1).into()),
        );
        assert_eq!(results.find(id(3)), TaskStatus::Unknown);
    }

    #[test]
    fn an_old_result_is_forgotten() {
        let (results, now) = (Results::default(), Instant::now());
        results.keep_at(id(1), TaskStatus::Cancelled, now);
        assert_eq!(results.find_at(id(1), now + LONGEST), TaskStatus::Cancelled);
        assert_eq!(
            results.find_at(id(1), now + LONGEST + Duration::from_secs(1)),
            TaskStatus::Unknown
        );
    }
}
