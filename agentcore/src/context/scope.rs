//! The task-local scope of one request.
//!
//! It answers a question of the busy tracker (which status is mine, and is my own invocation part of it?), carries the
//! request's head and its cancellation, and travels into everything that the library spawns.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use tokio::task::JoinHandle;
use tokio::task::futures::TaskLocalFuture;

use super::cancellation::{Cancellation, CancellationToken};
use super::request::RequestHead;
use crate::instance::Instance;
use crate::panics;
use crate::tasks::TrackerHandle;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// One request, seen from below.
#[derive(Debug)]
pub(crate) struct Scope {
    instance: Arc<Instance>,
    kind: Kind,
    head: RequestHead,
    cancellation: Arc<Cancellation>,
    /// Whether the invocation makes the agent busy.
    counts: bool,
    /// [`Activity`]s that hold the invocation in flight.
    holds: AtomicUsize,
}

/// What the code below is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    /// The custom ping handler. It is asked *for* the status, so its own last answer is no part of what it sees.
    Ping,
    /// A hook.
    Hook,
}

impl Scope {
    /// For the app's code that no request has called.
    pub(crate) fn outside_requests(instance: Arc<Instance>, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            instance,
            kind,
            head: RequestHead::new(HeaderMap::new()),
            cancellation: Arc::default(),
            counts: false,
            holds: AtomicUsize::new(0),
        })
    }

    pub(crate) fn is_ping(&self) -> bool {
        self.kind == Kind::Ping
    }

    /// Whether the invocation is part of the tracker's count at this moment.
    pub(crate) fn is_counted(&self) -> bool {
        self.counts && self.holds.load(Ordering::Acquire) > 0
    }

    pub(super) fn head(&self) -> &RequestHead {
        &self.head
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.head.all_headers()
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Tells the request's code that nobody waits for it any more.
    pub(crate) fn cancel(&self) {
        self.cancellation.cancel();
    }

    pub(crate) fn cancellation(&self) -> CancellationToken {
        self.cancellation.token(&self.instance.stopping)
    }

    /// One more hold, while there is any.
    fn hold(self: &Arc<Self>) -> Option<Activity> {
        let more = |holds| (holds > 0).then_some(holds + 1);
        self.holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Activity {
            scope: Arc::clone(self),
        })
    }
}

/// An invocation in flight: begun when its head has been read, over when its reply has been handed to the socket and
/// nothing of its handler runs any more.
#[derive(Debug)]
pub(crate) struct Activity {
    scope: Arc<Scope>,
}

impl Activity {
    /// Begins an invocation; it makes the agent busy if `counts`.
    pub(crate) fn begin(instance: Arc<Instance>, counts: bool, headers: HeaderMap) -> Self {
        instance.tracker.begin_invocation(counts);
        Self {
            scope: Arc::new(Scope {
                instance,
                kind: Kind::Request,
                head: RequestHead::new(headers),
                cancellation: Arc::default(),
                counts,
                holds: AtomicUsize::new(1),
            }),
        }
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The same invocation, with headers that a layer has changed.
    pub(crate) fn with_headers(self, headers: HeaderMap) -> Self {
        let Scope {
            instance,
            counts,
            cancellation,
            ..
        } = &*self.scope;
        instance.tracker.begin_invocation(*counts);
        let scope = Scope {
            instance: Arc::clone(instance),
            kind: Kind::Request,
            head: RequestHead::new(headers),
            cancellation: Arc::clone(cancellation),
            counts: *counts,
            holds: AtomicUsize::new(1),
        };
        Self {
            scope: Arc::new(scope),
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if self.scope.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.scope
                .instance
                .tracker
                .end_invocation(self.scope.counts);
        }
    }
}

/// Runs `future` below `scope`.
pub(crate) fn within<F: Future>(scope: Arc<Scope>, future: F) -> TaskLocalFuture<Arc<Scope>, F> {
    SCOPE.scope(scope, future)
}

/// The tracker in force here, and the invocation if the caller is below one.
pub(crate) fn with_scope<R>(read: impl FnOnce(&TrackerHandle, Option<&Scope>) -> R) -> R {
    let mut read = Some(read);
    let mut run = |tracker: &TrackerHandle, scope: Option<&Scope>| match read.take() {
        Some(read) => read(tracker, scope),
        None => unreachable!("called for one of the two cases"),
    };
    if let Ok(answer) = SCOPE.try_with(|scope| run(&scope.instance.tracker, Some(scope))) {
        return answer;
    }
    run(&TrackerHandle::Process, None)
}

/// The caller's scope.
fn current() -> Option<Arc<Scope>> {
    SCOPE.try_with(Arc::clone).ok()
}

/// The caller's scope, if it is below a request.
pub(crate) fn current_request() -> Option<Arc<Scope>> {
    current().filter(|scope| scope.kind == Kind::Request)
}

/// Spawns a task below the caller's scope, if there is one. Needs a Tokio runtime.
pub(crate) fn spawn_in_scope<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match SCOPE.try_with(Arc::clone) {
        Ok(scope) => tokio::spawn(within(scope, future)),
        Err(_) => tokio::spawn(future),
    }
}

/// Runs `work` on the blocking pool, below the caller's scope. A panic in it is a panic here.
pub(crate) async fn blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scope = current();
    // A thread cannot be stopped: when the caller gives up, the work goes on, and the agent is busy until it ends.
    let hold = hold();
    let work = move || {
        let _hold = hold;
        match scope {
            Some(scope) => SCOPE.sync_scope(scope, work),
            None => work(),
        }
    };
    match tokio::task::spawn_blocking(|| panics::guard(work)).await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => panic.resume(),
        // The runtime is shutting down and will not come back here.
        Err(_) => std::future::pending().await,
    }
}

/// A hold on the caller's invocation, for what may outlive its handler.
pub(crate) fn hold() -> Option<Activity> {
    SCOPE.try_with(Scope::hold).ok().flatten()
}
