//! [`Part`]: work of a request that has an end and a cancellation of its own. [`Work`] keeps the agent busy with it.
//!
//! A call of a tool may outlive its request, as a task, or end before it, when its time is up. Then the request's own cancellation
//! and its own [`Activity`](super::Activity) say nothing about the call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tokio_util::sync::CancellationToken as Token;

use super::admission::Permit;
use super::cancellation::Cancellation;
use super::instance::Instance;
use super::scope::Scope;

/// What the scope of a part has of its own.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) of: Arc<Scope>,
    cancellation: Cancellation,
    /// Whether it goes on when the request has ended.
    is_detached: AtomicBool,
    work: Weak<Work>,
}

/// A part of a request, for as long as it goes on. A thread that cannot be stopped holds it too.
#[derive(Debug)]
pub(crate) struct Work {
    instance: Arc<Instance>,
    /// Set once the work keeps the agent busy by itself, with the request's permit if the work has taken it over.
    counts: OnceLock<Option<Permit>>,
}

impl Part {
    pub(super) fn cancel(&self) {
        self.cancellation.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled() || !self.is_detached() && self.of.is_cancelled()
    }

    pub(super) fn token(&self) -> Token {
        if self.is_detached() {
            self.cancellation.token(&self.of.instance.stop_told)
        } else {
            self.cancellation.token(&self.of.token())
        }
    }

    pub(super) fn work(&self) -> Option<Arc<Work>> {
        self.work.upgrade()
    }

    pub(super) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::Acquire)
    }

    /// Lets the work go on when the request has ended. It takes over the request's permit.
    #[cfg(any(feature = "mcp", test))]
    pub(super) fn detach(&self) {
        if let Some(work) = self.work() {
            work.count(self.of.permit().take());
            self.is_detached.store(true, Ordering::Release);
        }
    }
}

impl Work {
    /// Begins work that the caller waits for. The request's cancellation is the work's too.
    pub(crate) fn awaited(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        let (scope, work) = Self::begin(of);
        work.count(None);
        (scope, work)
    }

    /// Begins work that the caller waits for until [`Scope::detach`]. Until then the request keeps the agent busy with it.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn detachable(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        Self::begin(of)
    }

    /// Begins work that goes on when the request has ended. It takes over the request's permit.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn detached(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        let (scope, work) = Self::begin(of);
        scope.detach();
        (scope, work)
    }

    /// Whether the agent has been told to stop.
    #[cfg(feature = "mcp")]
    pub(crate) fn stops(&self) -> bool {
        self.instance.stopping.is_cancelled()
    }

    fn begin(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        let work = Arc::new(Self {
            instance: Arc::clone(&of.instance),
            counts: OnceLock::new(),
        });
        let part = Part {
            of: Arc::clone(of),
            cancellation: Cancellation::default(),
            is_detached: AtomicBool::new(false),
            work: Arc::downgrade(&work),
        };
        (Arc::new(Scope::of_part(part)), work)
    }

    /// From now on the work keeps the agent busy.
    fn count(&self, permit: Option<Permit>) {
        self.instance.tracker.begin_invocation(true);
        if self.counts.set(permit).is_err() {
            self.instance.tracker.end_invocation(true);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(permit) = self.counts.take() {
            drop(permit);
            self.instance.tracker.end_invocation(true);
        }
    }
}

/// Cancels a request or a part of one, unless the work has ended first.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Option<Arc<Scope>>);

impl CancelOnDrop {
    pub(crate) fn new(scope: &Arc<Scope>) -> Self {
        Self(Some(Arc::clone(scope)))
    }

    /// The work has ended by itself.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(scope) = &self.0 {
            scope.cancel();
        }
    }
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::config::SessionPolicy;
    use crate::report::Kind;
    use crate::request::admission::Concurrency;
    use crate::request::{Activity, Arrival, TrackerHandle, blocking, in_scope};
    use crate::tracker::BusyTracker;

    /// A call that holds the only permit, and its instance.
    fn call() -> (Activity, Arc<Instance>) {
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let concurrency = Concurrency::new(Some(1), SessionPolicy::default());
        let instance = Arc::new(Instance::new(tracker, concurrency));
        let permit = instance.concurrency.admit(|| None).expect("a permit");
        let arrival = Arrival {
            counts: true,
            permit,
            ..Arrival::uncounted(Kind::Invocation, "handler", HeaderMap::new())
        };
        (Activity::begin(Arc::clone(&instance), arrival), instance)
    }

    fn is_full(instance: &Arc<Instance>) -> bool {
        instance.concurrency.admit(|| None).is_err()
    }

    #[test]
    fn detached_work_has_the_permit_and_a_cancellation_of_its_own() {
        let (activity, instance) = call();
        let (part, work) = Work::detached(activity.scope());
        let token = part.cancellation();
        activity.scope().cancel();
        assert!(!token.is_cancelled() && !part.is_cancelled());
        assert!(part.hold().is_none(), "the request ends before it");
        drop(activity);
        assert!(is_full(&instance));
        part.cancel();
        assert!(token.is_cancelled() && part.is_cancelled());
        assert_eq!(instance.tracker.in_progress(), 1);
        drop(work);
        assert_eq!(instance.tracker.in_progress(), 0);
        assert!(!is_full(&instance));
    }

    #[test]
    fn work_that_may_be_detached_is_the_requests_until_then() {
        let (activity, instance) = call();
        let (part, work) = Work::detachable(activity.scope());
        assert_eq!(instance.tracker.in_progress(), 1);
        assert!(
            part.hold().is_some(),
            "a thread of it keeps the request in flight"
        );
        assert!(activity.scope().permit().is_some());
        part.detach();
        assert_eq!(instance.tracker.in_progress(), 2);
        activity.scope().cancel();
        assert!(!part.is_cancelled());
        drop(activity);
        assert!(is_full(&instance));
        drop(work);
        assert!(!is_full(&instance));
        assert_eq!(instance.tracker.in_progress(), 0);
    }

    #[test]
    fn work_that_is_never_detached_leaves_the_request_as_it_was() {
        let (activity, instance) = call();
        drop(Work::detachable(activity.scope()));
        assert!(activity.scope().permit().is_some());
        assert_eq!(instance.tracker.in_progress(), 1);
    }

    #[test]
    fn awaited_work_is_cancelled_with_its_request_and_not_the_other_way_round() {
        let (activity, _) = call();
        let (part, _work) = Work::awaited(activity.scope());
        part.cancel();
        assert!(part.cancellation().is_cancelled());
        assert!(!activity.scope().is_cancelled());
        let (part, _work) = Work::awaited(activity.scope());
        let token = part.cancellation();
        activity.scope().cancel();
        assert!(token.is_cancelled() && part.is_cancelled());
    }

    #[tokio::test]
    async fn a_thread_holds_the_work_and_not_the_request() {
        let (activity, instance) = call();
        let (part, work) = Work::detached(activity.scope());
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (sender, runs) = tokio::sync::oneshot::channel();
        let call = blocking(move || {
            sender.send(()).expect("a receiver");
            let _ = released.recv();
        });
        let task = tokio::spawn(in_scope(part, async move {
            let _work = work;
            call.await;
        }));
        runs.await.expect("it runs");
        drop(activity);
        assert_eq!(instance.tracker.in_progress(), 1, "the request has ended");
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        assert_eq!(instance.tracker.in_progress(), 1, "the thread works");
        assert!(is_full(&instance));
        drop(release);
        instance.tracker.idle().await;
        assert!(!is_full(&instance));
    }
}
