//! Routes: a tower service of the program's own, which serves the paths that the contract does not.
//!
//! The service is user code. It is built, called and polled on the workers, and dropped there or on a helper thread at the end.
//! What the front knows of it is [`Mount`]'s plain data: its name, and which paths are idle.

pub(crate) mod idle;
mod mount;
pub(crate) mod upgrade;
pub(crate) mod upload;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::Request;
use http_body_util::BodyExt as _;
use tower_service::Service;

use crate::error::BoxError;
use crate::handler::body::Body;
use crate::handler::extract::Requirements;
use crate::handler::hook::{HookCall, RoutesFunction};
use crate::handler::http_error::error_response;
use crate::util::BoxFuture;
use crate::util::sealed::Seal;
use crate::util::sync::Mutex;
pub(crate) use mount::{Mount, Mounted, Mounts, Routed, call_within_layers};

/// The function that makes a service at the start.
pub(crate) type Build =
    Arc<dyn Fn(HookCall) -> BoxFuture<Result<RouteService, BoxError>> + Send + Sync>;

/// A service without its type.
#[derive(Clone)]
pub struct RouteService(Call);

/// Calls a service. The error is a reply, with its text for the log.
type Call = Arc<dyn Fn(Request<Body>) -> BoxFuture<http::Response<Body>> + Send + Sync>;

impl RouteService {
    /// Takes the type off a service. Runs on the workers, or in the program before the start.
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        // A service need not be `Sync`. The lock is held while it is cloned, and only workers clone it.
        let service = Mutex::new(service);
        Self(Arc::new(move |request| {
            let mut service = service.lock().clone();
            Box::pin(async move {
                let reply = async {
                    std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request).await
                };
                match reply.await {
                    Ok(response) => response.map(body_of),
                    Err(error) => error_response(&error.into()).into_http(),
                }
            })
        }))
    }
}

impl fmt::Debug for RouteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteService").finish_non_exhaustive()
    }
}

/// Wraps a body with any kind of buffer. A [`Body`] is returned unchanged.
fn body_of<B>(body: B) -> Body
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    if let Some(own) = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>() {
        return own.take().unwrap_or_default();
    }
    body.map_or_else(Body::default, |body| {
        // For `Bytes` this is no copy.
        let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        Body::new(body.map_frame(move |frame| frame.map_data(whole)))
    })
}

/// A service for the paths that the contract does not serve, with its options. [`App::routes`](crate::App::routes) and
/// [`App::routes_on`](crate::App::routes_on) take it.
///
/// A tower service converts into it, so an `axum::Router` needs no `Routes` unless it has options.
///
/// ```
/// use std::time::Duration;
///
/// use agentcore::{App, Body, Routes};
/// use http::{Request, Response};
/// use tower::service_fn;
///
/// async fn web(request: Request<Body>) -> Result<Response<String>, std::io::Error> {
///     Ok(Response::new(format!("this is {}", request.uri().path())))
/// }
///
/// let routes = Routes::new(service_fn(web))
///     .idle(["/health", "/assets/*"])
///     .timeout(Duration::from_secs(30));
/// let app = App::new().routes(routes);
/// # let _ = app;
/// ```
#[must_use = "routes do nothing until an app has them"]
pub struct Routes {
    pub(crate) build: Build,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) idle: Vec<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Routes {
    /// Routes that `service` serves.
    ///
    /// The service takes an `http::Request<agentcore::Body>`. Its reply's body is any `http_body::Body`, and its error becomes
    /// a reply as the error of an entrypoint does. It is cloned for each request, one clone at a time. Like an `axum::Router`, it
    /// answers unknown paths itself.
    ///
    /// ```
    /// use agentcore::{Body, Routes};
    /// use http::{Request, Response};
    ///
    /// let routes = Routes::new(tower::service_fn(async |_: Request<Body>| {
    ///     Ok::<_, std::io::Error>(Response::new(Body::from("hello")))
    /// }));
    /// # let _ = routes;
    /// ```
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let service = RouteService::new(service);
        Self {
            build: Arc::new(move |_| {
                let service = service.clone();
                Box::pin(async move { Ok(service) })
            }),
            requires: |_| {},
            idle: Vec::new(),
            timeout: None,
        }
    }

    /// Routes with a service that `function` makes. The function runs on the workers, after the start hooks.
    ///
    /// The function is `async` or not, takes any number of [`State<S>`](crate::State), and returns a `Result` of a service, as
    /// [`new`](Self::new) takes it. An error stops the start.
    ///
    /// ```
    /// use agentcore::{App, Body, BoxError, Routes, State};
    /// use http::{Request, Response};
    ///
    /// struct Greeting(&'static str);
    ///
    /// let routes = Routes::from_fn(|greeting: State<Greeting>| {
    ///     let text = greeting.0.0;
    ///     Ok::<_, BoxError>(tower::service_fn(move |_: Request<Body>| async move {
    ///         Ok::<_, BoxError>(Response::new(Body::from(text)))
    ///     }))
    /// });
    /// let app = App::new().state(Greeting("hello")).routes(routes);
    /// # let _ = app;
    /// ```
    pub fn from_fn<F, Args>(function: F) -> Self
    where
        F: RoutesFunction<Args>,
    {
        let function = Arc::new(function);
        Self {
            build: Arc::new(move |call| Arc::clone(&function).call(call, Seal)),
            requires: |requirements| F::requires(requirements, Seal),
            idle: Vec::new(),
            timeout: None,
        }
    }

    /// Adds paths whose requests do not make the agent busy, and do not count among
    /// [`max_invocations`](crate::Config::max_invocations). By default each request does both.
    ///
    /// A pattern begins with a `/`. It is a whole path, or ends with `/*`, which stands for everything below it. Such requests
    /// have a log line only if they fail.
    ///
    /// # Errors
    ///
    /// The start fails with a line for each pattern that is not valid.
    pub fn idle<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.idle.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Limits the time of a request, as [`App::timeout`](crate::App::timeout) does for invocations: a service that has not
    /// replied by then is dropped, and the reply is a 504; a streamed reply ends then. By default there is no limit. A
    /// connection that was upgraded has none.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("idle", &self.idle)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<S, B> From<S> for Routes
where
    S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    fn from(service: S) -> Self {
        Self::new(service)
    }
}

/// What a function for [`Routes::from_fn`] returns: a `Result` of a tower service and any error. The trait is sealed.
///
/// ```
/// use agentcore::{Body, BoxError, RoutesReply};
/// use http::{Request, Response};
///
/// fn check<R: RoutesReply>(_: R) {}
/// check(Ok::<_, BoxError>(tower::service_fn(async |_: Request<Body>| {
///     Ok::<_, BoxError>(Response::new(Body::from("hello")))
/// })));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a function of `Routes::from_fn`",
    label = "not a `Result` of a tower service",
    note = "return `Ok::<_, agentcore::BoxError>(service)`, where the service is an `axum::Router`, or any other \
            `tower_service::Service<http::Request<agentcore::Body>>` that is `Clone + Send`"
)]
pub trait RoutesReply {
    /// The service, or the error.
    #[doc(hidden)]
    fn into_service(self, seal: Seal) -> Result<RouteService, BoxError>;
}

impl<S, B, E> RoutesReply for Result<S, E>
where
    S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    fn into_service(self, _: Seal) -> Result<RouteService, BoxError> {
        self.map(RouteService::new).map_err(Into::into)
    }
}
