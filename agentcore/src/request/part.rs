//! [`Part`]: work of a request that has an end and a cancellation of its own. [`Work`]: keeps the agent busy with it.
//!
//! A call of a tool may outlive its request, as a task, or end before it, when its time is up. Then the request's own cancellation
//! and its own [`Activity`](super::Activity) say nothing about the call.

use std::sync::{Arc, Weak};

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
    pub(super) is_detached: bool,
    work: Weak<Work>,
}

/// Keeps the agent busy with a part of a request, and holds its permit. A thread that cannot be stopped holds it too.
#[derive(Debug)]
pub(crate) struct Work {
    instance: Arc<Instance>,
    permit: Option<Permit>,
}

impl Part {
    pub(super) fn cancel(&self) {
        self.cancellation.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled() || !self.is_detached && self.of.is_cancelled()
    }

    pub(super) fn token(&self) -> Token {
        if self.is_detached {
            self.cancellation.token(&self.of.instance.stop_told)
        } else {
            self.cancellation.token(&self.of.token())
        }
    }

    pub(super) fn work(&self) -> Option<Arc<Work>> {
        self.work.upgrade()
    }
}

impl Work {
    /// Begins work that the caller waits for. The request's cancellation is the work's too.
    pub(crate) fn awaited(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        Self::begin(of, false)
    }

    /// Begins work that goes on when the request has ended. It takes over the request's permit.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn detached(of: &Arc<Scope>) -> (Arc<Scope>, Arc<Self>) {
        Self::begin(of, true)
    }

    /// Ends work that has not outlived its request. The request gets its permit back, unless a thread holds the work.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn give_back(self: Arc<Self>, of: &Arc<Scope>) {
        if let Some(mut work) = Arc::into_inner(self) {
            *of.permit() = work.permit.take();
        }
    }

    fn begin(of: &Arc<Scope>, is_detached: bool) -> (Arc<Scope>, Arc<Self>) {
        of.instance.tracker.begin_invocation(true);
        let work = Arc::new(Self {
            instance: Arc::clone(&of.instance),
            permit: if is_detached {
                of.permit().take()
            } else {
                None
            },
        });
        let part = Part {
            of: Arc::clone(of),
            cancellation: Cancellation::default(),
            is_detached,
            work: Arc::downgrade(&work),
        };
        (Arc::new(Scope::of_part(part)), work)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.instance.tracker.end_invocation(true);
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
    fn detached_work_gives_its_permit_back_unless_a_thread_holds_it() {
        for is_held in [false, true] {
            let (activity, instance) = call();
            let (part, work) = Work::detached(activity.scope());
            let held = is_held.then(|| part.work());
            work.give_back(activity.scope());
            assert!(is_full(&instance));
            assert_eq!(activity.scope().permit().is_some(), !is_held);
            drop(activity);
            assert_eq!(is_full(&instance), is_held);
            drop(held);
            assert!(!is_full(&instance));
            assert_eq!(instance.tracker.in_progress(), 0);
        }
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
