//! [`App`]: an agent, built by hand or from what the macros registered.

pub(crate) mod describe;
pub(crate) mod descriptors;
pub(crate) mod listeners;
#[cfg(feature = "schema")]
pub(crate) mod openapi;
pub(crate) mod parts;
#[cfg(feature = "schema")]
pub(crate) mod schemas;
#[cfg(feature = "schema")]
mod tools;

use std::any::TypeId;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::app::descriptors::Meta;
use crate::app::listeners::Supplied;
use crate::app::package::Package;
#[cfg(feature = "ws")]
use crate::app::parts::WebSocketEndpoint;
use crate::app::parts::{Agent, Callback, Entrypoint, Parts, Router};
use crate::config::{
    Addresses, Config, Environment, Found, Reader, Settings, table, unreachable_port,
};
use crate::error::{BoxError, Error};
use crate::handler::Handler;
use crate::handler::body::Body;
use crate::handler::hook::{PingHandler, PlatformHook, ShutdownHook, StartHook};
use crate::handler::invoke::{self, Options};
use crate::handler::layer::{Endpoint, Wrap};
use crate::handler::routes::Routes;
use crate::log::Log;
use crate::request::StateSlot;
use crate::util::sealed::Seal;
#[cfg(feature = "ws")]
use crate::ws::WebSocketHandler;

pub(crate) use crate::util::package;

/// An agent: its entrypoint, hooks, shared state and configuration.
///
/// [`from_registry`](Self::from_registry) starts with what the macros registered, [`new`](Self::new) with nothing; parts can be
/// added to both. For each attribute there is a method.
///
/// The functions may be identical, except for three types. A macro sees the types of a function and decides by them, while a
/// method accepts what one trait describes.
///
/// | annotated | by hand |
/// | --- | --- |
/// | a bare payload and a bare JSON reply: `async fn f(event: Event) -> Reply` | in [`Json`](crate::Json): `async fn f(Json(event): Json<Event>) -> Json<Reply>` |
/// | the error of an entrypoint is any error, or [`IntoResponse`](crate::IntoResponse) | it is [`IntoResponse`](crate::IntoResponse), as [`BoxError`], which `?` makes of any error, and [`HttpError`](crate::HttpError) are |
/// | a start hook that cannot fail returns a bare `S` | it returns [`State::new(value)`](crate::State::new) |
///
/// The right column compiles with the attributes too.
///
/// ```no_run
/// use agentcore::{App, Json};
/// use serde_json::{Value, json};
///
/// async fn handler(Json(event): Json<Value>) -> Json<Value> {
///     Json(json!({ "echo": event }))
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), agentcore::Error> {
///     App::new().entrypoint("handler", handler).serve().await
/// }
/// ```
#[derive(Default)]
#[must_use = "an app does nothing until it is served"]
pub struct App {
    parts: Parts,
    config: Config,
    supplied: Supplied,
    timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    cancel_on_disconnect: bool,
    without_flags: bool,
}

/// How long the platform waits for the reply to a warm-up request (`hooksConfiguration` in the service model of botocore 1.44.8).
const PLATFORM_WARMUP: Duration = Duration::from_secs(120);

/// The input of a start.
pub(crate) struct Prepared {
    pub(crate) agent: Agent,
    pub(crate) settings: Settings,
    /// Listeners that the program or a service manager has opened.
    pub(crate) supplied: Supplied,
    /// Every setting and its origin.
    pub(crate) found: Vec<Found>,
}

impl App {
    /// An empty app.
    pub fn new() -> Self {
        Self::default()
    }

    /// An app made of all annotated functions of this binary.
    ///
    /// Annotated functions of a library crate count only if the binary names that crate somewhere; `use library as _;`
    /// is enough. Otherwise the linker leaves the crate out.
    pub fn from_registry() -> Self {
        Self {
            parts: Parts::of_registry(),
            ..Self::default()
        }
    }

    /// Sets the function that answers `POST /invocations`, as [`entrypoint`](macro@crate::entrypoint) does. `name` is for
    /// messages.
    ///
    /// A [`Handler`] is `async` or not, and takes and returns what an annotated function does, with two differences: payloads
    /// and JSON replies are wrapped in [`Json`](crate::Json), and the error of a `Result` implements
    /// [`IntoResponse`](crate::IntoResponse), as [`BoxError`] and [`HttpError`](crate::HttpError) do.
    #[track_caller]
    pub fn entrypoint<H, Args>(mut self, name: &'static str, handler: H) -> Self
    where
        H: Handler<Args>,
    {
        self.parts.entrypoints.push(Entrypoint {
            meta: here(name),
            options: Options::new(name),
            requires: |requirements| H::requires(requirements, Seal),
            // A generic method cannot ask the function's types whether they have schemas.
            #[cfg(feature = "schema")]
            describe: |_| (),
            run: Arc::new(move |job, place| {
                let handler = handler.clone();
                invoke::start(job, place, |invocation| handler.call(invocation, Seal))
            }),
        });
        self
    }

    /// Sets the function that serves `GET /ws`, as `#[websocket]` does. `name` is for messages.
    ///
    /// An app may have a websocket handler, an entrypoint, or both.
    #[cfg(feature = "ws")]
    #[track_caller]
    pub fn websocket<H, Args>(mut self, name: &'static str, handler: H) -> Self
    where
        H: WebSocketHandler<Args>,
    {
        self.parts.websockets.push(WebSocketEndpoint {
            meta: here(name),
            requires: |requirements| H::requires(requirements, Seal),
            open: Arc::new(move |opening| handler.clone().open(opening, Seal)),
        });
        self
    }

    /// Serves every path that the contract does not with a tower service of the program's own, as
    /// [`routes`](macro@crate::routes) does.
    ///
    /// The contract's paths are `/ping`; the [path of invocations](crate::Config::invocations_path), if there is an entrypoint;
    /// the [warm-up path](crate::Config::warmup_path); `/ws`, if there is a websocket handler; and probes, `/metrics`,
    /// `/openapi.json` and the dev page, where they are on. An app may consist of routes alone.
    ///
    /// A request is treated as an invocation is: it has a [`RequestContext`](crate::RequestContext), makes the agent busy, counts
    /// among [`max_invocations`](crate::Config::max_invocations), goes through the [layers](Self::layer), and its panic is a
    /// 500. Bodies are streamed both ways, and connections can be upgraded. The [guide](guide/routes/index.html) has the details.
    ///
    /// ```
    /// use agentcore::{App, Body};
    /// use http::{Request, Response};
    ///
    /// // With axum: `Router::new().route("/hello", get(hello))`.
    /// let service = tower::service_fn(async |_: Request<Body>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Body::from("hello")))
    /// });
    /// let app = App::new().routes(service);
    /// # let _ = app;
    /// ```
    ///
    /// # Errors
    ///
    /// The start fails if there are two routers for the agent's port, or an [`idle`](crate::Routes::idle) pattern is not valid.
    #[track_caller]
    pub fn routes(mut self, routes: impl Into<Routes>) -> Self {
        let router = Router::new(here("routes"), None, routes.into());
        self.parts.routers.push(router);
        self
    }

    /// Serves another port with a tower service of the program's own, as `#[routes(port = ..)]` does. On this port, only
    /// `GET /ping` is the agent's. 0 stands for any free port; see [`Server::routes_addrs`](crate::Server::routes_addrs).
    ///
    /// The port is bound on the [host](Config::host) of the configuration.
    ///
    /// ```
    /// use agentcore::{App, Body};
    /// use http::{Request, Response};
    ///
    /// let service = tower::service_fn(async |_: Request<Body>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Body::from("hello")))
    /// });
    /// let app = App::new().routes_on(8081, service);
    /// # let _ = app;
    /// ```
    ///
    /// # Errors
    ///
    /// The start fails if the port is that of the agent, of the operators or of other routes, or cannot be bound.
    #[track_caller]
    pub fn routes_on(mut self, port: u16, routes: impl Into<Routes>) -> Self {
        let router = Router::new(here("routes"), Some(port), routes.into());
        self.parts.routers.push(router);
        self
    }

    /// Limits the time of an invocation, as `#[entrypoint(timeout = "..")]` does. By default there is no limit.
    ///
    /// The time begins when the handler is called. It ends when the handler has returned a reply or, for a streamed reply, when
    /// the last item has been sent. If the limit is reached before the handler has returned, the handler is dropped and the
    /// answer is 504. If it is reached while a reply is streamed, the stream is dropped, and the client gets one last event:
    /// `{"error":"timed out after 90s","error_type":"TimedOut","message":"An error occurred during streaming"}`. A streamed body
    /// that is not a stream of events, such as the body of an [`http::Response`], breaks off instead. In each case a line is
    /// logged, the request's [`CancellationToken`](crate::CancellationToken) is cancelled, and the invocation ends. Code that
    /// blocks its thread cannot be stopped; it is dropped at its next `.await`.
    ///
    /// Sockets have no such limit.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use agentcore::App;
    ///
    /// let app = App::from_registry()
    ///     .timeout(Duration::from_secs(15 * 60))
    ///     .idle_timeout(Duration::from_secs(60));
    /// # let _ = app;
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Limits the time between two items of a streamed reply, as `#[entrypoint(idle_timeout = "..")]` does. By default there is
    /// no limit.
    ///
    /// The time begins when the handler has returned its stream, and begins anew with each item. It stands still while an item
    /// waits for a slow client, which [`write_timeout`](Config::write_timeout) limits. The comments that are sent during silence
    /// do not count as items. When the time is over, the reply ends as with [`timeout`](Self::timeout); the error of the last
    /// event is `no item for 1m`. The limit has no effect on a reply that is not streamed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let app = agentcore::App::from_registry().idle_timeout(Duration::from_secs(60));
    /// # let _ = app;
    /// ```
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// Drops the handler when its client goes away, as `#[entrypoint(on_disconnect = "cancel")]` does. By default the handler
    /// runs to its end.
    pub fn cancel_on_disconnect(mut self) -> Self {
        self.cancel_on_disconnect = true;
        self
    }

    /// Sets the custom ping handler, as [`ping`](macro@crate::ping) does.
    ///
    /// It takes the functions that the attribute takes: `async` or not, with any number of [`State<S>`](crate::State). With the
    /// automatic status as a [`PingStatus`](crate::PingStatus) argument, the handler's answer replaces that status. Without it,
    /// the agent is busy if either says so.
    ///
    /// ```
    /// use agentcore::{App, PingStatus};
    ///
    /// fn queue_is_full() -> bool {
    ///     false
    /// }
    ///
    /// let app = App::new().ping(|| {
    ///     if queue_is_full() { PingStatus::HealthyBusy } else { PingStatus::Healthy }
    /// });
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn ping<H, Args>(mut self, handler: H) -> Self
    where
        H: PingHandler<Args>,
    {
        let handler = Arc::new(handler);
        self.parts.pings.push(Callback {
            meta: here("ping"),
            requires: |requirements| H::requires(requirements, Seal),
            call: Arc::new(move |call| Arc::clone(&handler).call(call, Seal)),
        });
        self
    }

    /// Adds the name of a task to the start line. `#[async_task]` does this for its functions.
    #[track_caller]
    pub fn task(mut self, name: &'static str) -> Self {
        self.parts.tasks.push(here(name));
        self
    }

    /// Shares `value` with handlers that take [`State<S>`](crate::State).
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.parts
            .states
            .push((StateSlot::new(value), TypeId::of::<S>()));
        self
    }

    /// Adds a start hook, as [`on_start`](macro@crate::on_start) does. The value that it returns becomes shared state.
    ///
    /// It takes the functions that the attribute takes: `async` or not, with any number of [`State<S>`](crate::State). They
    /// return a [`StartReply`](crate::StartReply): `()`, `Result<S, E>`, or `State<S>` for a value without an error.
    ///
    /// Hooks run one after the other, before `/ping` answers 200. They run in the order in which they were added, except that a
    /// hook that takes a `State<S>` runs after the one that makes it.
    ///
    /// ```
    /// use agentcore::{App, BoxError, State};
    ///
    /// struct Url(String);
    /// struct Pool(String);
    ///
    /// async fn connect(State(url): State<Url>) -> Result<Pool, BoxError> {
    ///     Ok(Pool(url.0.clone()))
    /// }
    ///
    /// let app = App::new()
    ///     .on_start(|| std::env::var("DATABASE_URL").map(Url))
    ///     .on_start(connect);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_start<H, Args>(mut self, hook: H) -> Self
    where
        H: StartHook<Args>,
    {
        self.push_start_hook(here("on_start"), None, hook);
        self
    }

    /// Adds a start hook as [`on_start`](Self::on_start) does. The start fails if the hook takes longer than `limit`, as with
    /// `#[on_start(timeout = "..")]`.
    ///
    /// ```
    /// use agentcore::App;
    /// use std::time::Duration;
    ///
    /// async fn warm_up() {}
    ///
    /// let app = App::new().on_start_within(Duration::from_secs(30), warm_up);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_start_within<H, Args>(mut self, limit: Duration, hook: H) -> Self
    where
        H: StartHook<Args>,
    {
        self.push_start_hook(here("on_start"), Some(limit), hook);
        self
    }

    fn push_start_hook<H, Args>(&mut self, meta: Meta, timeout: Option<Duration>, hook: H)
    where
        H: StartHook<Args>,
    {
        let hook = Arc::new(hook);
        self.parts.start_hooks.push(parts::StartHook {
            callback: Callback {
                meta,
                requires: |requirements| H::requires(requirements, Seal),
                call: Arc::new(move |call| Arc::clone(&hook).call(call, Seal)),
            },
            timeout,
            provides: || H::provides(Seal),
        });
    }

    /// Adds a shutdown hook, as [`on_shutdown`](macro@crate::on_shutdown) does. Hooks run in the order in which they were added,
    /// when the work in progress has ended or its grace period is over.
    ///
    /// It takes the functions that the attribute takes: `async` or not, with any number of [`State<S>`](crate::State). They
    /// return `()`, or a `Result` of `()` and any error.
    ///
    /// ```
    /// use agentcore::{App, State};
    ///
    /// struct Pool;
    ///
    /// async fn close(pool: State<Pool>) -> std::io::Result<()> {
    ///     let _ = pool;
    ///     Ok(())
    /// }
    ///
    /// let app = App::new().state(Pool).on_shutdown(close);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_shutdown<H, Args>(mut self, hook: H) -> Self
    where
        H: ShutdownHook<Args>,
    {
        let hook = Arc::new(hook);
        self.parts.shutdown_hooks.push(Callback {
            meta: here("on_shutdown"),
            requires: |requirements| H::requires(requirements, Seal),
            call: Arc::new(move |call| Arc::clone(&hook).call(call, Seal)),
        });
        self
    }

    /// Adds a warm-up hook, as [`on_warmup`](macro@crate::on_warmup) does. Hooks run one after the other, in the order in which
    /// they were added, when the platform posts to the [warm-up path](Config::warmup_path).
    ///
    /// It takes the functions that the attribute takes: `async` or not, with any number of [`State<S>`](crate::State). They
    /// return `()`, or a `Result` of `()` and any error.
    ///
    /// ```
    /// use agentcore::{App, BoxError, State};
    ///
    /// struct Model;
    ///
    /// async fn first_inference(model: State<Model>) -> Result<(), BoxError> {
    ///     let _ = model;
    ///     Ok(())
    /// }
    ///
    /// let app = App::new().state(Model).on_warmup(first_inference);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_warmup<H, Args>(mut self, hook: H) -> Self
    where
        H: PlatformHook<Args>,
    {
        let hook = platform_hook(here("on_warmup"), None, hook);
        self.parts.warmup_hooks.push(hook);
        self
    }

    /// Adds a warm-up hook as [`on_warmup`](Self::on_warmup) does. The warm-up fails if the hook takes longer than `limit`, as
    /// with `#[on_warmup(timeout = "..")]`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use agentcore::App;
    ///
    /// let app = App::new().on_warmup_within(Duration::from_secs(60), async || ());
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_warmup_within<H, Args>(mut self, limit: Duration, hook: H) -> Self
    where
        H: PlatformHook<Args>,
    {
        let hook = platform_hook(here("on_warmup"), Some(limit), hook);
        self.parts.warmup_hooks.push(hook);
        self
    }

    /// Adds a restore hook, as [`on_restore`](macro@crate::on_restore) does. Hooks run one after the other, in the order in which
    /// they were added, after the process was restored from a snapshot. Requests wait for them, 10 s for each hook.
    ///
    /// It takes the functions that the attribute takes: `async` or not, with any number of [`State<S>`](crate::State). They
    /// return `()`, or a `Result` of `()` and any error.
    ///
    /// ```
    /// use agentcore::{App, State};
    ///
    /// struct Pool;
    ///
    /// async fn reconnect(pool: State<Pool>) -> std::io::Result<()> {
    ///     let _ = pool;
    ///     Ok(())
    /// }
    ///
    /// let app = App::new().state(Pool).on_restore(reconnect);
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_restore<H, Args>(mut self, hook: H) -> Self
    where
        H: PlatformHook<Args>,
    {
        let hook = platform_hook(here("on_restore"), None, hook);
        self.parts.restore_hooks.push(hook);
        self
    }

    /// Adds a restore hook as [`on_restore`](Self::on_restore) does, with another limit than 10 s, as
    /// `#[on_restore(timeout = "..")]` does.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use agentcore::App;
    ///
    /// let app = App::new().on_restore_within(Duration::from_secs(3), async || ());
    /// # let _ = app;
    /// ```
    #[track_caller]
    pub fn on_restore_within<H, Args>(mut self, limit: Duration, hook: H) -> Self
    where
        H: PlatformHook<Args>,
    {
        let hook = platform_hook(here("on_restore"), Some(limit), hook);
        self.parts.restore_hooks.push(hook);
        self
    }

    /// Wraps the agent in a tower layer. The layer that is added last is the outermost.
    ///
    /// A layer sees every request except those for `/ping` and `/ws`. It sees unknown paths and other methods than POST, so it
    /// can answer CORS preflights and [routes of your own](#routes-of-your-own). On the port of the Model Context Protocol it sees
    /// every message except the platform's health probe, a JSON-RPC `ping` of a revision before 2026-07-28. It is built and called on the workers, within
    /// their runtime, and built before the start hooks run. A layer that panics while it is built stops the start. For an
    /// annotated agent write `#[entrypoint(main = false)]` and a `main` that [`run`](Self::run)s the app:
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    ///
    /// use agentcore::{App, entrypoint};
    /// use tower_http::cors::CorsLayer;
    ///
    /// #[entrypoint(main = false)]
    /// async fn handler(event: serde_json::Value) -> serde_json::Value {
    ///     event
    /// }
    ///
    /// fn main() -> ExitCode {
    ///     App::from_registry().layer(CorsLayer::permissive()).run()
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A layer that drops the future of its call cancels the handler: the handler is dropped at its next `.await`, a line is
    /// logged, and the invocation ends. tower-http's `TimeoutLayer` does so when its time is over, and answers with its own
    /// status. Work that has to go on belongs in a task, such as one of [`spawn`](crate::spawn). A handler that is not `async`
    /// cannot be stopped: it runs to its end, and the agent is busy until then.
    ///
    /// A client that leaves cancels nothing, with layers or without, unless
    /// [`cancel_on_disconnect`](Self::cancel_on_disconnect) is set. A reply that is already streamed is dropped with its
    /// reader.
    ///
    /// # Routes of your own
    ///
    /// A layer that answers a path itself does not call the service that it wraps. This one answers `GET /healthz`:
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use std::future::Future;
    /// use std::pin::Pin;
    /// use std::process::ExitCode;
    /// use std::task::{Context, Poll};
    ///
    /// use agentcore::{App, Body, Endpoint, entrypoint};
    /// use http::{Method, Request, Response};
    /// use tower_layer::layer_fn;
    /// use tower_service::Service;
    ///
    /// #[entrypoint(main = false)]
    /// async fn handler(event: serde_json::Value) -> serde_json::Value {
    ///     event
    /// }
    ///
    /// /// Answers `GET /healthz`, and passes every other request on.
    /// #[derive(Clone)]
    /// struct Healthz(Endpoint);
    ///
    /// impl Service<Request<Body>> for Healthz {
    ///     type Response = Response<Body>;
    ///     type Error = Infallible;
    ///     type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
    ///
    ///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
    ///         Poll::Ready(Ok(()))
    ///     }
    ///
    ///     fn call(&mut self, request: Request<Body>) -> Self::Future {
    ///         match (request.method(), request.uri().path()) {
    ///             (&Method::GET, "/healthz") => Box::pin(async { Ok(Response::new(Body::from("ok"))) }),
    ///             _ => Box::pin(self.0.call(request)),
    ///         }
    ///     }
    /// }
    ///
    /// fn main() -> ExitCode {
    ///     App::from_registry().layer(layer_fn(Healthz)).run()
    /// }
    /// ```
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<Endpoint> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = http::Response<B>>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.parts.layers.push(Wrap::new(layer));
        self
    }

    /// Sets the agent's name and version, for `--version` and the start line. The macros register them by themselves.
    ///
    /// ```
    /// use agentcore::App;
    ///
    /// let app = App::new().package(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    /// # let _ = app;
    /// ```
    pub fn package(mut self, name: &'static str, version: &'static str) -> Self {
        self.parts.package = Package::new(Some(name), Some(version));
        self
    }

    /// Whether [`run`](Self::run) reads the program's arguments: `--help`, `--version`, `--check`, as [`run`](crate::run#flags)
    /// describes them. On by default.
    ///
    /// Off, all arguments belong to the program. On, only those after `--` do.
    ///
    /// ```no_run
    /// fn main() -> std::process::ExitCode {
    ///     let model = std::env::args().nth(1).unwrap_or_default();
    ///     agentcore::App::from_registry().state(model).flags(false).run()
    /// }
    /// ```
    pub fn flags(mut self, flags: bool) -> Self {
        self.without_flags = !flags;
        self
    }

    pub(crate) fn has_flags(&self) -> bool {
        !self.without_flags
    }

    /// The name and version before the parts are checked.
    pub(crate) fn package_so_far(&self) -> Package {
        self.parts.package
    }

    /// Sets the configuration. The environment and the defaults fill in what it does not set.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Serves on `listener` instead of the [host](Config::host) and [port](Config::port) of the configuration.
    ///
    /// Use it for a listener that the program has to open itself: one with options of its own, one whose port a test has to know
    /// before the agent starts, or one that another process has passed on. It may be blocking. Connections that already wait in
    /// its queue are served. On Linux the [`write_timeout`](Config::write_timeout) becomes an option of it.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    ///
    /// use agentcore::App;
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// println!("http://{}/ping", listener.local_addr()?);
    /// App::from_registry().listener(listener).serve().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`run`](Self::run) also takes listeners that systemd passes, unless the program supplies any; see
    /// [the guide](guide/configuration/index.html#listeners-from-systemd).
    ///
    /// # Errors
    ///
    /// [`bind`](Self::bind), [`serve`](Self::serve) and [`run`](Self::run) fail if the system does not report its address.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.supplied.agent = Some(listener);
        self
    }

    /// Serves the [admin port](Config::admin_port) on `listener`. This turns the [probes](Config::probes) on by default.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    ///
    /// use agentcore::App;
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let admin = TcpListener::bind("127.0.0.1:9090")?;
    /// App::from_registry().admin_listener(admin).serve().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn admin_listener(mut self, listener: TcpListener) -> Self {
        self.supplied.admin = Some(listener);
        self
    }

    /// Returns the input of a start, or all problems; and the log to write them to.
    ///
    /// The process belongs to the agent here, so listeners that were passed to the process are the agent's.
    pub(crate) fn prepare(
        mut self,
        environment: &Environment<'_>,
    ) -> (Log, Result<Prepared, Error>) {
        let mut env = Reader::new(environment);
        if self.supplied.is_empty() {
            match Supplied::inherit(environment) {
                Ok(inherited) => self.supplied = inherited,
                Err(problem) => env.problem(problem),
            }
        }
        let settings = self.read(&mut env);
        let log = Log::read(&self.config, &mut env);
        (log, self.prepared(settings, env))
    }

    /// Returns the input of a start, where the program sets up its own log.
    pub(crate) fn prepare_in(self, environment: &Environment<'_>) -> Result<Prepared, Error> {
        let mut env = Reader::new(environment);
        let settings = self.read(&mut env);
        self.prepared(settings, env)
    }

    fn read(&self, env: &mut Reader<'_>) -> Settings {
        let addresses = self.supplied.addresses().unwrap_or_else(|problem| {
            env.problem(problem);
            Addresses::default()
        });
        self.config.read(env, addresses)
    }

    fn prepared(mut self, mut settings: Settings, mut env: Reader<'_>) -> Result<Prepared, Error> {
        self.check_ports(&settings, &mut env);
        self.check_idle_paths(&settings, &mut env);
        let in_container = env.environment.in_container;
        if self.parts.serves_mcp() && self.supplied.is_empty() {
            let address = SocketAddr::new(settings.host, settings.mcp_port);
            let advice = format!("set {} to", table::MCP_PORT.variable);
            let warning = unreachable_port(in_container, address, "the agent listens", &advice);
            // Nothing listens on the agent's own port then.
            if self.parts.serves_only_mcp() {
                settings.warnings.clear();
            }
            settings.warnings.extend(warning);
        }
        for router in &self.parts.routers {
            let Some(port) = router.port else { continue };
            let listen = format!("routes {} listen", router.meta);
            let address = SocketAddr::new(settings.host, port);
            let warning = unreachable_port(in_container, address, &listen, "give them");
            settings.warnings.extend(warning);
        }
        if in_container
            && !self.parts.warmup_hooks.is_empty()
            && settings.warmup_timeout >= PLATFORM_WARMUP
        {
            settings.warnings.push(format!(
                "{} is {}, and AgentCore Runtime gives up a warm-up after {}",
                env.called(&table::WARMUP_TIMEOUT),
                humantime::format_duration(settings.warmup_timeout),
                humantime::format_duration(PLATFORM_WARMUP)
            ));
        }
        let supplied = std::mem::take(&mut self.supplied);
        let (found, agent) = Error::both(env.finish(), self.into_agent())?;
        #[cfg(feature = "schema")]
        let agent = agent.with_documents(&settings)?;
        Ok(Prepared {
            agent,
            settings,
            supplied,
            found,
        })
    }

    /// Checks that no routes have the agent's port, the operators' or that of the Model Context Protocol, and that these differ.
    fn check_ports(&self, settings: &Settings, env: &mut Reader<'_>) {
        let agents = Some(settings.address.port());
        let agents = (
            agents.filter(|_| !self.parts.serves_only_mcp()),
            table::PORT.variable,
        );
        let admin = (settings.admin_port, table::ADMIN_PORT.variable);
        let mcp = self.parts.serves_mcp().then_some(settings.mcp_port);
        let mcp = (mcp, table::MCP_PORT.variable);
        let taken = [agents, admin, mcp];
        for (port, variable) in [agents, admin] {
            if mcp.0 == port && port.is_some_and(|port| port != 0) {
                let port = settings.mcp_port;
                env.problem(format!(
                    "{} is `{port}`; it takes another port than {variable}",
                    mcp.1
                ));
            }
        }
        for router in &self.parts.routers {
            for (port, variable) in taken {
                if let Some(port) = router.port.filter(|own| *own != 0 && Some(*own) == port) {
                    let meta = router.meta;
                    env.problem(format!(
                        "routes {meta} have port {port}, which is {variable}; give them another port"
                    ));
                }
            }
        }
    }

    /// Checks that the agent does not serve a path itself which its routes call idle: no request would reach them.
    fn check_idle_paths(&self, settings: &Settings, env: &mut Reader<'_>) {
        let warmup: &str = &settings.warmup_path;
        let mut own = vec![(env.called(&table::WARMUP_PATH), warmup)];
        if !self.parts.entrypoints.is_empty() {
            let name = env.called(&table::INVOCATIONS_PATH);
            own.push((name, &settings.invocations_path));
        }
        let routers = self.parts.routers.iter();
        for router in routers.filter(|router| router.port.is_none()) {
            for (name, path) in &own {
                if router.patterns.iter().any(|pattern| pattern == path) {
                    env.problem(format!(
                        "{name} is `{path}`, which routes {} name in `idle`; it takes another path",
                        router.meta
                    ));
                }
            }
        }
    }

    /// The checked parts, and the configuration without the environment.
    pub(crate) fn into_agent_for_tests(self) -> Result<(Agent, Settings), Error> {
        let prepared = self.prepare_in(&Environment::empty())?;
        Ok((prepared.agent, prepared.settings))
    }

    fn into_agent(self) -> Result<Agent, Error> {
        let mut agent = self.parts.check()?;
        if let Some(Entrypoint { options, .. }) = &mut agent.entrypoint {
            options.timeout = self.timeout.or(options.timeout);
            options.idle_timeout = self.idle_timeout.or(options.idle_timeout);
            options.cancel_on_disconnect |= self.cancel_on_disconnect;
            options.watch_disconnect |= options.cancel_on_disconnect;
        }
        Ok(agent)
    }
}

fn platform_hook<H, Args>(meta: Meta, limit: Option<Duration>, hook: H) -> parts::PlatformHook
where
    H: PlatformHook<Args>,
{
    let hook = Arc::new(hook);
    parts::PlatformHook::new(
        meta,
        limit,
        |requirements| H::requires(requirements, Seal),
        move |call| Arc::clone(&hook).call(call, Seal),
    )
}

/// The source location of the caller's caller.
#[track_caller]
fn here(name: &'static str) -> Meta {
    let place = Location::caller();
    Meta::new(name, "", place.file(), place.line())
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field(
                "entrypoints",
                &self
                    .parts
                    .entrypoints
                    .iter()
                    .map(|part| part.meta)
                    .collect::<Vec<_>>(),
            )
            .field("tasks", &self.parts.tasks)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_routes_that_the_platform_does_not_reach_is_a_warning_in_a_container() {
        let warnings = |port, in_container| {
            let environment = Environment {
                in_container,
                ..Environment::empty()
            };
            let service = tower::service_fn(async |_: http::Request<Body>| {
                Ok::<_, BoxError>(http::Response::new(Body::default()))
            });
            let app = App::new().routes_on(port, service);
            let prepared = app.prepare_in(&environment).expect("an agent");
            prepared.settings.warnings
        };
        for port in [0, 8000, 8081, 12000] {
            assert_eq!(warnings(port, true), Vec::<String>::new(), "{port}");
        }
        for port in [80, 8443, 12001] {
            let [warning] = &warnings(port, true)[..] else {
                panic!("one warning about {port}")
            };
            assert!(warning.starts_with("routes `routes` ("), "{warning}");
            let end = format!(
                " listen on port {port}, which AgentCore Runtime does not reach; for the Runtime, give them a port from 8000 \
                 to 12000 other than 8443"
            );
            assert!(warning.ends_with(&end), "{warning}");
            assert_eq!(warnings(port, false), Vec::<String>::new(), "{port}");
        }
    }
}
