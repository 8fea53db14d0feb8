//! Middleware: tower layers around everything but `/ping` and `/ws`.
//!
//! Layers are user code, so they run on the workers. `/ping` is answered on the front and stays outside, so that nothing can
//! delay it. An app without layers has no [`Endpoint`] and no cost.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::ErrorMode;
use crate::error::BoxError;
use crate::handler::body::{Body, Limits};
use crate::handler::extract::Invocation;
use crate::handler::http_error::error_response;
use crate::handler::invoke::{Answering, Client, Job, Options, Run, RunIn};
use crate::handler::response::{Response, internal_error, panic_response};
use crate::handler::routes::{self, Mount};
use crate::report::panics;
use crate::report::{Failure, Outcome, Work};
use crate::request::{self, Activity, CallOfAgent, Scope};
use crate::util::BoxFuture;

/// The service that a layer wraps: the agent, with the layers that were added before.
///
/// Only a layer written for this library has to name it. The layers of tower-http are generic over the service they wrap.
///
/// ```
/// use agentcore::{App, Endpoint};
///
/// #[derive(Clone)]
/// struct Nothing;
///
/// impl tower_layer::Layer<Endpoint> for Nothing {
///     type Service = Endpoint;
///
///     fn layer(&self, inner: Endpoint) -> Endpoint {
///         inner
///     }
/// }
///
/// let app = App::from_registry().layer(Nothing);
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct Endpoint(Arc<dyn Fn(Request<Body>) -> BoxFuture<http::Response<Body>> + Send + Sync>);

/// Takes a request with any body, so that layers may change its type.
impl<B> Service<Request<B>> for Endpoint
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reply = (self.0)(request.map(Body::new));
        Box::pin(async move { Ok(reply.await) })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// A layer that has been added to an app, without its type.
pub(crate) struct Wrap {
    /// The name of the layer's type.
    name: &'static str,
    wrap: Box<dyn FnOnce(Endpoint) -> Endpoint + Send + Sync>,
}

impl Wrap {
    pub(crate) fn new<L, B>(layer: L) -> Self
    where
        L: Layer<Endpoint> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = http::Response<B>>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            name: std::any::type_name::<L>(),
            wrap: Box::new(move |inner| Endpoint::layered(layer.layer(inner))),
        }
    }
}

/// Keeps the invocation in flight while a layer has its request, because a layer may answer without a call of the agent.
#[derive(Clone)]
struct InFlight(Arc<Activity>);

impl Endpoint {
    /// Wraps `agent` in `layers`; the last one is the outermost. Runs on the workers, within their runtime, because some layers
    /// start a task. Fails with the name of a layer that panics.
    pub(crate) fn build(
        layers: Vec<Wrap>,
        agent: impl Fn(Request<Body>) -> BoxFuture<http::Response<Body>> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let innermost = Self(Arc::new(agent));
        layers.into_iter().try_fold(innermost, |inner, layer| {
            let Wrap { name, wrap } = layer;
            panics::guard(|| wrap(inner)).map_err(|panic| {
                panic.log(&format!("layer `{name}`"));
                format!("layer `{name}` panicked: {}", panic.message())
            })
        })
    }

    /// Wraps `service`, which a layer has made, for the next layer.
    pub(crate) fn layered<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                let reply = async {
                    std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request).await
                };
                match reply.await {
                    Ok(response) => response.map(Body::new),
                    Err(error) => error_response(&error.into()).into_http(),
                }
            })
        }))
    }

    /// Starts a request on the workers.
    pub(crate) fn start(
        self,
        workers: &Handle,
        mut request: Request<Body>,
        activity: Activity,
        client: Client,
    ) {
        let Self(call) = self;
        let scope = Arc::clone(activity.scope());
        let run = async move {
            activity.its_turn().await;
            let scope = Arc::clone(activity.scope());
            if let Some(hold) = scope.hold() {
                request.extensions_mut().insert(InFlight(Arc::new(hold)));
            }
            let is_head = request.method() == Method::HEAD;
            let reply = async {
                let mut response = Response::from_http(call(request).await);
                if is_head {
                    response = response.without_body();
                } else if scope.kind().is_route() {
                    response = response.with_announced_length();
                }
                // No limits here: the agent's own apply to what it streams.
                response.settled(Limits::default()).await
            };
            let response = match panics::catch(reply).await {
                Ok(response) => {
                    tell_reply(&scope, &response);
                    response
                }
                Err(panic) => {
                    let response = panic_response(&panic);
                    scope.note(panic.outcome(), Some(response.status()));
                    request::fail(Failure::panic("a layer", panic));
                    response
                }
            };
            (response, activity)
        };
        let answering = Answering::new(run, client);
        workers.spawn(request::within(scope, answering));
    }
}

/// Records the reply of the layers for the invocation's line. The agent's own failures have already been recorded inside the
/// layers.
fn tell_reply(scope: &Arc<Scope>, response: &Response) {
    let (status, error) = (response.status(), response.failure());
    match scope.observed().replied(status) {
        CallOfAgent::Ended => {}
        CallOfAgent::Repeated => warn_dropped(scope),
        CallOfAgent::Dropped => {
            let is_late = is_of_timeout(status) || error.is_some_and(says_timeout);
            if is_late {
                scope.note(Outcome::Timeout, None);
            }
            let what = format!("{} `{}`", function(scope), scope.name());
            return request::fail(Failure::dropped(what, status, error, is_late));
        }
    }
    if let Some(error) = error {
        request::fail(Failure::reply("a layer".to_owned(), status, error));
    }
}

/// The word for the function that the layers are around.
fn function(scope: &Scope) -> &'static str {
    Work::of(scope.kind())
        .unwrap_or(Work::Invocation)
        .function()
}

/// Whether a layer that ends a call after some time answers with this status.
fn is_of_timeout(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether the text of an error, with its causes, is that of tower's or Tokio's time limit. Tower's type is in a crate that the
/// library does not depend on.
fn says_timeout(text: &str) -> bool {
    let texts = ["request timed out", "deadline has elapsed"];
    text.split(": ").any(|text| texts.contains(&text))
}

/// Logs that a layer has dropped a call of the entrypoint, when the invocation's line does not say it.
fn warn_dropped(scope: &Arc<Scope>) {
    let (function, name) = (function(scope), scope.name());
    request::emit_below(Some(Arc::clone(scope)), move || {
        tracing::warn!("a call of {function} `{name}` was cancelled: a layer dropped it");
    });
}

/// A call of the entrypoint inside layers. If it is dropped before its end, a layer has dropped it.
struct Call {
    scope: Arc<Scope>,
    /// Whether the call is also dropped when its client leaves.
    or_client: bool,
    is_over: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        let by_client = self.or_client && self.scope.is_cancelled();
        if self.is_over || by_client || self.scope.instance().is_cut_off() {
            return;
        }
        // The line of the invocation says it, if it has not been written.
        if !self.scope.observed().call_dropped() {
            warn_dropped(&self.scope);
        }
    }
}

/// Keeps a request that comes out of the layers in flight. Logs the mistake if it belongs to none.
fn in_flight(extensions: &mut Extensions) -> Option<Activity> {
    // A request that a layer has made itself has no extension of ours. It belongs to the request in whose scope the layer runs.
    let in_flight = extensions.remove::<InFlight>();
    let hold = in_flight.and_then(|in_flight| in_flight.0.scope().hold());
    let activity = hold.or_else(request::hold);
    if activity.is_none() {
        tracing::error!(
            "a layer called the agent outside of a request in flight: keep the request's extensions, or call it in the \
             task that called the layer; the answer is 500"
        );
    }
    activity
}

/// Calls a router for a request that comes out of the layers, in their task.
pub(crate) async fn call_mount(mount: &Mount, mut request: Request<Body>) -> http::Response<Body> {
    let Some(activity) = in_flight(request.extensions_mut()) else {
        return internal_error().into_http();
    };
    let activity = activity.with_headers(request.headers().clone());
    let mut call = Call {
        scope: Arc::clone(activity.scope()),
        or_client: false,
        is_over: false,
    };
    let response = routes::call_within_layers(mount, activity, request).await;
    let response = response.unwrap_or_else(internal_error);
    call.is_over = true;
    call.scope.observed().handed(response.status());
    response.without_reasons().into_http()
}

/// Calls the entrypoint for a request that comes out of the layers, in their task.
pub(crate) async fn call(
    (options, run): (Options, Run),
    debug: bool,
    errors: ErrorMode,
    request: Request<Body>,
) -> http::Response<Body> {
    let (mut head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let details = error.to_string();
            let status = StatusCode::BAD_REQUEST;
            return Response::rejection(status, "Invalid body", &details, None).into_http();
        }
    };
    let Some(activity) = in_flight(&mut head.extensions) else {
        return internal_error().into_http();
    };
    // Layers may have changed the headers. The handler gets the changed ones.
    let activity = activity.with_headers(head.headers);
    let mut call = Call {
        scope: Arc::clone(activity.scope()),
        or_client: options.cancel_on_disconnect,
        is_over: false,
    };
    let job = Job {
        invocation: Invocation::new(Arc::clone(activity.scope()), body),
        options,
        debug,
        activity,
    };
    let Some(answer) = run(job, RunIn::Caller) else {
        return internal_error().into_http();
    };
    let (response, _) = answer.await;
    call.is_over = true;
    // Here as well, because a layer may compress the reply.
    let response = errors.apply(response);
    call.scope.observed().handed(response.status());
    response.into_outgoing().map(Body::settled)
}
