//! The future of an `#[async_task]` function, together with its guard.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep_until};

use super::{TaskGuard, TimedOut};
use crate::context::{self, Scope};
use crate::panics::{self, Panic};
use crate::stall::{self, At};
use crate::telemetry::{Current, Outcome};

/// When a task has become too old. `None` until it is known, and `Some(None)` in a runtime without timers.
type Expiry = Option<Option<Pin<Box<Sleep>>>>;

pin_project! {
    /// A future that is a task until it has completed, failed, panicked or been dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F> {
        // `None` once it is over. Before the guard: what the future leaves behind is dropped while the task counts.
        #[pin]
        future: Option<F>,
        guard: Option<TaskGuard>,
        // Made at the first poll, where tasks may only become so old.
        expiry: Expiry,
        // Below which it began. Found at the first poll that is below none: `tokio::spawn` does not take it along.
        scope: Option<Option<Arc<Scope>>>,
        // The task's own, found at the first poll where anything is traced.
        current: Option<Current>,
    }

    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(guard) = this.guard {
                guard.note(Outcome::Cancelled);
            }
            let scope = this.scope.take().flatten();
            if scope.is_some() || this.current.is_some() {
                let current = this.current.take().unwrap_or_else(Current::here);
                context::below(scope.as_ref(), || current.within(|| this.future.set(None)));
            }
        }
    }
}

/// `future` as the task that `guard` was taken for.
pub fn tracked<F: Future>(guard: TaskGuard, future: F) -> Tracked<F> {
    Tracked {
        future: Some(future),
        guard: Some(guard),
        expiry: None,
        scope: None,
        current: None,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// When polled after it has completed, as every async function's future; and, as the only way to stop whoever awaits
    /// it, when the task is older than tasks may become. With `panic = "abort"` it stays pending instead.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        // Out of its place during the poll: a panic in there drops it on its way.
        let Some(guard) = this.guard.take() else {
            // Ended by its age, where nothing can be unwound; or polled once too often.
            assert!(
                matches!(this.expiry, Some(Some(_))),
                "an async task was polled after it had completed"
            );
            return Poll::Pending;
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
        let at = At::task(guard.id().ticket());
        if this.current.is_none() {
            *this.current = guard.current();
        }
        let current = this.current.clone();
        let scope = if context::is_within() {
            None
        } else {
            this.scope.get_or_insert_with(|| guard.scope()).as_ref()
        };
        context::below(scope, || {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            let poll = || stall::noted(at, || future.poll(cx));
            let polled = match current {
                Some(current) => current.within(poll),
                None => poll(),
            };
            match polled {
                Poll::Ready(_) => this.future.set(None),
                Poll::Pending => *this.guard = Some(guard),
            }
            polled
        })
    }
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

impl<F> std::fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::task::Waker;

    use super::super::{BusyTracker, TaskId, TrackerHandle};
    use super::*;

    /// A task of a tracker of its own, which may become a minute old.
    fn task() -> Tracked<std::future::Pending<()>> {
        let tracker = Arc::new(BusyTracker::new());
        tracker.set_max_age(Some(Duration::from_secs(60)));
        let id = TaskId::new(tracker.begin_task(Cow::Borrowed("task"), None, None));
        let guard = TaskGuard::of(TrackerHandle::Own(tracker), id);
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
}
