//! [`Scope`]: one request in flight, for the code that works on it.
//!
//! It carries the request's head and its cancellation. It tells the busy tracker whether the caller's own invocation counts. It
//! travels into every task that the library spawns.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken as Token;

use super::activity::Activity;
use super::admission::Permit;
use super::cancellation::{Cancellation, CancellationToken};
use super::context::{RequestHead, random_uuid};
use super::instance::Instance;
#[cfg(feature = "durable")]
use super::job::JobAttempt;
use super::local;
use super::observed::Observed;
use super::part::{Part, Work};
use crate::headers;
use crate::report::stall;
use crate::report::{Kind, Outcome, Rejection};
use crate::tracker::Origin;
use crate::util::sync::{Mutex, MutexGuard};

/// One request, for the code that works on it.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(super) instance: Arc<Instance>,
    flight: Shared,
    head: RequestHead,
}

/// The flight of a request: the scope's own, that of the scope before a layer changed the headers, or that of which it is a part.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be one more allocation for every request; the small variant is rare"
)]
enum Shared {
    Own(Flight),
    Of(Arc<Scope>),
    /// That of the request, but with an end of its own.
    #[cfg_attr(
        not(feature = "schema"),
        allow(dead_code, reason = "only tools have them")
    )]
    Part(Part),
}

/// The part of a request that stays when its headers are changed.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) kind: Kind,
    /// The handler's name.
    name: &'static str,
    began: Instant,
    /// Made at the first use, if the headers have none.
    id: OnceLock<String>,
    cancellation: Cancellation,
    /// The method and the path of a request to a route, for its line.
    route: Option<Box<str>>,
    /// Whether the invocation makes the agent busy.
    pub(super) counts: bool,
    /// The number of [`Activity`]s that hold the invocation in flight.
    pub(super) holds: AtomicUsize,
    /// The ticket in the table of requests in flight. For the ping handler and a hook that is not in that table, the number of
    /// its name.
    pub(super) ticket: OnceLock<u64>,
    /// The permit to be in flight, if the number of invocations is limited.
    permit: Mutex<Option<Permit>>,
    pub(super) observed: Observed,
    /// The attempt of a durable job that the scope belongs to.
    #[cfg(feature = "durable")]
    job: Option<Box<JobAttempt>>,
}

/// A request that has arrived, and its handler.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) kind: Kind,
    /// The handler's name.
    pub(crate) name: &'static str,
    /// Whether it makes the agent busy.
    pub(crate) counts: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) permit: Option<Permit>,
    /// The method and the path of a request to a route.
    pub(crate) route: Option<Box<str>>,
}

impl Arrival {
    /// A request that does not make the agent busy and needs no permit.
    pub(crate) fn uncounted(kind: Kind, name: &'static str, headers: HeaderMap) -> Self {
        Self {
            at: Instant::now(),
            kind,
            name,
            counts: false,
            headers,
            permit: None,
            route: None,
        }
    }
}

impl Scope {
    pub(super) fn new(instance: Arc<Instance>, arrival: Arrival) -> Self {
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
                observed: Observed::begin(
                    &instance,
                    arrival.kind,
                    arrival.name,
                    &arrival.headers,
                    arrival.route.as_deref(),
                ),
                route: arrival.route,
                #[cfg(feature = "durable")]
                job: None,
            }),
            head: RequestHead::new(arrival.headers),
            instance,
        }
    }

    /// The scope of code that runs for no request, such as a hook. `at` comes from [`At::hook`](stall::At::hook).
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

    /// The scope of an attempt of a durable job. `headers` are those of the request that submitted the job.
    #[cfg(feature = "durable")]
    pub(crate) fn of_job(
        instance: Arc<Instance>,
        name: &'static str,
        headers: HeaderMap,
        at: stall::At,
        job: JobAttempt,
    ) -> Arc<Self> {
        let mut scope = Self::new(instance, Arrival::uncounted(Kind::Hook, name, headers));
        if let Shared::Own(flight) = &mut scope.flight {
            flight.job = Some(Box::new(job));
        }
        scope.flight().ticket.get_or_init(|| at.hook);
        Arc::new(scope)
    }

    /// The attempt of a durable job that the scope belongs to.
    #[cfg(feature = "durable")]
    pub(crate) fn job(&self) -> Option<&JobAttempt> {
        self.flight().job.as_deref()
    }

    /// A scope of this request with other headers.
    pub(super) fn with_headers(self: &Arc<Self>, headers: HeaderMap) -> Self {
        Self {
            instance: Arc::clone(&self.instance),
            flight: Shared::Of(Arc::clone(self)),
            head: RequestHead::new(headers),
        }
    }

    pub(super) fn flight(&self) -> &Flight {
        match &self.flight {
            Shared::Own(flight) => flight,
            Shared::Of(scope) => scope.flight(),
            Shared::Part(part) => part.of.flight(),
        }
    }

    /// The scope of a part of a request.
    #[cfg_attr(
        not(feature = "schema"),
        allow(dead_code, reason = "only tools have them")
    )]
    pub(super) fn of_part(part: Part) -> Self {
        Self {
            instance: Arc::clone(&part.of.instance),
            head: RequestHead::new(part.of.headers().clone()),
            flight: Shared::Part(part),
        }
    }

    fn part(&self) -> Option<&Part> {
        match &self.flight {
            Shared::Own(_) => None,
            Shared::Of(scope) => scope.part(),
            Shared::Part(part) => Some(part),
        }
    }

    /// Whether the scope is that of a part that goes on when the request has ended.
    pub(crate) fn is_detached(&self) -> bool {
        self.part().is_some_and(Part::is_detached)
    }

    /// Lets a part go on when the request has ended, if the scope is that of one.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn detach(&self) {
        if let Some(part) = self.part() {
            part.detach();
        }
    }

    /// What keeps the agent busy, if the scope is that of a part and the part has not ended.
    pub(super) fn work(&self) -> Option<Arc<Work>> {
        self.part()?.work()
    }

    pub(crate) fn is_ping(&self) -> bool {
        self.flight().kind == Kind::Ping
    }

    /// Whether the tracker counts the invocation at this moment.
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

    /// Runs `work` in this scope, where no task-local says which request it is for.
    pub(crate) fn enter<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        local::enter(self, work)
    }

    /// The request's id: from the headers, or made once.
    pub(crate) fn request_id(&self) -> &str {
        let given = self.head.request_id();
        given.unwrap_or_else(|| self.flight().id.get_or_init(random_uuid))
    }

    /// The handler's name.
    pub(crate) fn name(&self) -> &'static str {
        self.flight().name
    }

    /// The method and the path of a request to a route.
    pub(crate) fn route(&self) -> Option<&str> {
        self.flight().route.as_deref()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.flight().kind
    }

    pub(crate) fn observed(&self) -> &Observed {
        &self.flight().observed
    }

    /// Records the outcome and the status, as far as they are known.
    pub(crate) fn note(&self, outcome: Outcome, status: Option<StatusCode>) {
        self.flight().observed.note(outcome, status);
    }

    /// Keeps the reason of a rejection for the request's line.
    pub(crate) fn reject(&self, rejection: &Rejection) {
        self.flight().observed.reject(self, rejection);
    }

    /// When it arrived.
    pub(crate) fn began(&self) -> Instant {
        self.flight().began
    }

    /// How long ago it arrived.
    pub(crate) fn age(&self) -> Duration {
        self.flight().began.elapsed()
    }

    /// Tells the request's code that its result is no longer wanted.
    pub(crate) fn cancel(&self) {
        match self.part() {
            Some(part) => part.cancel(),
            None => self.flight().cancellation.cancel(),
        }
    }

    /// Whether the request has been cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        match self.part() {
            Some(part) => part.is_cancelled(),
            None => self.flight().cancellation.is_cancelled(),
        }
    }

    pub(crate) fn cancellation(&self) -> CancellationToken {
        CancellationToken::new(self.token())
    }

    pub(super) fn token(&self) -> Token {
        match self.part() {
            Some(part) => part.token(),
            None => self.flight().cancellation.token(&self.instance.stop_told),
        }
    }

    /// A further guard; `None` if the last one has been dropped, and for work that goes on without the request.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Activity> {
        if self.is_detached() {
            return None;
        }
        let more = |holds| (holds > 0).then_some(holds + 1);
        self.flight()
            .holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Activity::held(Arc::clone(self)))
    }

    pub(crate) fn permit(&self) -> MutexGuard<'_, Option<Permit>> {
        self.flight().permit.lock()
    }
}

impl fmt::Display for Scope {
    /// For a log line: the kind of request, its id and its handler.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.flight().name;
        let kind = match self.flight().kind {
            Kind::Invocation => "invocation",
            #[cfg(feature = "ws")]
            Kind::Socket => "socket",
            Kind::Route | Kind::IdleRoute => "request",
            #[cfg(feature = "mcp")]
            Kind::Tool => "call",
            Kind::Other => return write!(f, "request {}", self.request_id()),
            Kind::Ping => return f.write_str("the ping handler"),
            Kind::Hook => return write!(f, "hook `{name}`"),
        };
        write!(f, "{kind} {} of `{name}`", self.request_id())
    }
}

impl Scope {
    /// For a log line whose subject is the handler: its name, and the request that it runs for.
    pub(crate) fn handler_first(&self) -> String {
        let (name, id) = (self.flight().name, self.request_id());
        match self.flight().kind {
            Kind::Invocation => format!("`{name}` (invocation {id})"),
            #[cfg(feature = "ws")]
            Kind::Socket => format!("`{name}` (socket {id})"),
            Kind::Route | Kind::IdleRoute => format!("`{name}` (request {id})"),
            #[cfg(feature = "mcp")]
            Kind::Tool => format!("tool `{name}` (call {id})"),
            Kind::Other | Kind::Ping | Kind::Hook => self.to_string(),
        }
    }
}

impl Origin for Scope {
    fn session_id(&self) -> Option<&str> {
        headers::session_id(self.headers())
    }

    fn enter(self: &Arc<Self>, work: impl FnOnce()) {
        local::enter(self, work);
    }
}
