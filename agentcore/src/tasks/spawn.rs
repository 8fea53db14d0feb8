//! [`spawn`] and [`TaskBuilder`]: tasks that outlive the reply of the invocation that started them.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tracing::Instrument as _;

use super::error_text::error_text;
use super::handle::{SpawnedTask, TaskError, TaskHandle};
use super::shared::{Finish, Outcome, Shared};
use super::{adopt, track};
use crate::error::timeout;
use crate::otel::Current;
use crate::report;
use crate::report::panics;
use crate::report::stall::{self, At};
use crate::request::spawn_below;
use crate::tracker::{Origin as _, Owner};
use crate::util::sync::Mutex;

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

    /// Lets callers of every session ask for the task by its id, with [`task_status`](crate::task_status) and [`cancel_task`](crate::cancel_task). By default it
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
    let mut finish = Finish {
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
        finish.leave(result);
    };
    let task = current.wrap(task);
    let task = stall::watch(At::task(ticket), task);
    let abort = spawn_below(scope, task.in_current_span()).abort_handle();
    let spawned: Weak<Shared<F::Output>> = Arc::downgrade(&shared);
    let tracker = &shared.tracker;
    tracker.make_abortable(ticket, abort.clone(), spawned);
    TaskHandle::new(SpawnedTask { shared, abort })
}
