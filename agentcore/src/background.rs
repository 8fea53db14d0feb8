//! Background work: tasks that outlive the reply of the invocation that started them.

mod results;

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tracing::Instrument as _;

use crate::context::{spawn_in_scope, with_scope};
use crate::panics;
use crate::stall::{self, At};
use crate::sync::{Mutex, MutexGuard};
use crate::tasks::{TaskGuard, TaskId, TimedOut, TrackerHandle, timeout, track};
use crate::telemetry::{self, Current};

pub(crate) use results::Results;
pub use results::{TaskResult, TaskStatus};

/// Starts `future` in the background: the agent is busy from this call until it has ended.
///
/// It outlives the invocation, keeps its [`RequestContext`](crate::RequestContext) and tracing span, and a panic in it is
/// logged and reported to whoever awaits the handle. Dropping the handle leaves it running.
/// [`TaskBuilder`] gives it a name or a time limit.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = agentcore::spawn(async { 6 * 7 });
/// assert_eq!(agentcore::async_task_info().active_count, 1);
/// assert_eq!(task.await.unwrap(), 42);
/// assert_eq!(agentcore::async_task_info().active_count, 0);
/// # });
/// ```
///
/// # Panics
///
/// Outside a Tokio runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> TaskHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let place = Location::caller();
    TaskBuilder::new(format!("{}:{}", place.file(), place.line())).spawn(future)
}

/// What a background task is called, and how long it may take.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use agentcore::TaskBuilder;
///
/// let task = TaskBuilder::new("hang").timeout(Duration::from_millis(5)).spawn(std::future::pending::<()>());
/// assert_eq!(task.name(), "hang");
/// assert!(task.await.unwrap_err().is_timeout());
/// # });
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder spawns nothing by itself"]
pub struct TaskBuilder {
    name: Cow<'static, str>,
    timeout: Option<Duration>,
}

impl TaskBuilder {
    /// A task of this name, without a time limit.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            timeout: None,
        }
    }

    /// Drops the task when it takes longer.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Starts `future`; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn spawn<F>(self, future: F) -> TaskHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let Self {
            name,
            timeout: limit,
        } = self;
        let guard = track(name.clone());
        let id = guard.id();
        let current = guard.current().unwrap_or_else(Current::here);
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let tracker = guard.tracker().clone();
        let limit = limit.into_iter().chain(tracker.max_age()).min();
        let finish = Finish {
            outcome: Arc::clone(&outcome),
            id,
            tracker: tracker.clone(),
            guard: Some(guard),
        };
        let task = {
            let name = name.clone();
            async move {
                let mut caught = pin!(panics::catch(future));
                let ended = match limit {
                    None => Ok(caught.as_mut().await),
                    Some(limit) => timeout(limit, caught.as_mut()).await,
                };
                // What it still holds is a part of it.
                caught.give_up(&format!("task `{name}`"));
                finish.with(match ended {
                    Ok(Ok(value)) => Ok(value),
                    Ok(Err(panic)) => {
                        panic.log(&format!("task `{name}`"));
                        Err(panic
                            .limit()
                            .map_or(TaskError::Panicked, TaskError::TimedOut))
                    }
                    Err(late) => {
                        tracing::error!("task `{name}` {id} {late}");
                        Err(TaskError::TimedOut(late))
                    }
                });
            }
        };
        let task = current.wrap(task);
        let task = stall::watch(At::task(id.ticket()), task);
        let abort = spawn_in_scope(task.in_current_span()).abort_handle();
        tracker.make_abortable(id, abort.clone());
        TaskHandle {
            id,
            name,
            abort,
            outcome,
            tracker,
        }
    }
}

/// A task in the background. Await it for its result; drop it to leave it running; [`detach`](Self::detach) it to ask for
/// its result later.
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
/// Awaiting `&mut handle` may be given up and taken up again.
pub struct TaskHandle<T> {
    id: TaskId,
    name: Cow<'static, str>,
    abort: tokio::task::AbortHandle,
    outcome: Arc<Mutex<Outcome<T>>>,
    tracker: TrackerHandle,
}

impl<T> TaskHandle<T> {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Its name: the place of the call, unless [`TaskBuilder`] gave another.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended, in whatever way.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(lock(&self.outcome).stage, Stage::Ended(_))
    }

    /// Ends the task at its next await; nothing happens if it has ended.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Lets go of the task, and keeps its result for [`task_status`] to find, in a later invocation perhaps.
    ///
    /// Of the finished ones the latest 1024 are kept, for an hour, and together up to 16 MiB (16,777,216 bytes) of JSON text.
    /// A result whose text alone is longer is not kept: its status is [`Unknown`](TaskStatus::Unknown). One that is nested
    /// more than 127 levels deep is [`Failed`](TaskStatus::Failed) when it is asked for, since such JSON is not read.
    pub fn detach(self) -> TaskId
    where
        T: TaskResult,
    {
        let keep: Keep<T> = |result, id, tracker| tracker.results().keep(id, result);
        let ended = lock(&self.outcome).detach(keep);
        if let Some(result) = ended {
            keep(result, self.id, &self.tracker);
        }
        self.id
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// When polled after it has completed.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Wakers are the caller's: they are cloned before the lock is taken, and dropped after it is released.
        let waker = cx.waker().clone();
        let mut outcome = lock(&self.outcome);
        match std::mem::replace(&mut outcome.stage, Stage::Taken) {
            Stage::Ended(result) => {
                drop(outcome);
                Poll::Ready(result)
            }
            Stage::Taken => {
                drop(outcome);
                panic!("a `TaskHandle` was polled after it had completed");
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
        let mut outcome = lock(&self.outcome);
        let (result, waker) = (outcome.abandon(), outcome.waker.take());
        // Both are the user's, and dropped without the lock.
        drop(outcome);
        drop((result, waker));
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("output", &type_name::<T>())
            .finish_non_exhaustive()
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
    /// It took longer than its limit.
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

/// How a task that was [detached](TaskHandle::detach) is doing, or how it ended.
///
/// Any running task can be asked about by its id; of those that were not detached nothing is known once they have ended.
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
    with_scope(|tracker, _| {
        // In this order: a result is there before its task leaves the list, so one of the two looks finds it.
        if tracker.is_running(id) {
            TaskStatus::Running
        } else {
            tracker.results().find(id)
        }
    })
}

/// Ends a background task at its next await; `false` if it has ended, or was not [`spawn`]ed.
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
    with_scope(|tracker, _| tracker.abort(id))
}

/// Stores a result that nobody awaits.
type Keep<T> = fn(Result<T, TaskError>, TaskId, &TrackerHandle);

/// What a task and its handle share.
struct Outcome<T> {
    stage: Stage<T>,
    /// The one that awaits the handle.
    waker: Option<Waker>,
}

/// How far the task is, and what its result is for.
enum Stage<T> {
    /// It runs, and there is a handle.
    Awaited,
    /// It runs, and its handle is gone: its result is dropped, as a part of the task.
    Abandoned,
    /// It runs, and its result is to be kept.
    Detached(Keep<T>),
    /// It has ended, and its guard is being dropped: the handle shows the result once the agent no longer counts the task.
    Ending(Result<T, TaskError>),
    Ended(Result<T, TaskError>),
    /// The result is elsewhere.
    Taken,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            stage: Stage::Awaited,
            waker: None,
        }
    }
}

impl<T> Outcome<T> {
    /// Lets go of the handle. The result, if there is one, is the caller's to keep.
    fn detach(&mut self, keep: Keep<T>) -> Option<Result<T, TaskError>> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Ending(result) | Stage::Ended(result) => Some(result),
            Stage::Awaited => {
                self.stage = Stage::Detached(keep);
                None
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Lets go of the handle. The result, if there is one, is the caller's to drop.
    fn abandon(&mut self) -> Option<Result<T, TaskError>> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Ending(result) | Stage::Ended(result) => Some(result),
            Stage::Awaited => {
                self.stage = Stage::Abandoned;
                None
            }
            other => {
                self.stage = other;
                None
            }
        }
    }
}

fn lock<T>(outcome: &Mutex<Outcome<T>>) -> MutexGuard<'_, Outcome<T>> {
    outcome.lock()
}

/// The task's end of [`Outcome`]; a task that is dropped was cancelled.
struct Finish<T> {
    outcome: Arc<Mutex<Outcome<T>>>,
    id: TaskId,
    tracker: TrackerHandle,
    /// `None` once it has ended.
    guard: Option<TaskGuard>,
}

impl<T> Finish<T> {
    fn with(mut self, result: Result<T, TaskError>) {
        self.leave(result);
    }

    /// Ends the task. The drop of the guard ends spans, and the drop of a result is the user's code, so neither happens
    /// under the lock.
    fn leave(&mut self, result: Result<T, TaskError>) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        if let Err(error) = &result {
            guard.note(match error {
                TaskError::Cancelled => telemetry::Outcome::Cancelled,
                TaskError::Panicked => telemetry::Outcome::Panic,
                TaskError::TimedOut(_) => telemetry::Outcome::Timeout,
            });
        }
        let mut outcome = lock(&self.outcome);
        match std::mem::replace(&mut outcome.stage, Stage::Taken) {
            // The result is there before the task leaves the list, so that its status is never unknown in between.
            Stage::Detached(keep) => {
                drop(outcome);
                keep(result, self.id, &self.tracker);
                drop(guard);
            }
            // Nothing shows the result: its drop is the last that the task does.
            Stage::Abandoned => {
                drop(outcome);
                panics::drop_caught(result, "the result of a task");
                drop(guard);
            }
            // The one that awaits the result finds the task over, and the agent idle if this was its last work.
            _ => {
                outcome.stage = Stage::Ending(result);
                drop(outcome);
                drop(guard);
                self.show();
            }
        }
    }

    /// Shows the result to the handle, unless that has been let go of meanwhile.
    fn show(&self) {
        let mut outcome = lock(&self.outcome);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes at once, and still holds something.
    struct Full(Option<tokio::sync::oneshot::Sender<bool>>);

    impl Future for Full {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    impl Drop for Full {
        fn drop(&mut self) {
            let name = "full of what it holds";
            let runs = crate::async_task_info().running_jobs;
            let counts = runs.iter().any(|job| job.name == name);
            let _ = self.0.take().map(|told| told.send(counts));
        }
    }

    #[tokio::test]
    async fn what_a_future_still_holds_when_it_is_over_is_a_part_of_the_task() {
        let (sender, counts) = tokio::sync::oneshot::channel();
        let task = TaskBuilder::new("full of what it holds").spawn(Full(Some(sender)));
        task.await.unwrap();
        assert_eq!(counts.await, Ok(true));
    }

    /// A result that tells, when it is dropped, whether its task still counts.
    struct Noisy(&'static str, Option<tokio::sync::oneshot::Sender<bool>>);

    impl Drop for Noisy {
        fn drop(&mut self) {
            let runs = crate::async_task_info().running_jobs;
            let counts = runs.iter().any(|job| job.name == self.0);
            let _ = self.1.take().map(|told| told.send(counts));
        }
    }

    #[tokio::test]
    async fn a_result_that_nobody_takes_is_dropped_as_a_part_of_the_task() {
        let (sender, counts) = tokio::sync::oneshot::channel();
        let result = Noisy("nobody", Some(sender));
        drop(TaskBuilder::new("nobody").spawn(async move { result }));
        assert_eq!(counts.await, Ok(true));
    }

    #[tokio::test]
    async fn a_result_that_is_awaited_belongs_to_its_handle() {
        let (sender, mut counts) = tokio::sync::oneshot::channel();
        let result = Noisy("handle", Some(sender));
        let task = TaskBuilder::new("handle").spawn(async move { result });
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(counts.try_recv().is_err(), "it is kept for the handle");
        drop(task);
        assert_eq!(counts.await, Ok(false));
    }
}
