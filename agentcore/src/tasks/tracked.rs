//! [`Tracked`]: the future of a task, with the task's guard. [`adopt`]: how a spawned task takes over the guard.

use std::any::type_name;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep_until};

use super::TaskGuard;
use crate::error::TimedOut;
use crate::otel::Current;
use crate::report::panics::{self, Panic};
use crate::report::stall::{self, At};
use crate::request::{self, Scope, TrackerHandle};
use crate::tracker::{Failure, TaskEnd};

/// The timer for the maximum age of a task. `None` before the first poll, and `Some(None)` in a runtime without timers.
type Expiry = Option<Option<Pin<Box<Sleep>>>>;

/// Reads the text of the error that a task has returned; `None` if it has returned no error.
pub(super) type ErrorText<T> = fn(&T) -> Option<String>;

/// Where the guard of a task is.
#[derive(Debug)]
enum Held {
    /// In the future. During a poll it is taken out, so that a panic in the poll drops it.
    Here(TaskGuard),
    /// In the task that the future was spawned as.
    BySpawned(TrackerHandle, u64),
    /// Dropped: the task is over.
    Over,
}

pin_project! {
    /// A future that is a task until it has completed, failed, panicked or been dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F>
    where
        F: Future,
    {
        // `None` once it is over. Declared before the guard, so that it is dropped while the task still counts.
        #[pin]
        future: Option<F>,
        held: Held,
        // Made at the first poll, if there is a maximum age.
        expiry: Expiry,
        // The scope that the task began in. Looked up at the first poll without a scope, because `tokio::spawn` loses it.
        scope: Option<Option<Arc<Scope>>>,
        // The task's span, looked up at the first poll if tracing is on.
        current: Option<Current>,
        error_text: Option<ErrorText<F::Output>>,
    }

    impl<F> PinnedDrop for Tracked<F>
    where
        F: Future,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Held::Here(guard) = this.held {
                guard.note_end(TaskEnd::Cancelled);
            }
            let scope = this.scope.take().flatten();
            if scope.is_some() || this.current.is_some() {
                let current = this.current.take().unwrap_or_else(Current::here);
                request::below(scope.as_ref(), || current.within(|| this.future.set(None)));
            }
        }
    }
}

/// Makes `future` the task of `guard`.
pub fn tracked<F: Future>(guard: TaskGuard, future: F) -> Tracked<F> {
    Tracked {
        future: Some(future),
        held: Held::Here(guard),
        expiry: None,
        scope: None,
        current: None,
        error_text: None,
    }
}

impl<F: Future> Tracked<F> {
    /// Sets the function that reads the error that the task returns.
    pub fn with_error_text(mut self, error_text: ErrorText<F::Output>) -> Self {
        self.error_text = Some(error_text);
        self
    }
}

/// The error that a task has returned. User code makes its text, so it may panic.
fn failure<T>(output: &T, error_text: Option<ErrorText<T>>, is_received: bool) -> Option<TaskEnd> {
    let is_late = LATE.take();
    let text = panics::guard(|| error_text?(output)).unwrap_or_else(|panic| {
        panic.log("the text of a task's error");
        None
    })?;
    Some(TaskEnd::Failed(Failure {
        is_late,
        ..Failure::new(text, is_received)
    }))
}

thread_local! {
    /// Whether the task that is being polled has returned because its `timeout` is over.
    static LATE: Cell<bool> = const { Cell::new(false) };
    /// Whether the next poll of a `Tracked` hands its guard over, instead of polling its future.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    /// The guard that was handed over.
    static GIVEN: Cell<Option<TaskGuard>> = const { Cell::new(None) };
}

/// Records that the task that is being polled returns because its `timeout` is over.
pub(crate) fn ended_late() {
    LATE.set(true);
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// When polled after it has completed, like the future of every async function. Also when the task is older than the maximum
    /// age of tasks, because only a panic stops the code that awaits it. With `panic = "abort"` it stays pending instead.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if ASKED.get() {
            ASKED.set(false);
            hand_over(this.held);
            return Poll::Pending;
        }
        // Taken out during the poll, so that a panic in the poll drops it.
        let guard = match std::mem::replace(this.held, Held::Over) {
            Held::Here(guard) => guard,
            Held::BySpawned(tracker, ticket) => {
                let polled = match this.future.as_mut().as_pin_mut() {
                    Some(future) => future.poll(cx),
                    None => return Poll::Pending,
                };
                match &polled {
                    // The handle decides later whether the error is received.
                    Poll::Ready(output) => {
                        if let Some(failure) = failure(output, *this.error_text, true) {
                            tracker.note_end(ticket, failure);
                        }
                    }
                    Poll::Pending => *this.held = Held::BySpawned(tracker, ticket),
                }
                if polled.is_ready() {
                    this.future.set(None);
                }
                return polled;
            }
            Held::Over => {
                // The task was ended for its age and cannot unwind, or it was polled after its end.
                assert!(
                    matches!(this.expiry, Some(Some(_))),
                    "an async task was polled after it had completed"
                );
                return Poll::Pending;
            }
        };
        if let Some(limit) = guard.tracker().max_age() {
            if has_expired(this.expiry, &guard, limit, cx) {
                this.future.set(None);
                guard.end_by_age(limit);
                if cfg!(panic = "unwind") {
                    Panic::of_limit(TimedOut::new(limit)).resume();
                }
                return Poll::Pending;
            }
        }
        let at = At::task(guard.ticket());
        if this.current.is_none() {
            *this.current = guard.current();
        }
        let current = this.current.clone();
        let is_awaited = request::is_within();
        let scope = if is_awaited {
            None
        } else {
            this.scope.get_or_insert_with(|| guard.scope()).as_ref()
        };
        request::below(scope, || {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            let poll = || stall::noted(at, || future.poll(cx));
            let poll = || match current {
                Some(current) => current.within(poll),
                None => poll(),
            };
            let polled = panics::told(|panic| guard.note_panic(panic), poll);
            match &polled {
                Poll::Ready(output) => {
                    if let Some(failure) = failure(output, *this.error_text, is_awaited) {
                        guard.note_end(failure);
                    }
                    this.future.set(None);
                }
                Poll::Pending => *this.held = Held::Here(guard),
            }
            polled
        })
    }
}

/// Hands the guard over to `adopt`, if the task still runs.
fn hand_over(held: &mut Held) {
    match std::mem::replace(held, Held::Over) {
        Held::Here(guard) if guard.tracker().is_running(guard.ticket()) => {
            *held = Held::BySpawned(guard.tracker().clone(), guard.ticket());
            GIVEN.set(Some(guard));
        }
        other => *held = other,
    }
}

pin_project! {
    /// The future of a spawned task.
    #[project = RootProjection]
    pub(crate) enum Root<F> {
        Plain { #[pin] future: F },
        /// The future of a task that has handed over its guard. It was pinned for that.
        Tracked { future: Pin<Box<F>> },
    }
}

impl<F: Future> Future for Root<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            RootProjection::Plain { future } => future.poll(cx),
            RootProjection::Tracked { future } => future.as_mut().poll(cx),
        }
    }
}

/// Takes over the guard of a future that is a task already, so that spawning it begins no second task.
///
/// An `#[async_task]` returns an `impl Future`, whose type shows only in the text of its name. So the name tells whether the
/// future is a `Tracked`. A poll with `ASKED` set then hands the guard over, and does nothing else. If a compiler wrote type
/// names differently, the spawned future would count as two tasks.
pub(crate) fn adopt<F: Future>(future: F) -> (Root<F>, Option<TaskGuard>) {
    if !is_tracked::<F>() {
        return (Root::Plain { future }, None);
    }
    let mut future = Box::pin(future);
    ASKED.set(true);
    let _pending = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    ASKED.set(false);
    (Root::Tracked { future }, GIVEN.take())
}

fn is_tracked<F>() -> bool {
    let own = type_name::<Tracked<std::future::Pending<()>>>();
    let generic = own.split_once('<').map_or(own, |(generic, _)| generic);
    let rest = type_name::<F>().strip_prefix(generic);
    rest.is_some_and(|rest| rest.starts_with('<'))
}

/// Whether the task has become older than `limit`. Wakes the task when it does.
fn has_expired(
    expiry: &mut Expiry,
    guard: &TaskGuard,
    limit: Duration,
    cx: &mut Context<'_>,
) -> bool {
    if expiry.is_none() {
        let Some(started) = guard.started() else {
            // The task has been ended by its id.
            return false;
        };
        // Outside of a runtime there is no timer: the future cannot be ended, and only the count falls.
        if Handle::try_current().is_err() {
            return false;
        }
        // A runtime may have no timers, and only a panic tells. So it is tried once.
        let sleep = panics::guard(|| Box::pin(sleep_until((started + limit).into())));
        *expiry = Some(sleep.ok());
    }
    let sleep = expiry.as_mut().and_then(Option::as_mut);
    sleep.is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
}

impl<F: Future> std::fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::track;
    use super::*;
    use crate::tracker::BusyTracker;
    use std::borrow::Cow;

    /// A task with a tracker of its own and a maximum age of one minute.
    fn task() -> Tracked<std::future::Pending<()>> {
        let tracker = Arc::new(BusyTracker::new());
        tracker.set_max_age(Some(Duration::from_secs(60)));
        let ticket = tracker.begin_task(Cow::Borrowed("task"), None, None);
        let guard = TaskGuard::of(TrackerHandle::Own(tracker), ticket);
        tracked(guard, std::future::pending())
    }

    #[test]
    fn outside_of_a_runtime_a_task_is_polled_without_a_panic() {
        let mut task = Box::pin(task());
        for _ in 0..3 {
            let before = panics::caught_here();
            let mut context = Context::from_waker(Waker::noop());
            assert!(task.as_mut().poll(&mut context).is_pending());
            assert_eq!(panics::caught_here(), before);
        }
        assert!(task.expiry.is_none(), "it may yet come to a runtime");
    }

    #[test]
    fn a_runtime_without_timers_is_asked_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let _within = runtime.as_ref().unwrap().enter();
        let mut task = Box::pin(task());
        let before = panics::caught_here();
        for _ in 0..3 {
            let mut context = Context::from_waker(Waker::noop());
            assert!(task.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(panics::caught_here(), before + 1);
    }

    /// Adopts `future` without polling it. Whether it was a task.
    fn is_adopted(future: impl Future) -> bool {
        let (root, guard) = adopt(future);
        let is_boxed = matches!(root, Root::Tracked { .. });
        assert_eq!(guard.is_some(), is_boxed);
        assert!(!ASKED.get(), "the next poll is one");
        is_boxed
    }

    #[test]
    fn only_a_tracked_future_is_adopted_and_none_is_polled() {
        let not_polled = || std::future::poll_fn(|_| -> Poll<()> { panic!("it was polled") });
        assert!(!is_adopted(not_polled()));
        assert!(!is_adopted(async move { not_polled().await }));
        assert!(is_adopted(track("whole").wrap(not_polled())));
        let part = track("part").wrap(not_polled());
        assert!(!is_adopted(async move {
            part.await;
        }));
    }

    #[test]
    fn a_task_that_has_been_ended_is_not_adopted() {
        let guard = track("ended");
        assert!(crate::complete_async_task(guard.id()));
        let (_, adopted) = adopt(guard.wrap(async {}));
        assert!(adopted.is_none());
    }

    #[test]
    fn the_guard_that_is_adopted_is_the_tasks_own() {
        let guard = track("own");
        let id = guard.id();
        let (root, adopted) = adopt(guard.wrap(async { 7 }));
        let adopted = adopted.expect("a guard");
        assert_eq!(adopted.id(), id);
        let mut root = Box::pin(root);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(root.as_mut().poll(&mut context), Poll::Ready(7));
        assert!(adopted.tracker().is_running(adopted.ticket()));
        drop(root);
        assert!(adopted.tracker().is_running(adopted.ticket()));
    }
}
