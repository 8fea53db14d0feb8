//! [`TaskEnd`]: how a task ends, and [`report()`]: the line that says it.
//!
//! [`BusyTracker::end_task`](super::BusyTracker::end_task) calls [`report()`] once for each task. For a task that is too old,
//! [`BusyTracker::end_old`](super::BusyTracker::end_old) does. Until then the task's [`TaskEnd`] holds what is known.

use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::origin::{self, Origin};
use super::task::Task;
use crate::report::{self, Ended, Outcome, Work};
use crate::util::text::cut;

/// The maximum length of an error's text in bytes.
const LONGEST_ERROR: usize = 8 << 10;

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    /// It completed, or the program dropped its guard.
    #[default]
    Completed,
    /// It returned an error.
    Failed(Failure),
    /// It panicked.
    Panicked,
    /// It took longer than its limit.
    TimedOut,
    /// It was aborted, or its future was dropped.
    Cancelled,
    /// The shutdown ended without waiting for it.
    CutOff,
}

/// The error of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) text: String,
    /// Whether code of the program has the error, or can still take it: it awaits the task, or holds its handle. Then that
    /// code reports the error.
    pub(crate) is_received: bool,
    /// Whether the error is that the `timeout` of the task's function is over.
    pub(crate) is_late: bool,
}

impl Failure {
    pub(crate) fn new(text: String, is_received: bool) -> Self {
        Self {
            text: cut(text, LONGEST_ERROR),
            is_received,
            is_late: false,
        }
    }
}

impl TaskEnd {
    /// Its name in metrics, spans and lines.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Completed => Outcome::Success,
            Self::Failed(failure) if failure.is_late => Outcome::Timeout,
            Self::Failed(_) => Outcome::Error,
            Self::Panicked => Outcome::Panic,
            Self::TimedOut => Outcome::Timeout,
            Self::Cancelled => Outcome::Cancelled,
            Self::CutOff => Outcome::CutOff,
        }
    }
}

/// Writes the line that says how a task has ended. Called once for each task, on the thread that ended it, after the task has
/// left every list. `usual` is the level of a line without a failure; without level and failure, nothing is written.
pub(super) fn report<O: Origin>(task: &Task<O>, usual: Option<Level>) {
    let usual = usual.filter(|level| *level <= LevelFilter::current());
    let failure = match (task.failure(), task.end()) {
        (Some(failure), _) => Some(failure.clone()),
        // Logged, because no code receives the error.
        (
            None,
            TaskEnd::Failed(Failure {
                text,
                is_received: false,
                ..
            }),
        ) => {
            let what = format!("task `{}`", task.name);
            Some(report::Failure::error(what, text.clone()))
        }
        _ => None,
    };
    if task.is_named() {
        // The line of the stop is that of the task.
        if let Some(failure) = failure {
            let origin = task.origin.clone();
            report::emit(move || origin::enter(origin.as_ref(), || failure.log()));
        }
        return;
    }
    if failure.is_none() && usual.is_none() {
        return;
    }
    let (name, outcome) = (task.name.clone(), task.end().outcome());
    let (id, took) = (task.id(), task.started.elapsed());
    let origin = task.origin.clone();
    let write = move || {
        Ended {
            work: Work::Task,
            name: &name,
            task_id: id.map(|id| id.to_string()),
            route: None,
            by_layer: false,
            outcome,
            status: None,
            took,
            failure: failure.as_ref(),
        }
        .log(usual.unwrap_or(Level::INFO));
    };
    report::emit(move || origin::enter(origin.as_ref(), write));
}
