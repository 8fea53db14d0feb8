//! The task-local scope of one request.
//!
//! It answers a question of the busy tracker (which status is mine, and is my own invocation part of it?), carries the
//! request's head and its cancellation, and travels into everything that the library spawns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use tokio::task::JoinHandle;
use tokio::task::futures::TaskLocalFuture;
use tracing::Span;

use super::cancellation::{Cancellation, CancellationToken};
use super::request::{RequestHead, random_uuid};
use crate::body::detach;
use crate::concurrency::Permit;
use crate::instance::Instance;
use crate::panics;
use crate::stall::{self, Watched};
use crate::sync::{Mutex, MutexGuard};
use crate::tasks::TrackerHandle;
use crate::telemetry::{Current, Failure, Observed, Outcome, Traced};

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// One request, seen from below.
#[derive(Debug)]
pub(crate) struct Scope {
    instance: Arc<Instance>,
    flight: Shared,
    head: RequestHead,
}

/// The flight of a request: its own scope's, or that of the scope with the headers from before.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be one more allocation for every request; the small variant is rare"
)]
enum Shared {
    Own(Flight),
    Of(Arc<Scope>),
}

/// What belongs to a request however often its headers are changed on the way.
#[derive(Debug)]
struct Flight {
    kind: Kind,
    /// Of the handler.
    name: &'static str,
    began: Instant,
    /// Made where the headers bring none.
    id: OnceLock<String>,
    cancellation: Cancellation,
    /// Whether the invocation makes the agent busy.
    counts: bool,
    /// [`Activity`]s that hold the invocation in flight.
    holds: AtomicUsize,
    /// Its place in the list of what is in flight; of a hook and of the ping handler, in the list of their names.
    ticket: OnceLock<u64>,
    /// Its place among those that may be in flight at once, where that is limited.
    permit: Mutex<Option<Permit>>,
    observed: Observed,
}

/// What the code below is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invocation,
    #[cfg(feature = "ws")]
    Socket,
    /// A request that goes through the layers and is no invocation.
    Other,
    /// The custom ping handler. It is asked *for* the status, so its own last answer is no part of what it sees.
    Ping,
    /// A hook.
    Hook,
}

impl Kind {
    fn is_request(self) -> bool {
        !matches!(self, Self::Ping | Self::Hook)
    }
}

/// A request that has arrived, and what for.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) kind: Kind,
    /// Of the handler that it is for.
    pub(crate) name: &'static str,
    /// Whether it makes the agent busy.
    pub(crate) counts: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) permit: Option<Permit>,
}

impl Arrival {
    /// One that makes nobody busy and needs no place.
    pub(crate) fn uncounted(kind: Kind, name: &'static str, headers: HeaderMap) -> Self {
        Self {
            at: Instant::now(),
            kind,
            name,
            counts: false,
            headers,
            permit: None,
        }
    }
}

impl Scope {
    fn new(instance: Arc<Instance>, arrival: Arrival) -> Self {
        Self {
            flight: Shared::Own(Flight {
                kind: arrival.kind,
                name: arrival.name,
                began: arrival.at,
                id: OnceLock::new(),
                cancellation: Cancellation::default(),
                counts: arrival.counts,
                holds: AtomicUsize::new(0),
                ticket: OnceLock::new(),
                permit: Mutex::new(arrival.permit),
                observed: Observed::begin(&instance, arrival.kind, arrival.name, &arrival.headers),
            }),
            head: RequestHead::new(arrival.headers),
            instance,
        }
    }

    /// For the app's code that no request has called. `at` is the hook of [`At::hook`](stall::At::hook).
    pub(crate) fn outside_requests(
        instance: Arc<Instance>,
        kind: Kind,
        name: &'static str,
        at: stall::At,
    ) -> Arc<Self> {
        let nothing = Arrival::uncounted(kind, name, HeaderMap::new());
        let scope = Self::new(instance, nothing);
        scope.flight().ticket.get_or_init(|| at.hook);
        Arc::new(scope)
    }

    fn flight(&self) -> &Flight {
        match &self.flight {
            Shared::Own(flight) => flight,
            Shared::Of(scope) => scope.flight(),
        }
    }

    pub(crate) fn is_ping(&self) -> bool {
        self.flight().kind == Kind::Ping
    }

    /// Whether the invocation is part of the tracker's count at this moment.
    pub(crate) fn is_counted(&self) -> bool {
        self.flight().counts && self.flight().holds.load(Ordering::Acquire) > 0
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

    /// Does `work` below this scope: for what is done for a request where nothing says so.
    pub(crate) fn enter<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        let current = self.flight().observed.current();
        SCOPE.sync_scope(Arc::clone(self), || current.within(work))
    }

    /// The request's id: the headers' own, or one that is made once.
    pub(crate) fn request_id(&self) -> &str {
        let given = self.head.request_id();
        given.unwrap_or_else(|| self.flight().id.get_or_init(random_uuid))
    }

    /// Of the handler.
    pub(crate) fn name(&self) -> &'static str {
        self.flight().name
    }

    pub(crate) fn kind(&self) -> Kind {
        self.flight().kind
    }

    /// Whether a layer has passed the request on: the reply to it is the layer's.
    pub(crate) fn is_below_layers(&self) -> bool {
        matches!(self.flight, Shared::Of(_))
    }

    pub(crate) fn observed(&self) -> &Observed {
        &self.flight().observed
    }

    /// What has become of the request, as far as is known.
    pub(crate) fn note(&self, outcome: Outcome, status: Option<StatusCode>) {
        self.flight().observed.note(outcome, status);
    }

    /// When it arrived.
    pub(crate) fn began(&self) -> Instant {
        self.flight().began
    }

    /// How long ago it arrived.
    pub(crate) fn age(&self) -> Duration {
        self.flight().began.elapsed()
    }

    /// Tells the request's code that nobody waits for it any more.
    pub(crate) fn cancel(&self) {
        self.flight().cancellation.cancel();
    }

    /// Whether it has been told so.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.flight().cancellation.is_cancelled()
    }

    pub(crate) fn cancellation(&self) -> CancellationToken {
        CancellationToken::new(self.flight().cancellation.token(&self.instance.stop_told))
    }

    /// One more hold, while there is any.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Activity> {
        let more = |holds| (holds > 0).then_some(holds + 1);
        self.flight()
            .holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Activity {
            scope: Arc::clone(self),
        })
    }

    fn permit(&self) -> MutexGuard<'_, Option<Permit>> {
        self.flight().permit.lock()
    }
}

impl fmt::Display for Scope {
    /// For a log line: what it is, its id, and whose.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.flight().name;
        let kind = match self.flight().kind {
            Kind::Invocation => "invocation",
            #[cfg(feature = "ws")]
            Kind::Socket => "socket",
            Kind::Other => return write!(f, "request {}", self.request_id()),
            Kind::Ping => return f.write_str("the ping handler"),
            Kind::Hook => return write!(f, "hook `{name}`"),
        };
        write!(f, "{kind} {} of `{name}`", self.request_id())
    }
}

impl Scope {
    /// For a log line whose subject is the handler: its name, and for which request it runs.
    pub(crate) fn handler_first(&self) -> String {
        let (name, id) = (self.flight().name, self.request_id());
        match self.flight().kind {
            Kind::Invocation => format!("`{name}` (invocation {id})"),
            #[cfg(feature = "ws")]
            Kind::Socket => format!("`{name}` (socket {id})"),
            Kind::Other | Kind::Ping | Kind::Hook => self.to_string(),
        }
    }
}

/// An invocation in flight: begun when its head has been read, over when its reply has been handed to the socket and
/// nothing of its handler runs any more.
#[derive(Debug)]
pub(crate) struct Activity {
    scope: Arc<Scope>,
}

impl Activity {
    pub(crate) fn begin(instance: Arc<Instance>, arrival: Arrival) -> Self {
        instance.tracker.begin_invocation(arrival.counts);
        let scope = Arc::new(Scope::new(instance, arrival));
        scope.flight().holds.store(1, Ordering::Release);
        let ticket = scope.instance.requests.insert(Arc::clone(&scope));
        scope.flight().ticket.get_or_init(|| ticket);
        Self { scope }
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Completes when the handler may be called: at once, unless another invocation of the session comes first.
    pub(crate) async fn its_turn(&self) {
        std::future::poll_fn(|cx| match self.scope.permit().as_mut() {
            Some(permit) => permit.poll_turn(cx),
            None => Poll::Ready(()),
        })
        .await;
    }

    /// The same invocation, with headers that a layer has changed.
    pub(crate) fn with_headers(self, mut headers: HeaderMap) -> Self {
        // The front may drop the scope.
        detach::headers(&mut headers);
        // Two for a moment: this one is dropped at the end.
        self.scope.flight().holds.fetch_add(1, Ordering::AcqRel);
        Self {
            scope: Arc::new(Scope {
                instance: Arc::clone(&self.scope.instance),
                flight: Shared::Of(Arc::clone(&self.scope)),
                head: RequestHead::new(headers),
            }),
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let (instance, flight) = (&self.scope.instance, self.scope.flight());
        if flight.holds.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if let Some(ticket) = flight.ticket.get() {
            instance.requests.remove(*ticket);
        }
        drop(self.scope.permit().take());
        flight.observed.end(&self.scope);
        instance.tracker.end_invocation(flight.counts);
    }
}

/// Runs `future` below `scope`.
pub(crate) fn within<F: Future>(scope: Arc<Scope>, future: F) -> Within<F> {
    let current = scope.flight().observed.current();
    within_both(scope, current, future)
}

/// A future below a scope.
type Within<F> = TaskLocalFuture<Arc<Scope>, Watched<Traced<F>>>;

/// Below `scope`, and in whichever of its spans is `current`.
fn within_both<F: Future>(scope: Arc<Scope>, current: Current, future: F) -> Within<F> {
    let number = scope.flight().ticket.get().copied();
    let at = if scope.kind().is_request() {
        stall::At::request(number)
    } else {
        stall::At::hook_number(number)
    };
    SCOPE.scope(scope, stall::watch(at, current.wrap(future)))
}

/// The tracker in force here, and the invocation if the caller is below one.
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

/// Does `work` below `scope`, if there is one.
pub(crate) fn below<R>(scope: Option<&Arc<Scope>>, work: impl FnOnce() -> R) -> R {
    match scope {
        Some(scope) => scope.enter(work),
        None => work(),
    }
}

/// Whether the caller is below a scope.
pub(crate) fn is_within() -> bool {
    SCOPE.try_with(|_| ()).is_ok()
}

/// The caller's scope.
pub(crate) fn current() -> Option<Arc<Scope>> {
    SCOPE.try_with(Arc::clone).ok()
}

/// The caller's scope, if it is below a request.
pub(crate) fn current_request() -> Option<Arc<Scope>> {
    current().filter(|scope| scope.flight().kind.is_request())
}

/// Completes when everything has been cut off; `None` outside of an app.
pub(crate) fn until_cut_off() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let cut_off = SCOPE
        .try_with(|scope| scope.instance.until_cut_off())
        .ok()?;
    Some(Box::pin(cut_off))
}

/// Spawns a task below the caller's scope, if there is one. Needs a Tokio runtime.
pub(crate) fn spawn_in_scope<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    spawn_below(None, future)
}

/// Spawns a task below `scope`, or else below the caller's, if there is one. Needs a Tokio runtime.
pub(crate) fn spawn_below<F>(scope: Option<Arc<Scope>>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match scope.or_else(current) {
        Some(scope) => tokio::spawn(within_both(scope, Current::here(), future)),
        None => tokio::spawn(Current::here().wrap(future)),
    }
}

/// Runs `work` on the blocking pool, below the caller's scope. A panic in it is a panic here.
pub(crate) async fn blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scope = current();
    // A thread cannot be stopped: when the caller gives up, the work goes on, and the agent is busy until it has ended and
    // its result is dropped.
    let hold = hold();
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
        // The runtime is shutting down and will not come back here.
        Err(_) => std::future::pending().await,
    }
}

/// Keeps `failure` for the line that says how the caller's request has ended. Outside of requests it is a line of its own.
pub(crate) fn fail(failure: Failure) {
    match current_request() {
        Some(scope) => scope.observed().fail(failure),
        None => failure.log(),
    }
}

/// Notes what has become of the caller's request, if there is one.
pub(crate) fn note(outcome: Outcome) {
    let _ = SCOPE.try_with(|scope| scope.note(outcome, None));
}

/// A hold on the caller's invocation, for what may outlive its handler.
pub(crate) fn hold() -> Option<Activity> {
    SCOPE.try_with(Scope::hold).ok().flatten()
}
