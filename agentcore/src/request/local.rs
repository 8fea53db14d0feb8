//! The current request: a task-local [`Scope`], and the functions that run work in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::task::futures::TaskLocalFuture;
use tracing::Span;
use tracing::level_filters::LevelFilter;

use super::activity::Activity;
use super::instance::TrackerHandle;
use super::scope::Scope;
use crate::otel::{Current, Traced};
use crate::report::stall::{self, Watched};
use crate::report::{self, Failure, Outcome, Work, panics};
use crate::util::BoxFuture;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// Runs `work` with `scope` as the current request.
pub(super) fn enter<R>(scope: &Arc<Scope>, work: impl FnOnce() -> R) -> R {
    let current = scope.flight().observed.current();
    SCOPE.sync_scope(Arc::clone(scope), || current.within(work))
}

/// Runs `future` with `scope` as the current request.
pub(crate) fn within<F: Future>(scope: Arc<Scope>, future: F) -> Within<F> {
    let current = scope.flight().observed.current();
    within_both(scope, current, future)
}

/// Runs `future` with `scope` as the current request, and in the caller's span.
#[cfg(feature = "schema")]
pub(crate) fn in_scope<F: Future>(scope: Arc<Scope>, future: F) -> TaskLocalFuture<Arc<Scope>, F> {
    SCOPE.scope(scope, future)
}

/// A future that runs in a scope.
type Within<F> = TaskLocalFuture<Arc<Scope>, Watched<Traced<F>>>;

/// Runs `future` in `scope`, and in the span of the scope that is `current`.
fn within_both<F: Future>(scope: Arc<Scope>, current: Current, future: F) -> Within<F> {
    let at = at(&scope);
    SCOPE.scope(scope, stall::watch(at, current.wrap(future)))
}

/// What a report about a blocked thread says of code that runs in `scope`.
fn at(scope: &Scope) -> stall::At {
    let number = scope.flight().ticket.get().copied();
    if scope.kind().is_request() || scope.flight().counts {
        stall::At::request(number)
    } else {
        stall::At::hook_number(number)
    }
}

/// Calls `read` with the caller's tracker, and with its scope if it has one.
pub(crate) fn with_scope<R>(read: impl FnOnce(&TrackerHandle, Option<&Arc<Scope>>) -> R) -> R {
    let mut read = Some(read);
    let mut run = |tracker: &TrackerHandle, scope: Option<&Arc<Scope>>| match read.take() {
        Some(read) => read(tracker, scope),
        None => unreachable!("called for one of the two cases"),
    };
    if let Ok(answer) = SCOPE.try_with(|scope| run(&scope.instance.tracker, Some(scope))) {
        return answer;
    }
    run(&TrackerHandle::Process, None)
}

/// Runs `work` in `scope`, if there is one.
pub(crate) fn below<R>(scope: Option<&Arc<Scope>>, work: impl FnOnce() -> R) -> R {
    match scope {
        Some(scope) => scope.enter(work),
        None => work(),
    }
}

/// Whether the caller runs in a scope.
pub(crate) fn is_within() -> bool {
    SCOPE.try_with(|_| ()).is_ok()
}

/// The caller's scope.
pub(crate) fn current() -> Option<Arc<Scope>> {
    SCOPE.try_with(Arc::clone).ok()
}

/// The caller's scope, if it is that of a request.
pub(crate) fn current_request() -> Option<Arc<Scope>> {
    current().filter(|scope| scope.flight().kind.is_request())
}

/// Completes when the shutdown has cut everything off; `None` outside of an app.
pub(crate) fn until_cut_off() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let cut_off = SCOPE
        .try_with(|scope| scope.instance.until_cut_off())
        .ok()?;
    Some(Box::pin(cut_off))
}

/// Spawns a task in the caller's scope, if there is one. Needs a Tokio runtime.
pub(crate) fn spawn_in_scope<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    spawn_below(None, future)
}

/// Spawns a task in `scope`, or else in the caller's, if there is one. Needs a Tokio runtime.
pub(crate) fn spawn_below<F>(scope: Option<Arc<Scope>>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match scope.or_else(current) {
        Some(scope) => tokio::spawn(within_both(scope, Current::here(), future)),
        None => tokio::spawn(Current::here().wrap(future)),
    }
}

/// Spawns a boxed task on `runtime`, in `scope`.
pub(crate) fn spawn_boxed<T: Send + 'static>(
    runtime: &Handle,
    scope: Arc<Scope>,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let future: BoxFuture<T> = Box::pin(future);
    runtime.spawn(within(scope, future))
}

/// Runs `work` on the blocking pool, in the caller's scope. Passes on a panic of `work`.
pub(crate) async fn blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scope = current();
    // A thread cannot be stopped. When the caller gives up, the work goes on, and the agent is busy until the work has ended
    // and its result is dropped.
    let hold = (hold(), scope.as_ref().and_then(|scope| scope.work()));
    let (current, span) = (Current::here(), Span::current());
    let work = move || {
        let work = || span.in_scope(|| current.within(work));
        let done = panics::guard(|| match scope {
            Some(scope) => SCOPE.sync_scope(scope, work),
            None => work(),
        });
        (done, hold)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok((Ok(value), _)) => value,
        Ok((Err(panic), _)) => panic.resume(),
        // The runtime is shutting down and will not poll this again.
        Err(_) => std::future::pending().await,
    }
}

/// Keeps `failure` for the line about the end of the caller's request. Outside of requests, logs it at once.
pub(crate) fn fail(failure: Failure) {
    match current_request() {
        Some(scope) => scope.observed().fail(failure),
        None => failure.log(),
    }
}

/// The name in log lines for the caller's streamed reply: the stream and its handler.
pub(crate) fn the_stream() -> String {
    let scope = current();
    let whose = scope.and_then(|scope| Some((Work::of(scope.kind())?.function(), scope.name())));
    match whose {
        Some((function, name)) => format!("the stream of {function} `{name}`"),
        None => "the stream".to_owned(),
    }
}

/// Records an outcome for the caller's request, if there is one.
pub(crate) fn note(outcome: Outcome) {
    let _ = SCOPE.try_with(|scope| scope.note(outcome, None));
}

/// A guard that keeps the caller's invocation in flight, for work that may outlive the handler.
pub(crate) fn hold() -> Option<Activity> {
    SCOPE.try_with(Scope::hold).ok().flatten()
}

/// Runs `event` as [`report::emit`] does, in `scope`.
pub(crate) fn emit_below(scope: Option<Arc<Scope>>, event: impl FnOnce() + Send + 'static) {
    report::emit(move || below(scope.as_ref(), event));
}

/// Runs `event` as [`emit_below`] does, for an event that clients cause: it takes no place in the queue unless some
/// subscriber may want its `level`.
pub(crate) fn emit_often(
    level: LevelFilter,
    scope: Option<&Arc<Scope>>,
    event: impl FnOnce() + Send + 'static,
) {
    if report::is_wanted(level) {
        emit_below(scope.cloned(), event);
    }
}
