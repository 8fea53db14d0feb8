//! The future of a task, together with its guard; and how a task that is spawned takes the guard over.

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
use crate::request::stall::{self, At};
use crate::request::{self, Scope, TrackerHandle};
use crate::tracker::{Failure, TaskEnd};

/// When a task has become too old. `None` until it is known, and `Some(None)` in a runtime without timers.
type Expiry = Option<Option<Pin<Box<Sleep>>>>;

/// Reads the text of the error that a task has returned; `None` if it has returned none.
pub(super) type ErrorText<T> = fn(&T) -> Option<String>;

/// Where the guard of a task is.
#[derive(Debug)]
enum Held {
    /// The future. During a poll the guard is out of its place: a panic in the poll drops it on its way.
    Here(TaskGuard),
    /// The task that the future was spawned as, which ends it.
    BySpawned(TrackerHandle, u64),
    /// Nobody: the task is over.
    Over,
}

pin_project! {
    /// A future that is a task until it has completed, failed, panicked or been dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F>
    where
        F: Future,
    {
        // `None` once it is over. Before the guard: what the future leaves behind is dropped while the task counts.
        #[pin]
        future: Option<F>,
        held: Held,
        // Made at the first poll, where tasks may only become so old.
        expiry: Expiry,
        // Below which it began. Found at the first poll that is below none: `tokio::spawn` does not take it along.
        scope: Option<Option<Arc<Scope>>>,
        // The task's own, found at the first poll where anything is traced.
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

/// `future` as the task that `guard` was taken for.
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
    /// With a way to read the error that the task returns.
    pub fn with_error_text(mut self, error_text: ErrorText<F::Output>) -> Self {
        self.error_text = Some(error_text);
        self
    }
}

/// The error in what a task has returned. Its text is the program's code, which may panic.
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
    /// Whether the future that is polled next hands its guard over instead of running.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    /// The guard that it has handed over.
    static GIVEN: Cell<Option<TaskGuard>> = const { Cell::new(None) };
}

/// The task that is being polled returns because its `timeout` is over.
pub(crate) fn ended_late() {
    LATE.set(true);
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// When polled after it has completed, as every async function's future; and, as the only way to stop the code that awaits
    /// it, when the task is older than tasks may become. With `panic = "abort"` it stays pending instead.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if ASKED.get() {
            ASKED.set(false);
            hand_over(this.held);
            return Poll::Pending;
        }
        // Out of its place during the poll: a panic in there drops it on its way.
        let guard = match std::mem::replace(this.held, Held::Over) {
            Held::Here(guard) => guard,
            Held::BySpawned(tracker, ticket) => {
                let polled = match this.future.as_mut().as_pin_mut() {
                    Some(future) => future.poll(cx),
                    None => return Poll::Pending,
                };
                match &polled {
                    // Whether anybody receives the error, its handle knows.
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
                // Ended by its age, where nothing can be unwound; or polled once too often.
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

/// Gives the guard to the one that has asked, if the task still runs.
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
        /// One that was a task already, and has handed over its guard. It has been pinned for that.
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
/// What an `#[async_task]` returns is an `impl Future`, which tells nobody its type but in the text of its name. So the name
/// says whether the future is one, and its poll, which does nothing but that when it is asked, hands the guard over. Should
/// another compiler name types in another way for some reason, the future is two tasks again.
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

/// Whether the task has become older than `limit`; wakes the poller when it does.
fn has_expired(
    expiry: &mut Expiry,
    guard: &TaskGuard,
    limit: Duration,
    cx: &mut Context<'_>,
) -> bool {
    if expiry.is_none() {
        let Some(started) = guard.started() else {
            // Ended by its id.
            return false;
        };
        // Polled where there is no clock to wait for, it cannot be told, only counted no longer.
        if Handle::try_current().is_err() {
            return false;
        }
        // A runtime may be without timers, which nothing says but the panic. It is asked once.
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

    /// A task of a tracker of its own, which may become a minute old.
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

    /// Adopts `future`, which is not polled, and compares its task's id.
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
