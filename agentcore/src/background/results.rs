//! Results of finished tasks, kept for a later [`task_status`](super::task_status).
//!
//! A result is kept as JSON text and parsed when it is found. A [`Value`] takes up to a hundred times the memory of its
//! text, so a bound on the text would not be a bound on the memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::TaskError;
use crate::error::BoxError;
use crate::panics;
use crate::response::Json;
use crate::sync::{Mutex, MutexGuard};
use crate::tasks::TaskId;

/// How many results are kept.
const MOST: usize = 1024;

/// How long a result is kept.
const LONGEST: Duration = Duration::from_secs(3600);

/// How many bytes of text all kept results have together.
const MOST_BYTES: usize = 16 << 20;

/// How many bytes of an error's text are kept.
const LONGEST_ERROR: usize = 64 << 10;

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
    /// It ended, with this value. The value is parsed from the text that is kept, and may take a hundred times its memory.
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
    /// The value as JSON text, or the error's text.
    #[doc(hidden)]
    fn into_json(self) -> Finished;
}

/// What a task leaves to be kept.
pub(super) type Finished = Result<String, NotKept>;

/// Why there is no JSON text.
#[derive(Debug)]
pub enum NotKept {
    /// The task returned an error with this text, or its value cannot be serialised.
    Failed(String),
    /// The text is longer than all results may be together.
    TooLong,
}

/// A buffer that refuses more than [`MOST_BYTES`], so that a text which is not going to be kept is not made whole first.
#[derive(Default)]
struct Text(Vec<u8>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MOST_BYTES - self.0.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn to_json<T: serde_core::Serialize>(value: &T) -> Finished {
    let mut text = Text::default();
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => String::from_utf8(text.0).map_err(|error| NotKept::Failed(error.to_string())),
        Err(error) if error.is_io() => Err(NotKept::TooLong),
        Err(error) => Err(NotKept::Failed(error.to_string())),
    }
}

impl<T: serde_core::Serialize, E: Into<BoxError>> TaskResult for Result<T, E> {
    fn into_json(self) -> Finished {
        match self {
            Ok(value) => to_json(&value),
            Err(error) => Err(NotKept::Failed(error.into().to_string())),
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

/// An error's text, cut where it would push out other results.
fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_ERROR {
        let whole = text.len();
        let end = (0..=LONGEST_ERROR)
            .rev()
            .find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text += &format!(" [cut: {} of {whole} bytes]", text.len());
    }
    text
}

/// The end of a task, as it is kept.
#[derive(Debug)]
pub(super) enum End {
    /// The value, as JSON text.
    Completed(Arc<str>),
    /// The error's text.
    Failed(Arc<str>),
    Cancelled,
    TimedOut,
}

impl End {
    /// How a task with this result ended; `None` if its text is too long to be kept.
    pub(super) fn of<T: TaskResult>(result: Result<T, TaskError>) -> Option<Self> {
        let end = match result {
            // Serialising, and dropping the value behind it, runs the user's code, which may panic.
            Ok(value) => match panics::guard(|| value.into_json()) {
                Ok(Ok(text)) => Self::Completed(text.into()),
                Ok(Err(NotKept::Failed(error))) => Self::Failed(shortened(error).into()),
                Ok(Err(NotKept::TooLong)) => return None,
                Err(panic) => {
                    panic.log("serialising a task's result");
                    Self::Failed(TaskError::Panicked.to_string().into())
                }
            },
            Err(TaskError::Cancelled) => Self::Cancelled,
            Err(TaskError::TimedOut(_)) => Self::TimedOut,
            Err(error @ TaskError::Panicked) => Self::Failed(error.to_string().into()),
        };
        Some(end)
    }

    /// What it takes of the room for all results.
    fn bytes(&self) -> usize {
        match self {
            Self::Completed(text) | Self::Failed(text) => text.len(),
            Self::Cancelled | Self::TimedOut => 0,
        }
    }

    fn share(&self) -> Self {
        match self {
            Self::Completed(text) => Self::Completed(Arc::clone(text)),
            Self::Failed(text) => Self::Failed(Arc::clone(text)),
            Self::Cancelled => Self::Cancelled,
            Self::TimedOut => Self::TimedOut,
        }
    }
}

impl From<End> for TaskStatus {
    fn from(end: End) -> Self {
        match end {
            // It cannot be read back if it is nested more deeply than JSON is read.
            End::Completed(text) => match serde_json::from_str(&text) {
                Ok(value) => Self::Completed(value),
                Err(error) => Self::Failed(format!("the result cannot be read back: {error}")),
            },
            End::Failed(text) => Self::Failed(text.as_ref().to_owned()),
            End::Cancelled => Self::Cancelled,
            End::TimedOut => Self::TimedOut,
        }
    }
}

struct Kept {
    id: TaskId,
    at: Instant,
    end: End,
}

/// The results, the oldest first. What they hold is text, so that dropping one runs nothing of the user's.
#[derive(Default)]
pub(crate) struct Results(Mutex<VecDeque<Kept>>);

impl Results {
    pub(super) fn keep<T: TaskResult>(&self, id: TaskId, result: Result<T, TaskError>) {
        if let Some(end) = End::of(result) {
            self.keep_at(id, end, Instant::now());
        }
    }

    fn keep_at(&self, id: TaskId, end: End, at: Instant) {
        let mut kept = self.lock();
        kept.push_back(Kept { id, at, end });
        let mut total: usize = kept.iter().map(|kept| kept.end.bytes()).sum();
        while let Some(oldest) = kept.front() {
            let is_old = at.saturating_duration_since(oldest.at) > LONGEST;
            if !is_old && kept.len() <= MOST && total <= MOST_BYTES {
                break;
            }
            total -= oldest.end.bytes();
            kept.pop_front();
        }
    }

    pub(super) fn find(&self, id: TaskId) -> TaskStatus {
        self.find_at(id, Instant::now())
    }

    fn find_at(&self, id: TaskId, now: Instant) -> TaskStatus {
        let end = {
            let kept = self.lock();
            let found = kept.iter().rev().find(|kept| kept.id == id);
            found
                .filter(|kept| now.saturating_duration_since(kept.at) <= LONGEST)
                .map(|kept| kept.end.share())
        };
        // Parsed without the lock: a large text takes milliseconds.
        end.map_or(TaskStatus::Unknown, TaskStatus::from)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock()
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

    fn keep(results: &Results, number: u64, value: impl Into<Value>) {
        results.keep(id(number), Ok(value.into()));
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let results = Results::default();
        for number in 0..=MOST as u64 {
            keep(&results, number, number);
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
        let large = || "x".repeat(MOST_BYTES / 2);
        keep(&results, 1, large());
        keep(&results, 2, large());
        assert_eq!(results.find(id(1)), TaskStatus::Unknown);
        assert_ne!(results.find(id(2)), TaskStatus::Unknown);
        keep(&results, 3, "x".repeat(MOST_BYTES + 1));
        assert_eq!(results.find(id(3)), TaskStatus::Unknown);
        assert_ne!(results.find(id(2)), TaskStatus::Unknown);
    }

    #[test]
    fn a_huge_error_is_cut_and_pushes_nothing_out() {
        let results = Results::default();
        keep(&results, 1, "kept");
        let error: Result<u8, String> = Err("é".repeat(MOST_BYTES));
        results.keep(id(2), Ok(error));
        assert_eq!(results.find(id(1)), TaskStatus::Completed("kept".into()));
        let TaskStatus::Failed(text) = results.find(id(2)) else {
            panic!("an error");
        };
        assert!(text.len() < LONGEST_ERROR + 100 && text.contains("[cut: "));
    }

    #[test]
    fn an_old_result_is_forgotten() {
        let (results, now) = (Results::default(), Instant::now());
        results.keep_at(id(1), End::Cancelled, now);
        assert_eq!(results.find_at(id(1), now + LONGEST), TaskStatus::Cancelled);
        assert_eq!(
            results.find_at(id(1), now + LONGEST + Duration::from_secs(1)),
            TaskStatus::Unknown
        );
    }

    #[test]
    fn every_end_is_found_as_it_was() {
        let results = Results::default();
        let value = serde_json::json!({ "a": [1, -2.5, "\u{1}\"", null, true] });
        keep(&results, 1, value.clone());
        let error = TaskError::Panicked;
        results.keep::<Value>(id(2), Err(error.clone()));
        results.keep(id(3), Ok(Err::<(), BoxError>("it is broken".into())));
        assert_eq!(results.find(id(1)), TaskStatus::Completed(value));
        assert_eq!(results.find(id(2)), TaskStatus::Failed(error.to_string()));
        assert_eq!(
            results.find(id(3)),
            TaskStatus::Failed("it is broken".to_owned())
        );
    }

    #[test]
    fn a_result_that_is_nested_too_deeply_says_so() {
        let results = Results::default();
        let deep = (0..200).fold(Value::Null, |inner, _| vec![inner].into());
        keep(&results, 1, deep);
        let TaskStatus::Failed(error) = results.find(id(1)) else {
            panic!("it has been read back");
        };
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }
}
