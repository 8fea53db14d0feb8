//! [`Task`]: everything about one running task.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use serde_json::Value;
use tokio::task::AbortHandle;

use super::{Origin, TaskEnd, TaskId, names, owner};
use crate::error::TimedOut;
use crate::otel::Span;
use crate::report;

/// Everything about one running task.
pub(super) struct Task<O> {
    pub(super) name: Cow<'static, str>,
    /// The place where the name is counted.
    pub(super) place: names::Place,
    pub(super) started: Instant,
    /// The request that the task was started in.
    pub(super) origin: Option<Arc<O>>,
    pub(super) span: Span,
    /// Whether the stop has named it as cut off, or counted it among those that it does not name. Then that is its line.
    pub(super) is_named: AtomicBool,
    /// `None` for most: a task is copied when it begins and when it ends.
    pub(super) rare: Option<Box<Rare>>,
}

/// The part of a spawned task that it shares with its handle.
pub(crate) trait EndedByAge: Send + Sync {
    /// The task is to count no longer, since it is older than tasks may become. Its code may still run. `false` if its result is
    /// settled: then it ends by itself at this moment.
    fn ended_by_age(&self, late: TimedOut) -> bool;
}

/// The fields that only some tasks use.
#[derive(Default)]
pub(super) struct Rare {
    /// Shared, so that a list copies only the reference under the lock.
    pub(super) metadata: Option<Arc<Value>>,
    /// Aborts a spawned task.
    pub(super) abort: Option<AbortHandle>,
    /// Called when a spawned task is ended for its age. Weak, so that dropping it drops nothing of the user's.
    pub(super) spawned: Option<Weak<dyn EndedByAge>>,
    /// `None` until the program asks for it.
    pub(super) id: Option<TaskId>,
    /// Whether callers of every session may ask for the task.
    pub(super) any_session: bool,
    /// How the task ends, as far as is known.
    pub(super) end: TaskEnd,
    /// The details for the line about its end.
    pub(super) failure: Option<Box<report::Failure>>,
}

impl<O: Origin> Task<O> {
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn id(&self) -> Option<TaskId> {
        self.rare.as_ref()?.id
    }

    pub(super) fn abort(&self) -> Option<&AbortHandle> {
        self.rare.as_ref()?.abort.as_ref()
    }

    pub(super) fn metadata(&self) -> Option<&Arc<Value>> {
        self.rare.as_ref()?.metadata.as_ref()
    }

    /// How the task has ended or will end, as far as is known.
    pub(super) fn end(&self) -> &TaskEnd {
        static COMPLETED: TaskEnd = TaskEnd::Completed;
        self.rare.as_ref().map_or(&COMPLETED, |rare| &rare.end)
    }

    pub(super) fn failure(&self) -> Option<&report::Failure> {
        self.rare.as_ref()?.failure.as_deref()
    }

    /// Whether a caller in `session` may ask for the task.
    pub(super) fn admits(&self, session: Option<&str>) -> bool {
        let any_session = self.rare.as_ref().is_some_and(|rare| rare.any_session);
        let own = || self.origin.as_ref().and_then(|origin| origin.session_id());
        any_session || owner::is_same(own(), session)
    }

    pub(super) fn is_named(&self) -> bool {
        self.is_named.load(Ordering::Relaxed)
    }

    /// Its name, and its id if anybody knows it.
    pub(super) fn called(&self) -> String {
        match self.id() {
            Some(id) => format!("task `{}` {id}", self.name),
            None => format!("task `{}`", self.name),
        }
    }
}
