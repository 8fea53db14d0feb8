//! How tasks end.
//!
//! Every task ends in [`BusyTracker::end_task`](super::BusyTracker::end_task), which calls [`report`] once for each. What was
//! found out before stands in the task's [`TaskEnd`].

use super::Task;
use crate::events;
use crate::telemetry::Outcome;

/// Of an error's text so many bytes are kept.
const LONGEST_ERROR: usize = 8 << 10;

/// How a task ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    /// It completed, or the program dropped its guard.
    #[default]
    Completed,
    /// It returned an error.
    Failed(Failure),
    /// It panicked. The panic has been logged.
    Panicked,
    /// It took longer than its limit.
    TimedOut,
    /// It was aborted, or its future was dropped.
    Cancelled,
    /// The shutdown did not wait for it.
    CutOff,
}

/// The error of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) text: String,
    /// Whether code of the program has the error, or can still take it: that code awaits the task, or has its handle. Then it
    /// is for that code to report it.
    pub(crate) is_received: bool,
    /// Whether the error says that the `timeout` of the task's function was over.
    pub(crate) is_late: bool,
}

impl Failure {
    pub(crate) fn new(text: String, is_received: bool) -> Self {
        Self {
            text: super::cut(text, LONGEST_ERROR),
            is_received,
            is_late: false,
        }
    }
}

impl TaskEnd {
    /// What the span of the task says of it, if it says anything.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Failed(failure) if failure.is_late => Some(Outcome::Timeout),
            Self::Completed | Self::Failed(_) => None,
            Self::Panicked => Some(Outcome::Panic),
            Self::TimedOut => Some(Outcome::Timeout),
            Self::Cancelled => Some(Outcome::Cancelled),
            Self::CutOff => Some(Outcome::CutOff),
        }
    }
}

/// Called once for each task, when it has ended, on the thread that ended it. The task is in no list any more; the agent is
/// still busy with it.
pub(super) fn report(task: &Task) {
    // An error that nobody receives would be lost.
    let TaskEnd::Failed(failure) = task.end() else {
        return;
    };
    if failure.is_received {
        return;
    }
    let (called, text) = (task.called(), failure.text.clone());
    events::emit_below(task.scope.clone(), move || {
        tracing::error!(errorMessage = text, "{called} failed: {text}");
    });
}
