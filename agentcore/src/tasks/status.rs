//! [`TaskResult`]: the values that a task may leave for later, and how they become a [`TaskStatus`].

use std::io;

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::TaskError;
use crate::error::BoxError;
use crate::report::panics;
use crate::tracker::kept_results::{Ending, MOST_BYTES};
use crate::util::json::is_result;
use crate::util::text::boundary;

/// The maximum length of an error's text in bytes.
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
    /// It ended with this value. The value is parsed from the text that is kept, and may take a hundred times its memory.
    Completed(Value),
    /// It returned an error, with this text, or panicked.
    Failed(String),
    /// It was aborted.
    Cancelled,
    /// It took longer than its limit, or became older than [`Config::task_max_age`](crate::Config::task_max_age). In the second
    /// case code that blocks its thread may still run, and its result is dropped.
    TimedOut,
    /// There is no such task for the caller: it never existed, its result was not kept or has expired, or it belongs to
    /// another session.
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

/// A value that is kept when its task is detached: anything that is `serde::Serialize`, and [`Json`](crate::Json).
///
/// For a task that returns a `Result`, this is the value; the error may be any that converts into [`BoxError`]. Such a task
/// ends as [`TaskStatus::Completed`] with the value, or as [`TaskStatus::Failed`] with the error's text.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use agentcore::{BoxError, spawn};
///
/// #[derive(serde::Serialize)]
/// struct Report { pages: u32 }
///
/// spawn(async { Report { pages: 12 } }).detach();
/// spawn(async { Ok::<_, BoxError>(Report { pages: 12 }) }).detach();
/// spawn(async { "a text, a number, a list or nothing" }).detach();
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "the result of this task cannot be kept: `{Self}` is not `serde::Serialize`",
    label = "cannot be kept",
    note = "derive `serde::Serialize` for every type in it, return a `Result` of such a value and an error, or drop the handle instead of detaching it"
)]
pub trait TaskResult: sealed::ToText {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> TaskResult for T {}

pub(crate) mod sealed {
    /// Makes the text of a result.
    pub trait ToText {
        /// The value as JSON text. For a `Result`, the text of its value or of its error.
        #[doc(hidden)]
        fn to_text(&self) -> super::Finished;
    }
}

impl<T: Serialize> sealed::ToText for T {
    fn to_text(&self) -> Finished {
        to_json(self)
    }
}

/// Makes the text of a task's output.
pub(super) type ToText<T> = fn(T) -> Finished;

/// The text of a plain value.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is dropped here, where a panic of its drop is caught"
)]
pub(super) fn value_text<T: TaskResult>(value: T) -> Finished {
    value.to_text()
}

/// The text of a `Result`.
pub(super) fn result_text<T: TaskResult, E: Into<BoxError>>(result: Result<T, E>) -> Finished {
    match result {
        Ok(value) => value.to_text(),
        Err(error) => Err(NotKept::Failed(error.into().to_string())),
    }
}

/// The JSON text of a task's output.
pub(crate) type Finished = Result<String, NotKept>;

/// Why there is no JSON text.
#[derive(Debug)]
pub enum NotKept {
    /// The task returned an error with this text, or its value cannot be serialised.
    Failed(String),
    /// The text is longer than [`MOST_BYTES`].
    TooLong,
}

/// A buffer that refuses more than [`MOST_BYTES`], so that a text too long to keep is never complete in memory.
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

pub(crate) fn to_json<T: Serialize>(value: &T) -> Finished {
    let mut text = Text::default();
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => {
            let text = String::from_utf8(text.0);
            let text = text.map_err(|error| NotKept::Failed(error.to_string()))?;
            if is_result::<T>() {
                opened(&text)
            } else {
                Ok(text)
            }
        }
        Err(error) if error.is_io() => Err(NotKept::TooLong),
        Err(error) => Err(NotKept::Failed(error.to_string())),
    }
}

/// The value or error in the JSON text of a `Result`, which serde writes as `{"Ok":..}` or `{"Err":..}`. Generic code may
/// serialise a `Result` without knowing that it is one.
fn opened(text: &str) -> Finished {
    let inner = |start: &str| text.strip_prefix(start)?.strip_suffix('}');
    if let Some(value) = inner(r#"{"Ok":"#) {
        return Ok(value.to_owned());
    }
    let error = inner(r#"{"Err":"#).unwrap_or(text);
    // The text of a string, or the JSON of another value.
    Err(NotKept::Failed(
        serde_json::from_str(error).unwrap_or_else(|_| error.to_owned()),
    ))
}

/// An error's text, cut so that it does not push out other results.
fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_ERROR {
        let whole = text.len();
        text.truncate(boundary(&text, LONGEST_ERROR));
        text += &format!(" [cut: {} of {whole} bytes]", text.len());
    }
    text
}

/// How a task with this result ended; `None` if its text is too long to be kept.
pub(super) fn ending<T>(result: Result<T, TaskError>, to_text: ToText<T>) -> Option<Ending> {
    let end = match result {
        // Serialising the value and dropping it run user code, which may panic.
        Ok(value) => match panics::guard(|| to_text(value)) {
            Ok(Ok(text)) => Ending::Completed(text.into()),
            Ok(Err(NotKept::Failed(error))) => Ending::Failed(shortened(error).into()),
            Ok(Err(NotKept::TooLong)) => return None,
            Err(panic) => {
                panic.log("serialising a task's result");
                Ending::Failed(TaskError::Panicked.to_string().into())
            }
        },
        Err(TaskError::Cancelled) => Ending::Cancelled,
        Err(TaskError::TimedOut(_)) => Ending::TimedOut,
        Err(error @ TaskError::Panicked) => Ending::Failed(error.to_string().into()),
    };
    Some(end)
}

impl TaskStatus {
    /// The status of a task whose kept result is `ending`.
    pub(super) fn of(ending: Option<Ending>) -> Self {
        let Some(ending) = ending else {
            return Self::Unknown;
        };
        match ending {
            // Reading fails if the value is nested more deeply than serde_json reads.
            Ending::Completed(text) => match serde_json::from_str(&text) {
                Ok(value) => Self::Completed(value),
                Err(error) => Self::Failed(format!("the result cannot be read back: {error}")),
            },
            Ending::Failed(text) => Self::Failed(text.as_ref().to_owned()),
            Ending::Cancelled => Self::Cancelled,
            Ending::TimedOut => Self::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::Json;
    use crate::tracker::kept_results::{LONGEST, MOST, Results};
    use crate::tracker::{Owner, TaskId};

    fn id(number: usize) -> TaskId {
        format!("{number:032x}").parse().unwrap()
    }

    fn keep_as(results: &Results, number: usize, owner: Owner, end: Ending) {
        results.keep(id(number), owner, end, Instant::now());
    }

    fn keep(results: &Results, number: usize, value: impl Into<Value>) {
        if let Some(end) = ending(Ok(value.into()), value_text) {
            keep_as(results, number, Owner::Session(None), end);
        }
    }

    fn find(results: &Results, number: usize) -> TaskStatus {
        TaskStatus::of(results.find(id(number), None, Instant::now()))
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let results = Results::default();
        for number in 0..=MOST {
            keep(&results, number, number);
        }
        assert_eq!(find(&results, 0), TaskStatus::Unknown);
        assert_eq!(find(&results, 1), TaskStatus::Completed(1.into()));
        assert_eq!(find(&results, MOST), TaskStatus::Completed(MOST.into()));
    }

    #[test]
    fn large_results_push_others_out_and_a_huge_one_is_not_kept() {
        let results = Results::default();
        let large = || "x".repeat(MOST_BYTES / 2);
        keep(&results, 1, large());
        keep(&results, 2, large());
        assert_eq!(find(&results, 1), TaskStatus::Unknown);
        assert_ne!(find(&results, 2), TaskStatus::Unknown);
        keep(&results, 3, "x".repeat(MOST_BYTES + 1));
        assert_eq!(find(&results, 3), TaskStatus::Unknown);
        assert_ne!(find(&results, 2), TaskStatus::Unknown);
    }

    #[test]
    fn the_names_of_sessions_take_room_as_well() {
        let results = Results::default();
        let session = || Owner::Session(Some("x".repeat(MOST_BYTES / 2).into()));
        keep_as(&results, 1, Owner::Anyone, Ending::Cancelled);
        for number in 2..5 {
            keep_as(&results, number, session(), Ending::Cancelled);
        }
        assert_eq!(find(&results, 1), TaskStatus::Unknown);
        assert_eq!(results.len(), 2);
    }

    #[test]
    fn a_result_of_a_session_is_unknown_to_callers_without_one() {
        let results = Results::default();
        let alice = || Owner::Session(Some("alice".into()));
        keep_as(&results, 1, alice(), Ending::Cancelled);
        keep_as(&results, 2, Owner::Anyone, Ending::Cancelled);
        assert_eq!(find(&results, 1), TaskStatus::Unknown);
        assert_eq!(find(&results, 2), TaskStatus::Cancelled);
    }

    #[test]
    fn a_huge_error_is_cut_and_pushes_nothing_out() {
        let results = Results::default();
        keep(&results, 1, "kept");
        let error: Result<u8, String> = Err("é".repeat(MOST_BYTES));
        let end = ending(Ok(error), result_text).unwrap();
        keep_as(&results, 2, Owner::Anyone, end);
        assert_eq!(find(&results, 1), TaskStatus::Completed("kept".into()));
        let TaskStatus::Failed(text) = find(&results, 2) else {
            panic!("an error");
        };
        assert!(text.len() < LONGEST_ERROR + 100 && text.contains("[cut: "));
    }

    #[test]
    fn an_old_result_is_forgotten() {
        let (results, now) = (Results::default(), Instant::now());
        results.keep(id(1), Owner::Anyone, Ending::Cancelled, now);
        let after = |more| {
            let then = now + LONGEST + Duration::from_secs(more);
            TaskStatus::of(results.find(id(1), None, then))
        };
        assert_eq!(after(0), TaskStatus::Cancelled);
        assert_eq!(after(1), TaskStatus::Unknown);
    }

    #[test]
    fn every_end_is_found_as_it_was() {
        let results = Results::default();
        let value = serde_json::json!({ "a": [1, -2.5, "\u{1}\"", null, true] });
        keep(&results, 1, value.clone());
        let error = TaskError::Panicked;
        let end = ending::<Value>(Err(error.clone()), value_text).unwrap();
        keep_as(&results, 2, Owner::Anyone, end);
        let end = ending(Ok(Err::<(), BoxError>("it is broken".into())), result_text).unwrap();
        keep_as(&results, 3, Owner::Anyone, end);
        assert_eq!(find(&results, 1), TaskStatus::Completed(value));
        assert_eq!(find(&results, 2), TaskStatus::Failed(error.to_string()));
        assert_eq!(
            find(&results, 3),
            TaskStatus::Failed("it is broken".to_owned())
        );
    }

    #[test]
    fn a_result_that_is_nested_too_deeply_says_so() {
        let results = Results::default();
        let deep = (0..200).fold(Value::Null, |inner, _| vec![inner].into());
        keep(&results, 1, deep);
        let TaskStatus::Failed(error) = find(&results, 1) else {
            panic!("it has been read back");
        };
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }

    #[derive(serde::Serialize)]
    struct Broken {
        code: u8,
    }

    /// Calls `value_text` as generic code does, which knows only that the value is `Serialize`.
    fn text_of<T: Serialize>(value: T) -> Finished {
        value_text(value)
    }

    #[test]
    fn a_result_is_never_written_as_an_enum() {
        let text = |finished: Finished| match finished {
            Ok(text) => text,
            Err(NotKept::Failed(error)) => format!("error: {error}"),
            Err(NotKept::TooLong) => panic!("it is short"),
        };
        let broken = || Broken { code: 7 };
        type Of<E> = Result<u8, E>;
        assert_eq!(text(text_of(Of::<String>::Ok(5))), "5");
        assert_eq!(text(text_of(Of::Err("a \"b\""))), "error: a \"b\"");
        assert_eq!(text(text_of(Of::Err(broken()))), r#"error: {"code":7}"#);
        assert_eq!(text(value_text(Json(Of::<String>::Ok(5)))), "5");
        // A value that only looks like a `Result` stays as it is.
        let alike = serde_json::json!({ "Ok": 5 });
        assert_eq!(text(text_of(alike)), r#"{"Ok":5}"#);
    }
}
