//! What a spawned task shares with its handle: the outcome, and who is woken by it.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::TaskGuard;
use super::error_text::error_text;
use super::handle::TaskError;
use super::status::{self, ToText};
use crate::error::TimedOut;
use crate::report;
use crate::report::panics;
use crate::request::TrackerHandle;
use crate::tracker::{EndedByAge, Failure, Owner, TaskEnd, TaskId};
use crate::util::sync::Mutex;

/// Stores a result that is not awaited. If the result is an error, returns its text.
pub(super) type Keep<T> = fn(&Shared<T>, Result<T, TaskError>) -> Option<String>;

/// The state that a task and its handle share.
pub(super) struct Shared<T> {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    pub(super) owner: Owner,
    pub(super) tracker: TrackerHandle,
    /// Reads the text of an error that the task returned.
    pub(super) error_text: fn(&T) -> Option<String>,
    pub(super) outcome: Mutex<Outcome<T>>,
}

impl<T> Shared<T> {
    /// Stores the result, as the text from `to_text`.
    pub(super) fn keep(&self, result: Result<T, TaskError>, to_text: ToText<T>) -> Option<String> {
        let is_returned = result.is_ok();
        let mut end = status::ending(result, to_text)?;
        // Making the text is the user's code, and may have taken longer than the age.
        if let Some(late) = self.settle() {
            end = status::ending(Err(TaskError::TimedOut(late)), to_text)?;
        }
        let error = end.error().filter(|_| is_returned).map(str::to_owned);
        self.tracker
            .results()
            .keep(self.id, self.owner.clone(), end, Instant::now());
        error
    }

    /// Decides that the result is the task's own, unless the task has been ended for its age.
    pub(super) fn settle(&self) -> Option<TimedOut> {
        let mut outcome = self.outcome.lock();
        outcome.is_settled = outcome.late.is_none();
        outcome.late
    }

    /// Ends the task, for its age if that has been noticed: then the thread that has noticed it may be about to do so as well.
    pub(super) fn end(&self, guard: TaskGuard) {
        let late = self.outcome.lock().late;
        match late {
            Some(late) => guard.end_by_age(late.limit()),
            None => drop(guard),
        }
    }

    /// Logs an error that the task has left to its handle, and that no code has read.
    pub(super) fn report_unread(&self, text: String) {
        let what = format!("task `{}`", self.name);
        report::Failure::error(what, text).log();
    }
}

impl<T: Send + 'static> EndedByAge for Shared<T> {
    fn ended_by_age(&self, late: TimedOut) -> bool {
        let mut outcome = self.outcome.lock();
        if outcome.is_settled && outcome.late.is_none() {
            return false;
        }
        outcome.late = Some(late);
        let late = outcome.late_and_detached();
        drop(outcome);
        if let Some((keep, late)) = late {
            keep(self, Err(TaskError::TimedOut(late)));
        }
        true
    }
}

/// The stage of a task, and the waker of the code that awaits it.
pub(super) struct Outcome<T> {
    pub(super) stage: Stage<T>,
    /// Set when the task has been ended for its age. Its code may still run.
    pub(super) late: Option<TimedOut>,
    /// Set when the result has been decided. From then on the age of the task no longer matters.
    pub(super) is_settled: bool,
    /// The waker of the task that awaits the handle.
    pub(super) waker: Option<Waker>,
}

/// The progress of a task, and the use of its result.
pub(super) enum Stage<T> {
    /// It runs, and there is a handle.
    Awaited,
    /// It runs, and its handle is gone. Its result will be dropped as a part of the task.
    Abandoned,
    /// It runs, and its result will be kept.
    Detached(Keep<T>),
    /// It has ended, and its guard is being dropped. The handle shows the result once the agent no longer counts the task.
    Ending(Result<T, TaskError>),
    Ended(Result<T, TaskError>),
    /// The result has been taken.
    Taken,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            stage: Stage::Awaited,
            late: None,
            is_settled: false,
            waker: None,
        }
    }
}

impl<T> Outcome<T> {
    /// For a detached task that was ended for its age while its code still runs: how to keep its result, and the limit.
    pub(super) fn late_and_detached(&self) -> Option<(Keep<T>, TimedOut)> {
        match (&self.stage, self.late) {
            (Stage::Detached(keep), Some(late)) => Some((*keep, late)),
            _ => None,
        }
    }

    /// Detaches the task. Returns a result that is already there, for the caller to keep.
    pub(super) fn detach(&mut self, keep: Keep<T>) -> Option<Result<T, TaskError>> {
        self.leave(Stage::Detached(keep))
    }

    /// Drops the handle's claim. Returns a result that is already there, for the caller to drop.
    pub(super) fn abandon(&mut self) -> Option<Result<T, TaskError>> {
        self.leave(Stage::Abandoned)
    }

    /// Takes a result that is already there. A task that the handle waits for goes on in the stage `without_handle`.
    fn leave(&mut self, without_handle: Stage<T>) -> Option<Result<T, TaskError>> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Ending(result) | Stage::Ended(result) => return Some(result),
            Stage::Awaited => self.stage = without_handle,
            other => self.stage = other,
        }
        None
    }
}

/// The task's side of [`Shared`]. Dropping it before the task has ended reports the task as cancelled.
pub(super) struct Finish<T: 'static> {
    pub(super) shared: Arc<Shared<T>>,
    /// `None` once it has ended.
    pub(super) guard: Option<TaskGuard>,
}

impl<T> Finish<T> {
    /// Records the details for the line about the task's end.
    pub(super) fn note(&self, failure: report::Failure) {
        if let Some(guard) = &self.guard {
            guard.note_failure(failure);
        }
    }

    /// Ends the task. The drop of the guard ends spans, and the drop of a result is user code, so neither happens under the
    /// lock.
    pub(super) fn leave(&mut self, result: Result<T, TaskError>) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        let late = self.shared.outcome.lock().late;
        let result = match (result, late) {
            // It was aborted for its age.
            (Err(TaskError::Cancelled), Some(late)) => Err(TaskError::TimedOut(late)),
            (result, _) => result,
        };
        let error = match &result {
            Ok(value) => error_text(value),
            Err(error) => {
                guard.note_end(match error {
                    TaskError::Cancelled => TaskEnd::Cancelled,
                    TaskError::Panicked => TaskEnd::Panicked,
                    TaskError::TimedOut(_) => TaskEnd::TimedOut,
                });
                None
            }
        };
        let failed = |text, is_received| {
            guard.note_end(TaskEnd::Failed(Failure::new(text, is_received)));
        };
        let mut outcome = self.shared.outcome.lock();
        match std::mem::replace(&mut outcome.stage, Stage::Taken) {
            // The result is stored before the task leaves the table, so that its status is never unknown in between.
            Stage::Detached(keep) => {
                let (late, waker) = (outcome.late, outcome.waker.take());
                drop(outcome);
                if late.is_some() {
                    // The status became `TimedOut` when the age was noticed, and stays that.
                    panics::drop_caught(result, "the result of a task");
                } else if let Some(text) = keep(&self.shared, result) {
                    failed(text, false);
                }
                self.shared.end(guard);
                // Code may await the handle of a detached task by mistake. It is woken, so that its poll can panic.
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            // No code takes the result, so its drop is the last step of the task.
            Stage::Abandoned => {
                drop(outcome);
                if let Some(text) = error {
                    failed(text, false);
                }
                panics::drop_caught(result, "the result of a task");
                self.shared.end(guard);
            }
            // Code that awaits the result finds the task over, and the agent idle if this was its last work.
            _ => {
                // What the line of a task that was too old says, its handle says, too.
                let (result, unwanted) = match outcome.late {
                    Some(late) => (Err(TaskError::TimedOut(late)), Some(result)),
                    None => (result, None),
                };
                outcome.is_settled = true;
                outcome.stage = Stage::Ending(result);
                drop(outcome);
                match (unwanted, error) {
                    (Some(unwanted), _) => {
                        panics::drop_caught(unwanted, "the result of a task");
                    }
                    (None, Some(text)) => failed(text, true),
                    (None, None) => {}
                }
                self.shared.end(guard);
                self.show();
            }
        }
    }

    /// Shows the result to the handle, if there still is one.
    pub(super) fn show(&self) {
        let mut outcome = self.shared.outcome.lock();
        match std::mem::replace(&mut outcome.stage, Stage::Taken) {
            Stage::Ending(result) => outcome.stage = Stage::Ended(result),
            other => outcome.stage = other,
        }
        let waker = outcome.waker.take();
        drop(outcome);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        self.leave(Err(TaskError::Cancelled));
    }
}
