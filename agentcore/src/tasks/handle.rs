//! [`TaskHandle`]: the result of a spawned task, and what may be asked of the task by its id.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::shared::{Keep, Shared, Stage};
use super::status::{TaskResult, TaskStatus, result_text, value_text};
use crate::error::{BoxError, TimedOut};
use crate::request::with_scope;
use crate::tracker::{Origin as _, TaskId};

/// A task in the background. Await the handle for the result, drop it to leave the task running, or
/// [`detach`](Self::detach) it to ask for the result later.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = agentcore::spawn(std::future::pending::<u32>());
/// assert!(!task.is_finished());
/// task.abort();
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
///
/// # Cancel safety
///
/// Safe: an await of `&mut handle` may be dropped and begun again.
pub struct TaskHandle<T>(pub(super) SpawnedTask<T>);

impl<T> TaskHandle<T> {
    pub(super) fn new(task: SpawnedTask<T>) -> Self {
        Self(task)
    }
}

impl<T, E> TaskHandle<Result<T, E>> {
    /// Detaches the task, and keeps its result for [`task_status`], which a later invocation may call.
    ///
    /// A task may return a `Result`, as here, or any value that is `serde::Serialize`. The result belongs to the session that
    /// started the task: callers of another session, or of none, find it
    /// [`Unknown`](TaskStatus::Unknown), unless the task was started with [`TaskBuilder::any_session`](crate::TaskBuilder::any_session).
    ///
    /// The latest 1024 results are kept, for an hour, and together up to 16 MiB (16,777,216 bytes) of JSON text and session
    /// names. A result whose text alone is longer is not kept: its status is [`Unknown`](TaskStatus::Unknown). A result that is
    /// nested more than 127 levels deep is reported as [`Failed`](TaskStatus::Failed), since such JSON is not read.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use agentcore::{BoxError, TaskStatus, spawn, task_status};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Summary { words: u32 }
    ///
    /// let value = spawn(async { Summary { words: 3 } }).detach();
    /// let error = spawn(async { Err::<Summary, BoxError>("no words".into()) }).detach();
    /// # while task_status(error) == TaskStatus::Running { tokio::task::yield_now().await; }
    /// // Later:
    /// let words = serde_json::json!({ "words": 3 });
    /// assert_eq!(task_status(value), TaskStatus::Completed(words));
    /// assert_eq!(task_status(error), TaskStatus::Failed("no words".to_owned()));
    /// # });
    /// ```
    pub fn detach(self) -> TaskId
    where
        T: TaskResult,
        E: Into<BoxError>,
    {
        self.0
            .keep(|shared, result| shared.keep(result, result_text))
    }
}

impl<T> Deref for TaskHandle<T> {
    type Target = SpawnedTask<T>;

    fn deref(&self) -> &SpawnedTask<T> {
        &self.0
    }
}

/// The task that a [`TaskHandle`] is for, which derefs to it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use agentcore::{SpawnedTask, TaskBuilder};
///
/// fn describe<T>(task: &SpawnedTask<T>) -> String {
///     format!("{} {}", task.name(), task.id())
/// }
///
/// let task = TaskBuilder::new("count").spawn(async { 12 });
/// assert!(describe(&task).starts_with("count "));
/// # });
/// ```
pub struct SpawnedTask<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) abort: tokio::task::AbortHandle,
}

impl<T> SpawnedTask<T> {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.shared.id
    }

    /// The task's name: that of its function if it is an [`async_task`](macro@crate::async_task), else the one given to
    /// [`TaskBuilder::new`](crate::TaskBuilder::new), else the source location of the call.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the task has ended, in whatever way.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.shared.outcome.lock().stage, Stage::Ended(_))
    }

    /// Ends the task at its next await. Does nothing if the task has ended.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Like [`TaskHandle::detach`], for a task that returns a value that is `serde::Serialize`, and not a `Result`.
    ///
    /// Do not await the handle after this: awaiting it panics when the task has ended.
    pub fn detach(&self) -> TaskId
    where
        T: TaskResult,
    {
        self.keep(|shared, result| shared.keep(result, value_text))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("id", &self.id())
            .field("name", &self.name())
            .field("output", &type_name::<T>())
            .finish_non_exhaustive()
    }

    fn keep(&self, keep: Keep<T>) -> TaskId {
        let mut outcome = self.shared.outcome.lock();
        let ended = outcome.detach(keep);
        let late = outcome.late_and_detached();
        drop(outcome);
        if let Some((keep, late)) = late {
            keep(&self.shared, Err(TaskError::TimedOut(late)));
        }
        // The line about the task's end has left out the error, since there was a handle.
        if let Some(text) = ended.and_then(|result| keep(&self.shared, result)) {
            self.shared.report_unread(text);
        }
        self.shared.id
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// When polled after it has completed, or after the task has been detached and has ended.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A waker is user code: it is cloned before the lock is taken, and dropped after it is released.
        let waker = cx.waker().clone();
        let mut outcome = self.0.shared.outcome.lock();
        match std::mem::replace(&mut outcome.stage, Stage::Taken) {
            Stage::Ended(result) => {
                drop(outcome);
                Poll::Ready(result)
            }
            Stage::Taken => {
                drop(outcome);
                panic!("a `TaskHandle` was polled after it had completed, or was detached");
            }
            not_yet => {
                outcome.stage = not_yet;
                let earlier = outcome.waker.replace(waker);
                drop(outcome);
                drop(earlier);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        let mut outcome = self.0.shared.outcome.lock();
        let (result, waker) = (outcome.abandon(), outcome.waker.take());
        // The result and the waker are the user's, so they are dropped without the lock.
        drop(outcome);
        let error_text = self.0.shared.error_text;
        if let Some(text) = result
            .as_ref()
            .and_then(|result| error_text(result.as_ref().ok()?))
        {
            self.0.shared.report_unread(text);
        }
        drop((result, waker));
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, "TaskHandle")
    }
}

impl<T> fmt::Debug for SpawnedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, "SpawnedTask")
    }
}

/// Why a background task has no result.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let error = agentcore::spawn(async { panic!("no luck") }).await.unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(error.to_string(), "the task panicked");
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It was aborted, or its runtime was shut down.
    Cancelled,
    /// It panicked; the log says how.
    Panicked,
    /// It took longer than its limit, or was aborted because it became older than
    /// [`Config::task_max_age`](crate::Config::task_max_age).
    TimedOut(TimedOut),
}

impl TaskError {
    /// It was aborted, or its runtime was shut down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// It panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked)
    }

    /// It took longer than its limit.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked => f.write_str("the task panicked"),
            Self::TimedOut(late) => write!(f, "the task {late}"),
        }
    }
}

impl std::error::Error for TaskError {}

/// The state of a [detached](TaskHandle::detach) task, or how it ended.
///
/// The task is reported only to callers of its session, which is that of the request that started it
/// ([`RequestContext::session_id`](crate::RequestContext::session_id)). A task that was started outside of requests, or by a
/// request without a session, belongs to callers without one. For all other callers the task is
/// [`Unknown`](TaskStatus::Unknown), as is an id that was never given. [`TaskBuilder::any_session`](crate::TaskBuilder::any_session) lifts this for a task.
///
/// Any running task can be asked for by its id. After its end, only a detached task is known.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use agentcore::{TaskStatus, spawn, task_status};
/// use serde_json::json;
///
/// let id = spawn(async { json!({ "pages": 12 }) }).detach();
/// assert_eq!(task_status(id), TaskStatus::Running);
/// while task_status(id) == TaskStatus::Running {
///     tokio::task::yield_now().await;
/// }
/// assert_eq!(task_status(id), TaskStatus::Completed(json!({ "pages": 12 })));
/// # });
/// ```
#[must_use]
pub fn task_status(id: TaskId) -> TaskStatus {
    with_scope(|tracker, scope| {
        let session = scope.and_then(|scope| scope.session_id());
        // In this order: the result is stored before the task leaves the table, so one of the two lookups finds it.
        if tracker.is_running_for(id, session) {
            TaskStatus::Running
        } else {
            TaskStatus::of(tracker.results().find(id, session, Instant::now()))
        }
    })
}

/// Ends a background task at its next await; `false` if it has ended, was not [`spawn`](crate::spawn)ed, or belongs to another session (see
/// [`task_status`]).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use agentcore::{TaskStatus, cancel_task, spawn, task_status};
///
/// let id = spawn(std::future::pending::<()>()).detach();
/// assert!(cancel_task(id));
/// while task_status(id) == TaskStatus::Running {
///     tokio::task::yield_now().await;
/// }
/// assert_eq!(task_status(id), TaskStatus::Cancelled);
/// assert!(!cancel_task(id));
/// # });
/// ```
pub fn cancel_task(id: TaskId) -> bool {
    with_scope(|tracker, scope| tracker.abort_for(id, scope.and_then(|scope| scope.session_id())))
}
