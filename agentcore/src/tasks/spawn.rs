//! Background work: tasks that outlive the reply of the invocation that started them.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tracing::Instrument as _;

use crate::error::BoxError;
use crate::error::{TimedOut, timeout};
use crate::otel::Current;
use crate::report;
use crate::report::panics;
use crate::report::stall::{self, At};
use crate::request::TrackerHandle;
use crate::request::{spawn_below, with_scope};
use crate::tracker::{EndedByAge, Failure, Origin as _, Owner, TaskEnd, TaskId};
use crate::util::sync::Mutex;

use super::error_text::error_text;
use super::results::{self, TaskResult, TaskStatus, ToText, result_text, value_text};
use super::{TaskGuard, adopt, track};

/// Starts `future` in the background. The agent is busy from this call until the future has ended.
///
/// The future outlives the invocation, and keeps its [`RequestContext`](crate::RequestContext) and tracing span. A panic is
/// logged, and reported to the code that awaits the handle. Dropping the handle leaves the task running; an error that it
/// returns is then logged. [`TaskBuilder`] sets a name or a time limit.
///
/// The future of an [`async_task`](macro@crate::async_task) function is a task already. Spawned, it stays that task, under the
/// name of its function. It belongs to the request that called the function and keeps that context, even if another request
/// spawns it. If the function was called outside of requests, the task belongs to the request that spawns it. An `async`
/// block that awaits such futures is a task of its own, beside theirs.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// #[agentcore::async_task]
/// async fn summarise(text: String) -> usize {
///     text.len()
/// }
///
/// let task = agentcore::spawn(summarise("a long text".to_owned()));
/// assert_eq!(task.name(), "summarise");
/// assert_eq!(agentcore::async_task_info().active_count, 1);
/// assert_eq!(task.await.unwrap(), 11);
/// assert_eq!(agentcore::async_task_info().active_count, 0);
/// # });
/// ```
///
/// # Panics
///
/// Outside a Tokio runtime, and if the operating system has no random numbers for the id.
#[track_caller]
pub fn spawn<F>(future: F) -> TaskHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static, // It takes values, not references.
{
    let place = Location::caller();
    let name = || format!("{}:{}", place.file(), place.line()).into();
    start(future, name, None, false)
}

/// The name and the time limit of a background task.
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
    any_session: bool,
}

impl TaskBuilder {
    /// A task with this name and without a time limit.
    ///
    /// The name is for a future that has none. The future of an [`async_task`](macro@crate::async_task) function, or of
    /// [`TaskGuard::wrap`](crate::TaskGuard::wrap), is a task already, and keeps its name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            timeout: None,
            any_session: false,
        }
    }

    /// Drops the task when it takes longer than `limit`.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Lets callers of every session ask for the task by its id, with [`task_status`] and [`cancel_task`]. By default it
    /// belongs to the session that started it.
    ///
    /// The id is then all that a caller needs. It is a secret, and cannot be guessed. Give it only to callers that may have the
    /// result. The log lines of the task have it as `taskId`
    /// ([`telemetry`](crate::telemetry#lines-of-invocations-sockets-and-tasks)), so everyone who reads the log can ask as well.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use agentcore::TaskBuilder;
    ///
    /// let shared = TaskBuilder::new("nightly report").any_session().spawn(async { 12 });
    /// let id = shared.detach();
    /// # assert_eq!(agentcore::task_status(id), agentcore::TaskStatus::Running);
    /// # });
    /// ```
    pub fn any_session(mut self) -> Self {
        self.any_session = true;
        self
    }

    /// Starts `future`; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, and if the operating system has no random numbers.
    pub fn spawn<F>(self, future: F) -> TaskHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static, // It takes values, not references.
    {
        let name = || self.name;
        start(future, name, self.timeout, self.any_session)
    }
}

/// Starts a task. It is called `name` unless it already has a name.
fn start<F>(
    future: F,
    name: impl FnOnce() -> Cow<'static, str>,
    limit: Option<Duration>,
    any_session: bool,
) -> TaskHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let (future, adopted) = adopt(future);
    let guard = adopted.unwrap_or_else(|| track(name()));
    // The scope that the task began in is the one of its owner, its list entry and its log line. The future runs in it too: a
    // task that began in one request and is spawned in another must not see the headers of the second.
    let scope = guard.scope_or_callers();
    let name = guard.name().unwrap_or_default();
    let ticket = guard.ticket();
    let current = guard.current().unwrap_or_else(Current::here);
    let tracker = guard.tracker().clone();
    let owner = if any_session {
        tracker.allow_any_session(ticket);
        Owner::Anyone
    } else {
        Owner::of(scope.as_ref().and_then(|scope| scope.session_id()))
    };
    let limit = limit.into_iter().chain(tracker.max_age()).min();
    let shared = Arc::new(Shared {
        id: guard.id(),
        name,
        owner,
        tracker,
        error_text: error_text::<F::Output>,
        outcome: Mutex::new(Outcome::default()),
    });
    let finish = Finish {
        shared: Arc::clone(&shared),
        guard: Some(guard),
    };
    let task = async move {
        let mut caught = pin!(panics::catch(future));
        let ended = match limit {
            None => Ok(caught.as_mut().await),
            Some(limit) => timeout(limit, caught.as_mut()).await,
        };
        let called = || format!("task `{}`", finish.shared.name);
        // What the future still holds belongs to the task.
        caught.give_up(&called());
        let result = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => {
                let limit = panic.limit();
                finish.note(report::Failure::panic(called(), panic));
                Err(limit.map_or(TaskError::Panicked, TaskError::TimedOut))
            }
            Err(late) => {
                finish.note(report::Failure::stopped(called(), late.to_string()));
                Err(TaskError::TimedOut(late))
            }
        };
        finish.with(result);
    };
    let task = current.wrap(task);
    let task = stall::watch(At::task(ticket), task);
    let abort = spawn_below(scope, task.in_current_span()).abort_handle();
    let spawned: Weak<Shared<F::Output>> = Arc::downgrade(&shared);
    let tracker = &shared.tracker;
    tracker.make_abortable(ticket, abort.clone(), spawned);
    TaskHandle(SpawnedTask { shared, abort })
}

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
pub struct TaskHandle<T>(SpawnedTask<T>);

impl<T, E> TaskHandle<Result<T, E>> {
    /// Detaches the task, and keeps its result for [`task_status`], which a later invocation may call.
    ///
    /// A task may return a `Result`, as here, or any value that is `serde::Serialize`. The result belongs to the session that
    /// started the task: callers of another session, or of none, find it
    /// [`Unknown`](TaskStatus::Unknown), unless the task was started with [`TaskBuilder::any_session`].
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
    shared: Arc<Shared<T>>,
    abort: tokio::task::AbortHandle,
}

impl<T> SpawnedTask<T> {
    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.shared.id
    }

    /// The task's name: that of its function if it is an [`async_task`](macro@crate::async_task), else the one given to
    /// [`TaskBuilder::new`], else the source location of the call.
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
        f.debug_struct("TaskHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("output", &type_name::<T>())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SpawnedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnedTask")
            .field("id", &self.id())
            .field("name", &self.name())
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
/// [`Unknown`](TaskStatus::Unknown), as is an id that was never given. [`TaskBuilder::any_session`] lifts this for a task.
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
            tracker.results().find(id, session).into()
        }
    })
}

/// Ends a background task at its next await; `false` if it has ended, was not [`spawn`]ed, or belongs to another session (see
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

/// Stores a result that is not awaited. If the result is an error, returns its text.
type Keep<T> = fn(&Shared<T>, Result<T, TaskError>) -> Option<String>;

/// The state that a task and its handle share.
struct Shared<T> {
    id: TaskId,
    name: Cow<'static, str>,
    owner: Owner,
    tracker: TrackerHandle,
    /// Reads the text of an error that the task returned.
    error_text: fn(&T) -> Option<String>,
    outcome: Mutex<Outcome<T>>,
}

impl<T> Shared<T> {
    /// Stores the result, as the text from `to_text`.
    fn keep(&self, result: Result<T, TaskError>, to_text: ToText<T>) -> Option<String> {
        let is_returned = result.is_ok();
        let mut end = results::ending(result, to_text)?;
        // Making the text is the user's code, and may have taken longer than the age.
        if let Some(late) = self.settle() {
            end = results::ending(Err(TaskError::TimedOut(late)), to_text)?;
        }
        let error = end.error().filter(|_| is_returned).map(str::to_owned);
        self.tracker
            .results()
            .keep(self.id, self.owner.clone(), end);
        error
    }

    /// Decides that the result is the task's own, unless the task has been ended for its age.
    fn settle(&self) -> Option<TimedOut> {
        let mut outcome = self.outcome.lock();
        outcome.is_settled = outcome.late.is_none();
        outcome.late
    }

    /// Ends the task, for its age if that has been noticed: then the thread that has noticed it may be about to do so as well.
    fn end(&self, guard: TaskGuard) {
        let late = self.outcome.lock().late;
        match late {
            Some(late) => guard.end_by_age(late.limit()),
            None => drop(guard),
        }
    }

    /// Logs an error that the task has left to its handle, and that no code has read.
    fn report_unread(&self, text: String) {
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
struct Outcome<T> {
    stage: Stage<T>,
    /// Set when the task has been ended for its age. Its code may still run.
    late: Option<TimedOut>,
    /// Set when the result has been decided. From then on the age of the task no longer matters.
    is_settled: bool,
    /// The waker of the task that awaits the handle.
    waker: Option<Waker>,
}

/// The progress of a task, and the use of its result.
enum Stage<T> {
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
    fn late_and_detached(&self) -> Option<(Keep<T>, TimedOut)> {
        match (&self.stage, self.late) {
            (Stage::Detached(keep), Some(late)) => Some((*keep, late)),
            _ => None,
        }
    }

    /// Detaches the task. Returns a result that is already there, for the caller to keep.
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

    /// Drops the handle's claim. Returns a result that is already there, for the caller to drop.
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

/// The task's side of [`Shared`]. Dropping it before the task has ended reports the task as cancelled.
struct Finish<T: 'static> {
    shared: Arc<Shared<T>>,
    /// `None` once it has ended.
    guard: Option<TaskGuard>,
}

impl<T> Finish<T> {
    fn with(mut self, result: Result<T, TaskError>) {
        self.leave(result);
    }

    /// Records the details for the line about the task's end.
    fn note(&self, failure: report::Failure) {
        if let Some(guard) = &self.guard {
            guard.note_failure(failure);
        }
    }

    /// Ends the task. The drop of the guard ends spans, and the drop of a result is user code, so neither happens under the
    /// lock.
    fn leave(&mut self, result: Result<T, TaskError>) {
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
    fn show(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestContext;
    use crate::headers::session_id;
    use crate::report::Kind;
    use crate::request::Instance;
    use crate::request::{Activity, Arrival};

    /// A request of `session`.
    fn request(session: &str) -> Activity {
        let instance = Arc::new(Instance::new(TrackerHandle::Process, Arc::default()));
        let mut headers = http::HeaderMap::new();
        let key = "x-amzn-bedrock-agentcore-runtime-session-id";
        headers.insert(key, session.parse().unwrap());
        assert_eq!(session_id(&headers), Some(session));
        Activity::begin(
            instance,
            Arrival::uncounted(Kind::Invocation, "handler", headers),
        )
    }

    #[tokio::test]
    async fn a_task_runs_below_the_request_that_it_began_in_and_belongs_to_it() {
        let (alice, bob) = (request("alice"), request("bob"));
        let future = alice.scope().enter(|| {
            track("begun by alice").wrap(async {
                let context = RequestContext::current().unwrap();
                context.session_id().map(str::to_owned)
            })
        });
        let id = bob.scope().enter(|| spawn(future).detach());
        let status = |request: &Activity| request.scope().enter(|| task_status(id));
        while status(&alice) == TaskStatus::Running {
            assert_eq!(status(&bob), TaskStatus::Unknown);
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&alice), TaskStatus::Completed("alice".into()));
        assert_eq!(status(&bob), TaskStatus::Unknown);
    }

    #[tokio::test]
    async fn a_task_that_began_in_no_request_belongs_to_the_one_that_spawns_it() {
        let bob = request("bob");
        let future = track("begun by nobody").wrap(async {
            let context = RequestContext::current();
            context.and_then(|context| context.session_id().map(str::to_owned))
        });
        let id = bob.scope().enter(|| spawn(future).detach());
        let status = || bob.scope().enter(|| task_status(id));
        while status() == TaskStatus::Running {
            assert_eq!(task_status(id), TaskStatus::Unknown);
            tokio::task::yield_now().await;
        }
        assert_eq!(status(), TaskStatus::Completed("bob".into()));
        assert_eq!(task_status(id), TaskStatus::Unknown);
    }

    /// Returns a task that blocks its thread until `release` is dropped, and the runtime of that thread.
    fn blocking() -> (
        tokio::runtime::Runtime,
        TaskHandle<u32>,
        u64,
        std::sync::mpsc::Sender<()>,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (sender, runs) = std::sync::mpsc::channel();
        let guard = track("blocks its thread");
        let ticket = guard.ticket();
        let future = guard.wrap(async move {
            sender.send(()).unwrap();
            assert!(released.recv().is_err());
            7
        });
        let within = runtime.enter();
        let task = spawn(future);
        drop(within);
        runs.recv().unwrap();
        (runtime, task, ticket, release)
    }

    const AGE: Duration = Duration::from_secs(60);

    #[test]
    fn a_detached_task_that_is_too_old_has_timed_out_while_its_code_runs_and_afterwards() {
        for detaches_first in [true, false] {
            let (runtime, task, ticket, release) = blocking();
            let id = task.id();
            if detaches_first {
                assert_eq!(task.0.detach(), id);
                assert_eq!(task_status(id), TaskStatus::Running);
            }
            TrackerHandle::Process.end_old(&[ticket], AGE);
            if !detaches_first {
                assert_eq!(task.0.detach(), id);
            }
            assert_eq!(task_status(id), TaskStatus::TimedOut);
            // The runtime waits for the blocked thread.
            drop(release);
            drop(runtime);
            assert_eq!(task_status(id), TaskStatus::TimedOut);
        }
    }

    /// The line about the end of the task says `timeout`, and so does the result.
    #[test]
    fn the_handle_of_a_task_that_was_too_old_has_timed_out_though_its_code_has_ended() {
        let (runtime, task, ticket, release) = blocking();
        TrackerHandle::Process.end_old(&[ticket], AGE);
        drop(release);
        let error = runtime.block_on(task).unwrap_err();
        assert_eq!(error, TaskError::TimedOut(TimedOut::new(AGE)));
    }

    /// The other way round: the result is there, so the task is not ended for its age.
    #[tokio::test]
    async fn a_task_whose_result_is_settled_is_not_ended_for_its_age() {
        let guard = track("settled");
        let ticket = guard.ticket();
        let task = spawn(guard.wrap(async { 7 }));
        let shared = Arc::clone(&task.shared);
        assert_eq!(task.await, Ok(7));
        assert!(!shared.ended_by_age(TimedOut::new(AGE)), "it is settled");
        TrackerHandle::Process.end_old(&[ticket], AGE);
    }

    /// Says when its text is being made, and waits until it may go on.
    struct Slow(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);

    impl serde::Serialize for Slow {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.send(()).unwrap();
            assert!(self.1.recv().is_err());
            serializer.serialize_u32(7)
        }
    }

    #[test]
    fn a_task_that_becomes_too_old_while_its_result_is_made_into_text_has_timed_out() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (sender, begun) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let guard = track("made into text");
        let ticket = guard.ticket();
        let id = {
            let _within = runtime.enter();
            spawn(guard.wrap(async move { Slow(sender, released) })).detach()
        };
        begun.recv().unwrap();
        TrackerHandle::Process.end_old(&[ticket], AGE);
        drop(release);
        // It waits for its thread.
        drop(runtime);
        assert_eq!(task_status(id), TaskStatus::TimedOut);
    }

    #[tokio::test]
    async fn the_handle_of_a_task_that_is_aborted_for_its_age_says_so() {
        let guard = track("too old");
        let ticket = guard.ticket();
        let task = spawn(guard.wrap(std::future::pending::<()>()));
        TrackerHandle::Process.end_old(&[ticket], AGE);
        let error = task.await.unwrap_err();
        assert_eq!(error, TaskError::TimedOut(TimedOut::new(AGE)));
    }

    /// Ends these tasks for their age. Returns the lines about tasks that were not named.
    fn lines_about_more(tickets: &[u64]) -> Vec<String> {
        use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

        struct Catch(std::sync::mpsc::Sender<String>);
        impl<S: tracing::Subscriber> Layer<S> for Catch {
            fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
                let _ = self.0.send(format!("{event:?}"));
            }
        }
        let (sender, lines) = std::sync::mpsc::channel();
        let subscriber = tracing_subscriber::registry().with(Catch(sender));
        tracing::subscriber::with_default(subscriber, || {
            TrackerHandle::Process.end_old(tickets, AGE);
        });
        lines
            .iter()
            .filter(|line| line.contains("more tasks"))
            .collect()
    }

    #[test]
    fn of_many_old_tasks_only_those_that_were_ended_are_counted() {
        let over = (0..50).map(|_| track("over").ticket());
        let runs: Vec<_> = (0..102).map(|_| track("runs")).collect();
        let tickets = |runs: &[TaskGuard]| -> Vec<_> {
            over.clone()
                .chain(runs.iter().map(TaskGuard::ticket))
                .collect()
        };
        let lines = lines_about_more(&tickets(&runs));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("2 more tasks were cancelled"),
            "{lines:?}"
        );
        let runs: Vec<_> = (0..100).map(|_| track("runs")).collect();
        assert_eq!(lines_about_more(&tickets(&runs)), Vec::<String>::new());
    }

    /// Completes at once, and still holds a value.
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

    /// A result whose drop reports whether its task still counts.
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
