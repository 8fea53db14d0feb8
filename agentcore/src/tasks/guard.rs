//! [`TaskGuard`] and [`track`]: tasks that end by the drop of a guard. [`add_async_task`]: tasks that end by their id.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tracked;
use crate::otel::Current;
use crate::report::Failure;
use crate::report::panics::Panic;
use crate::request::{Scope, TrackerHandle};
use crate::tracker::{TaskEnd, TaskId};

/// A running task. It ends when the guard is dropped.
///
/// Made by [`track`].
///
/// ```
/// let guard = agentcore::track("upload");
/// let id = guard.id();
/// drop(guard);
/// assert!(!agentcore::complete_async_task(id), "it is over");
/// ```
#[derive(Debug)]
#[must_use = "the task is over as soon as its guard is dropped; bind it to a name, not to `_`"]
pub struct TaskGuard {
    tracker: TrackerHandle,
    ticket: u64,
    /// Drawn at the first use. Kept here as well as in the table, because the task may have been ended by its id.
    id: OnceLock<TaskId>,
}

impl TaskGuard {
    /// The guard of a task that has begun.
    pub(crate) fn of(tracker: TrackerHandle, ticket: u64) -> Self {
        Self {
            tracker,
            ticket,
            id: OnceLock::new(),
        }
    }

    /// The task's id. It is drawn on the first call, which asks the operating system for random numbers and takes some hundred
    /// nanoseconds.
    ///
    /// # Panics
    ///
    /// If the operating system has no random numbers.
    #[must_use]
    pub fn id(&self) -> TaskId {
        *self.id.get_or_init(|| {
            let drawn = self.tracker.id(self.ticket);
            drawn.unwrap_or_else(TaskId::draw)
        })
    }

    /// Makes `future` the whole of the task: the guard moves into it, and the task ends when the future has completed, panicked
    /// or been dropped.
    ///
    /// This is what `#[async_task]` does for a function. A guard that an `async` block holds counts just as well. `wrap` has
    /// these effects in addition:
    ///
    /// - What the future still holds is dropped before the task ends, even if the future is dropped before its first poll.
    /// - The future belongs to the request that the task began in, under `tokio::spawn` too:
    ///   [`RequestContext::current`](crate::RequestContext::current), [`State::current`](crate::State::current) and log lines
    ///   know it.
    /// - A warning about a blocked thread, and a panic, are logged with the task's name.
    /// - [`Config::task_max_age`](crate::Config::task_max_age) ends the future, not only the task.
    /// - [`spawn`](crate::spawn) takes over the task, instead of beginning a second one.
    ///
    /// ```
    /// use agentcore::{PingStatus, current_ping_status, track};
    ///
    /// fn index(document: String) -> impl Future<Output = usize> {
    ///     track("index").wrap(async move { document.len() })
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let task = index("a long one".to_owned());
    /// assert_eq!(current_ping_status(), PingStatus::HealthyBusy); // before the first poll
    /// assert_eq!(task.await, 10);
    /// assert_eq!(current_ping_status(), PingStatus::Healthy);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// The future panics when it is polled after it has completed, and when the task is older than the maximum age of tasks.
    pub fn wrap<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        tracked(self, future)
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(crate) fn tracker(&self) -> &TrackerHandle {
        &self.tracker
    }

    /// The task's span as the current one; `None` while tracing is off.
    pub(crate) fn current(&self) -> Option<Current> {
        self.tracker.current(self.ticket)
    }

    /// Records how the task ends.
    pub(crate) fn note_end(&self, end: TaskEnd) {
        self.tracker.note_end(self.ticket, end);
    }

    /// Records the details for the line about the task's end.
    pub(crate) fn note_failure(&self, failure: Failure) {
        self.tracker.note_failure(self.ticket, failure);
    }

    /// Records a panic of the task, where no code of the library logs it.
    pub(super) fn note_panic(&self, panic: Panic) {
        let what = format!("task `{}`", self.name().unwrap_or_default());
        self.note_failure(Failure::panic(what, panic));
    }

    /// The task's name, while it runs.
    pub(crate) fn name(&self) -> Option<Cow<'static, str>> {
        self.tracker.task_name(self.ticket)
    }

    /// The request that the task began in.
    pub(crate) fn scope(&self) -> Option<Arc<Scope>> {
        self.tracker.origin(self.ticket)
    }

    /// The request that the task began in. A task from outside of requests is moved to the caller's request, for lists and logs.
    pub(crate) fn scope_or_callers(&self) -> Option<Arc<Scope>> {
        self.tracker
            .origin_or(self.ticket, crate::request::current())
    }

    pub(super) fn started(&self) -> Option<Instant> {
        self.tracker.started(self.ticket)
    }

    /// Ends the task, which has become older than `limit`.
    pub(crate) fn end_by_age(self, limit: Duration) {
        self.tracker.end_by_age(self.ticket, limit);
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.note_end(TaskEnd::Panicked);
        }
        // `false` if the task has already been ended by its id. Then there is nothing left to end.
        self.tracker.end_task(self.ticket);
    }
}

/// Begins a task named `name`. The agent is busy until the guard is dropped, in whatever way.
///
/// This is what `#[async_task]` does for a whole function. Costs well under a microsecond. The name is kept up to 256 bytes.
///
/// ```
/// use agentcore::{async_task_info, track};
///
/// let guard = track("compress");
/// assert_eq!(async_task_info().running_jobs[0].name, "compress");
/// drop(guard);
/// assert_eq!(async_task_info().active_count, 0);
/// ```
pub fn track(name: impl Into<Cow<'static, str>>) -> TaskGuard {
    crate::request::with_scope(|tracker, scope| {
        let ticket = tracker.begin_task(name.into(), None, scope);
        TaskGuard::of(tracker.clone(), ticket)
    })
}

/// Begins a task that [`complete_async_task`] has to end, for work whose end no scope marks.
///
/// Prefer [`track`] or `#[async_task]`: a task that is never completed keeps the session busy, and billed, until the
/// platform ends it. The name is kept up to 256 bytes. `metadata` is yours; [`async_task_info`](crate::async_task_info) shows
/// it beside the task.
///
/// ```
/// use serde_json::json;
///
/// let id = agentcore::add_async_task("transcribe", Some(json!({ "file": "talk.wav" })));
/// assert!(agentcore::complete_async_task(id));
/// assert!(!agentcore::complete_async_task(id), "it is over already");
/// ```
///
/// # Panics
///
/// If the operating system has no random numbers.
#[must_use = "without its id the task can never be completed"]
pub fn add_async_task(
    name: impl Into<Cow<'static, str>>,
    metadata: impl Into<Option<Value>>,
) -> TaskId {
    crate::request::with_scope(|tracker, scope| {
        // Drawn first: a task without an id could never be ended.
        let id = TaskId::draw();
        let ticket = tracker.begin_task(name.into(), metadata.into(), scope);
        // The task cannot have ended yet. If a list has drawn an id for it meanwhile, that one is used.
        tracker.id_or(ticket, id).unwrap_or(id)
    })
}

/// Ends a task; `false` if there is no such task, or if it is over already.
///
/// The caller's session does not matter, since work may report its end from anywhere. So the id is a secret: it cannot be
/// guessed, and is all that it takes to end the task. The line about the task's end has the id as `taskId`
/// ([`telemetry`](crate::telemetry#lines-of-invocations-sockets-and-tasks)), and so have the lines of the shutdown. A program
/// that takes ids from clients has to check that the task is the client's.
///
/// ```
/// let id = agentcore::add_async_task("poll", None);
/// assert!(agentcore::complete_async_task(id));
/// ```
pub fn complete_async_task(id: TaskId) -> bool {
    let tracker = crate::request::with_scope(|tracker, _| tracker.clone());
    // Outside `with_scope`: the line about the task's end is written in the scope that the task began in.
    tracker.complete(id)
}
