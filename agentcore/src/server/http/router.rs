//! The routes: what answers a request, by its path, its method, and the state of the server.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use super::dev;
use super::exchange::{Admission, Connection, Exchange, Port};
use super::front::Front;
use super::invocations::{self, Replying};
#[cfg(feature = "mcp")]
use super::mcp;
use super::operators::{self, Page};
use super::request_body::{self, RequestBody};
use super::routes;
use super::warmup;
#[cfg(feature = "ws")]
use super::websockets;
use crate::error::BoxError;
use crate::handler::body::Settled;
use crate::handler::response::Response;
use crate::metrics::Refused;
use crate::request::Activity;
use crate::request::Instance;
use crate::server::connection::half_close::End;
use crate::server::threads::wakeups::Batched;

/// The future of the reply to a request. The two frequent kinds need no box.
pub(crate) enum Answer<B> {
    Now(Option<http::Response<ReplyBody>>),
    Invocation(Replying<B>),
    Later(Pin<Box<dyn Future<Output = http::Response<ReplyBody>> + Send>>),
}

impl<B> Answer<B> {
    pub(crate) fn now(reply: http::Response<ReplyBody>) -> Self {
        Self::Now(Some(reply))
    }

    pub(crate) fn later(
        reply: impl Future<Output = http::Response<ReplyBody>> + Send + 'static,
    ) -> Self {
        Self::Later(Box::pin(reply))
    }
}

impl<B: RequestBody> Future for Answer<B> {
    type Output = Result<http::Response<ReplyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(reply) => reply
                .take()
                .map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply))),
            Self::Invocation(reply) => Pin::new(reply).poll(cx).map(Ok),
            Self::Later(reply) => reply.as_mut().poll(cx).map(Ok),
        }
    }
}

const PING: &str = "/ping";

/// Answers one request.
pub(crate) fn answer<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    if let Some(fault) = exchange.fault {
        let reply = fault.to_response(exchange.front().settings.max_body_bytes);
        return Answer::now(exchange.refuse(request, reply));
    }
    if exchange.connection.admission == Admission::Operators {
        // A web page in a browser on this machine must not read the admin port either.
        if let Some(refused) = dev::refuse_operator(exchange.front(), &request) {
            return Answer::now(exchange.refuse(request, refused));
        }
        return match operators::page(exchange.front(), request.uri().path()) {
            Some(page) => show(exchange, request, page),
            None => Answer::now(exchange.refuse(request, not_found())),
        };
    }
    let port = exchange.connection.port;
    if port != Port::first(&exchange.front().agent) {
        let admission = exchange.connection.admission;
        if let Some(refused) = dev::refuse(exchange.front(), admission, &request) {
            return Answer::now(exchange.refuse(request, refused));
        }
        return if request.uri().path() == PING {
            ping(exchange, request)
        } else {
            answer_on(port, exchange, request)
        };
    }
    if exchange.front().dev().is_some() {
        return dev::answer(exchange, request);
    }
    dispatch(exchange, request)
}

/// Answers one request that has passed the checks and is neither a ping nor for operators, on any port for clients.
fn answer_on<B: RequestBody>(port: Port, exchange: Exchange, request: Request<B>) -> Answer<B> {
    match port {
        Port::Agent => once_restored(exchange, request, serve),
        Port::Routes(mount) => once_restored(exchange, request, move |exchange, request| {
            routes::answer(exchange, request, mount)
        }),
        #[cfg(feature = "mcp")]
        Port::Mcp => mcp::answer(exchange, request),
    }
}

/// Answers one request that has passed the checks and is not for the dev page.
pub(crate) fn dispatch<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    // First, since a ping waits for nothing.
    if request.uri().path() == PING {
        return ping(exchange, request);
    }
    let front = exchange.front();
    if front.serves_operators {
        if let Some(page) = operators::page(front, request.uri().path()) {
            return show(exchange, request, page);
        }
    }
    answer_on(exchange.connection.port, exchange, request)
}

/// Answers one request on the agent's own port.
fn serve<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let front = exchange.front();
    if let Some(mount) = routes::owns(front, request.uri().path()) {
        return routes::answer(exchange, request, mount);
    }
    let is_crowded = exchange.connection.admission == Admission::Crowded;
    let reply = match (request.uri().path(), request.method()) {
        (path, _) if path == &*front.settings.warmup_path => {
            return warmup::answer(exchange, request);
        }
        (path, _) if goes_through_layers(front, path) && !is_crowded => {
            return invoke(exchange, request);
        }
        (path, &Method::POST) if is_crowded && path == &*front.settings.invocations_path => {
            let refused = front.unavailable("Too many connections", Refused::Connections);
            let refused = refuse(&exchange.connection, request, refused);
            return refuse_invocation(exchange, refused);
        }
        #[cfg(feature = "ws")]
        ("/ws", _) => match websockets::accept(&exchange.connection, request) {
            Ok(accepted) => {
                return Answer::later(async move {
                    let reply = websockets::answer(&exchange.connection, accepted).await;
                    exchange.reply(reply)
                });
            }
            Err(refused) => refused,
        },
        (path, method) => match refusal(invocations_path(front), path, method) {
            None => return invoke(exchange, request),
            Some(refused) => refuse(&exchange.connection, request, refused),
        },
    };
    Answer::now(exchange.reply(reply))
}

/// Answers a ping, on any port of the agent.
fn ping<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Answer::now(exchange.refuse(request, method_not_allowed("GET, HEAD")));
    }
    let front = exchange.front();
    match front.pinger.answer(front) {
        Some(answer) => Answer::now(exchange.reply(answer)),
        None => Answer::later(async move {
            let front = exchange.front();
            let answer = front.pinger.ask(front).await;
            exchange.reply(answer)
        }),
    }
}

/// Answers a request with `answer`, after the restore hooks if they have to run. If they fail, refuses it. Its body is not read
/// before. A request that is refused in any case does not wait.
pub(super) fn once_restored<B: RequestBody>(
    exchange: Exchange,
    request: Request<B>,
    answer: impl FnOnce(Exchange, Request<B>) -> Answer<B> + Send + 'static,
) -> Answer<B> {
    let waits = exchange.connection.admission != Admission::Crowded;
    let restored = if waits {
        exchange.front().until_restored()
    } else {
        None
    };
    let Some(restored) = restored else {
        return answer(exchange, request);
    };
    Answer::later(async move {
        if restored.await {
            let Ok(reply) = answer(exchange, request).await;
            return reply;
        }
        let front = exchange.front();
        let mut refused = front.not_restored();
        let is_invocation = request.method() == Method::POST
            && Some(request.uri().path()) == invocations_path(front);
        if is_invocation && exchange.connection.port == Port::Agent {
            refused = front.settings.errors.apply(refused);
        }
        exchange.refuse(request, refused)
    })
}

fn invoke<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    match invocations::accept(exchange, request) {
        Ok(reply) => Answer::Invocation(reply),
        Err((exchange, refused)) => refuse_invocation(exchange, refused),
    }
}

/// Sends the refusal of an invocation whose body has been discarded.
fn refuse_invocation<B>(exchange: Exchange, refused: Response) -> Answer<B> {
    let refused = exchange.front().settings.errors.apply(refused);
    Answer::now(exchange.reply(refused))
}

/// Answers a request for an operators' page. If the page shows the status, a custom ping handler is asked first.
fn show<B: RequestBody>(exchange: Exchange, request: Request<B>, page: Page) -> Answer<B> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Answer::now(exchange.refuse(request, method_not_allowed("GET, HEAD")));
    }
    if !operators::shows_status(exchange.front(), request.uri().path()) {
        let reply = page(exchange.front());
        return Answer::now(exchange.refuse(request, reply));
    }
    Answer::later(async move {
        let front = exchange.front();
        front.pinger.refresh(front).await;
        let reply = page(front);
        exchange.refuse(request, reply)
    })
}

/// The path of invocations; `None` if the agent has no entrypoint.
fn invocations_path(front: &Front) -> Option<&str> {
    let path = &*front.settings.invocations_path;
    front.agent.entrypoint.is_some().then_some(path)
}

/// The refusal of a request that is not for the path of `invocations`; `None` if it is an invocation. Requests that have passed
/// the layers use it, too.
pub(crate) fn refusal(invocations: Option<&str>, path: &str, method: &Method) -> Option<Response> {
    match *method {
        _ if Some(path) != invocations => Some(not_found()),
        Method::POST => None,
        _ => Some(method_not_allowed("POST")),
    }
}

/// Whether layers see the requests for this path. They see all but `/ping`, which nothing may delay, and `/ws`, whose socket is
/// no reply.
fn goes_through_layers(front: &Front, path: &str) -> bool {
    front.has_layers && path != "/ping" && path != "/ws"
}

pub(crate) fn not_found() -> Response {
    Response::error("Not Found").with_status(StatusCode::NOT_FOUND)
}

pub(crate) fn method_not_allowed(allow: &'static str) -> Response {
    Response::error("Method Not Allowed")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
        .with_header(header::ALLOW, HeaderValue::from_static(allow))
}

/// Returns `response` for a request whose body has not been read, and discards the body.
pub(crate) fn refuse<B: RequestBody>(
    connection: &Connection,
    request: Request<B>,
    response: Response,
) -> Response {
    let (head, body) = request.into_parts();
    request_body::discard(connection, &head, body);
    response
}

pin_project! {
    /// The body of a reply that hyper sends. While it lives, its invocation is in flight.
    pub(crate) struct ReplyBody {
        #[pin]
        body: Batched<Settled>,
        // The request. Its drop tells the connection that hyper has the whole reply.
        pub(crate) exchange: Option<Exchange>,
        // The invocation, which stays in flight until the body has been sent.
        activity: Option<(Activity, Arc<End>)>,
    }

    impl PinnedDrop for ReplyBody {
        fn drop(this: Pin<&mut Self>) {
            if let Some((activity, end)) = this.project().activity.take() {
                end.keep_until_sent(activity);
            }
        }
    }
}

impl ReplyBody {
    pub(crate) fn in_memory(bytes: Bytes) -> Self {
        Self::new(Batched::direct(Settled::memory(bytes)), None, None)
    }

    /// The reply to an invocation.
    pub(crate) fn new(
        body: Batched<Settled>,
        activity: Option<(Activity, Arc<End>)>,
        exchange: Option<Exchange>,
    ) -> Self {
        Self {
            body,
            activity,
            exchange,
        }
    }
}

impl From<Response> for http::Response<ReplyBody> {
    /// Converts a reply that the server makes itself, which is in memory.
    fn from(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = Batched::direct(body.into_settled(|| ()));
        Self::from_parts(parts, ReplyBody::new(body, None, None))
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let instance = this
            .activity
            .as_ref()
            .map(|(activity, _)| activity.scope().instance());
        let length = this.body.get_ref().size_hint().exact();
        let polled = if instance.is_some_and(Instance::is_cut_off) {
            Poll::Ready(Some(Err("cut off by the shutdown".into())))
        } else {
            this.body.as_mut().poll_with(cx, Settled::poll_frame)
        };
        if let Some(metrics) = instance.and_then(|instance| instance.metrics.as_ref()) {
            metrics.sent(&polled);
        }
        if let (Poll::Ready(Some(Err(_))), Some(exchange)) = (&polled, this.exchange) {
            if exchange.break_off(length) {
                // hyper sends what it has, and then the socket resets the connection.
                return Poll::Pending;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.get_ref().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.get_ref().size_hint()
    }
}
