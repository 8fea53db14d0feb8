//! The port of the Model Context Protocol: its path, its methods, and the requests that the front answers itself.
//!
//! The platform's health probe is a JSON-RPC `ping`. The front answers it whatever the workers do, and `GET /ping` too. Every other
//! message goes to the workers, as an invocation does.

mod errors;

use std::sync::Arc;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;

use self::errors::in_json_rpc;
pub(super) use self::errors::refusal;
use super::exchange::{Admission, Connection, Exchange};
use super::front::Front;
use super::invocations::{self, no_room};
use super::layered::ToMcp;
use super::next::Next;
use super::phase::Phase;
use super::request_body::{Problem, Read, RequestBody, discard_rest};
use super::router::{self, Answer, method_not_allowed, not_found};
use super::warmup;
use crate::config::BusyWhile;
use crate::handler::body::Body;
use crate::handler::extract::Invocation;
use crate::handler::invoke::{Job, Options, Unwanted};
use crate::handler::response::{Response, internal_error};
use crate::headers;
use crate::mcp::{LARGEST_PROBE, MOST_READ, Message, MessageKind, OfSession, Runs, SESSION_ID};
use crate::metrics::Refused;
use crate::report;
use crate::request::detach::FREED_ON_WORKERS;
use crate::request::drops::DropOnWorkers;
use crate::request::{Activity, Arrival};
use crate::server::threads::handover::What;
use crate::util::BoxFuture;

/// The largest body in bytes that a message of a session may have without being taken for a call before it is read. A client answers
/// questions with such messages while its call has the last permit, and the result of a model, such as an image, may be large.
const LARGEST_ANSWER: u64 = 1 << 20;

/// Answers one request to the port.
pub(super) fn answer<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let front = exchange.front();
    let path = request.uri().path();
    let is_own = is_own(front, path);
    if is_own && request.method() == Method::POST {
        return answer_message(exchange, request);
    }
    // The platform sends the warm-up to the port of the runtime's protocol, unless it is told another one.
    if path == &*front.settings.warmup_path {
        return router::once_restored(exchange, request, warmup::answer);
    }
    if is_own && of_session(front, request.method(), request.headers()).is_some() {
        return answer_of_session(exchange, request);
    }
    if front.has_layers && exchange.connection.admission != Admission::Crowded {
        // Layers answer preflights, and paths of their own.
        return accept(exchange, request);
    }
    let reply = match is_own {
        true => method_not_allowed("POST"),
        false => not_found(),
    };
    Answer::now(exchange.refuse(request, reply))
}

/// Whether the path is that of messages. The platform's probe comes with a slash at the end and without one.
fn is_own(front: &Front, path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == &*front.settings.mcp_path
}

/// A request of a session of the protocol that is no message, if this agent has sessions.
fn of_session(front: &Front, method: &Method, headers: &HeaderMap) -> Option<OfSession> {
    let mcp = front.mcp.as_ref()?;
    OfSession::of(method, headers).filter(|_| mcp.has_sessions())
}

/// Answers a request of a session that is no message.
fn answer_of_session<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let errors = exchange.front().settings.errors;
    if is_foreign(request.headers()) {
        return forbid(exchange, request);
    }
    match unavailable(&exchange.connection) {
        None => accept(exchange, request),
        Some((why, reason)) => {
            let refused = refusal(errors, exchange.front().unavailable(why, reason), None);
            Answer::now(exchange.refuse(request, refused))
        }
    }
}

/// Refuses a request from a page of the web.
fn forbid<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let refused = Response::error("Forbidden: requests from pages of this origin are refused");
    let refused = refused.with_status(StatusCode::FORBIDDEN);
    let refused = refusal(exchange.front().settings.errors, refused, None);
    Answer::now(exchange.refuse(request, refused))
}

/// Answers one message.
fn answer_message<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let errors = exchange.front().settings.errors;
    if is_foreign(request.headers()) {
        return forbid(exchange, request);
    }
    match unavailable(&exchange.connection) {
        None => accept(exchange, request),
        // It answers the probe, and only the body tells whether this is one.
        Some(_) if request.body().size_hint().lower() <= LARGEST_PROBE as u64 => {
            answer_probe(exchange, request)
        }
        Some((why, reason)) => {
            let refused = refusal(errors, exchange.front().unavailable(why, reason), None);
            Answer::now(exchange.refuse(request, refused))
        }
    }
}

fn accept<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    match invocations::accept(exchange, request) {
        Ok(reply) => Answer::Invocation(reply),
        Err((exchange, refused)) => {
            let refused = refusal(exchange.front().settings.errors, refused, None);
            Answer::now(exchange.reply(refused))
        }
    }
}

/// Why all messages but the probe are refused, if they are.
fn unavailable(connection: &Connection) -> Option<(&'static str, Refused)> {
    match (connection.admission, connection.front.phase.get()) {
        (Admission::Crowded, _) => Some(("Too many connections", Refused::Connections)),
        (_, Phase::Draining) => Some(("Shutting down", Refused::NotServing)),
        (_, Phase::Starting | Phase::Serving) => None,
    }
}

/// Answers a message if it is the probe, and refuses it otherwise. The message is not in flight, so that no client can prolong the
/// drain, and it is answered while the shutdown hooks run.
fn answer_probe<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let (head, body) = request.into_parts();
    let connection = Arc::clone(&exchange.connection);
    let settings = &connection.front.settings;
    let read = Read::up_to(LARGEST_PROBE, body, settings, Arc::clone(&connection.end));
    Answer::later(async move {
        let read = read.await;
        let front = &connection.front;
        let errors = front.settings.errors;
        let message = match &read {
            Ok(body) => Some(Message::of(&head.headers, body)),
            Err(_) => None,
        };
        if let Some(pong) = message.as_ref().and_then(pong) {
            return exchange.reply(pong);
        }
        let refused = match (read, unavailable(&connection)) {
            (Err(problem @ (Problem::Stalled | Problem::Broken(_))), _) => {
                problem.into_response(&head.headers, &connection)
            }
            (read, unavailable) => {
                if let Err(Problem::TooLarge { body, .. }) = read {
                    discard_rest(&connection, body);
                }
                let (why, reason) = unavailable.unwrap_or(("Unavailable", Refused::NotServing));
                front.unavailable(why, reason)
            }
        };
        let id = message.and_then(|message| message.id);
        exchange.reply(refusal(errors, refused, id.as_ref()))
    })
}

/// The answer to a message if it is the probe.
fn pong(message: &Message) -> Option<Response> {
    match (&message.kind, &message.id) {
        (MessageKind::Ping, Some(id)) => {
            let pong = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
            Some(Response::json(&pong))
        }
        _ => None,
    }
}

/// Whether a web page of another machine has sent the request. A browser sends the origin of the page; other clients send none.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is_ours = |origin: &HeaderValue| {
        let origin = origin.to_str().ok()?;
        let (scheme, host) = origin.split_once("://")?;
        let host: Authority = host.parse().ok()?;
        let is_ours = matches!(scheme, "http" | "https")
            && ["localhost", "127.0.0.1", "[::1]"].contains(&host.host())
            && !host.as_str().contains('@');
        Some(is_ours)
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    !origins.all(|origin| is_ours(origin) == Some(true))
}

/// Whether the request may be a call, and its body is larger than what the front reads of a message. It gets its permit before its body
/// is read, so that the limit of calls bounds their bodies too. If it proves to be no call, it gives the permit back. A message of a
/// session may be an answer, so more of it is read without a permit.
pub(super) fn is_large_call<B: RequestBody>(front: &Front, request: &Request<B>) -> bool {
    let has_sessions = || front.mcp.as_ref().is_some_and(Runs::has_sessions);
    request.method() == Method::POST
        && request.body().size_hint().lower() > read_without_permit(request.headers(), has_sessions)
        && Message::may_be_call(request.headers())
}

/// How many bytes of a message with this head are read before it has a permit.
fn read_without_permit(headers: &HeaderMap, has_sessions: impl FnOnce() -> bool) -> u64 {
    match headers.contains_key(SESSION_ID) && has_sessions() {
        true => LARGEST_ANSWER,
        false => MOST_READ as u64,
    }
}

/// The end of the restore hooks, if the request has to wait for it. A health probe does not wait.
pub(super) fn restoring(
    connection: &Connection,
    activity: &Activity,
    head: Option<&http::request::Parts>,
    body: &Bytes,
) -> Option<BoxFuture<bool>> {
    let front = &connection.front;
    if !front.after_restore.has_hooks() {
        return None;
    }
    if passes_as(front, activity, head).is_some() {
        return front.until_restored();
    }
    match Message::of(activity.scope().headers(), body).kind {
        // A probe notices a restore, as a ping does, and does not wait.
        MessageKind::Ping => {
            front.notice_restore();
            None
        }
        MessageKind::Call { .. } | MessageKind::Other => front.until_restored(),
    }
}

/// What a request passes as if it is no message. The head is known if there are layers, and of a request of a session; without
/// layers no others but messages come this far.
fn passes_as(
    front: &Front,
    activity: &Activity,
    head: Option<&http::request::Parts>,
) -> Option<ToMcp> {
    let head = head?;
    match (is_own(front, head.uri.path()), &head.method) {
        (true, &Method::POST) => None,
        (true, method) => {
            let of_session = of_session(front, method, activity.scope().headers());
            Some(of_session.map_or(ToMcp::OtherMethod, ToMcp::OfSession))
        }
        (false, _) => Some(ToMcp::OtherPath),
    }
}

/// Whether the head of a request is needed after its body has been read, though there are no layers.
pub(super) fn needs_head(connection: &Connection, method: &Method) -> bool {
    connection.port.is_mcp() && method != Method::POST
}

/// A refusal of a message that has been read.
pub(super) fn refuse_message(
    connection: &Connection,
    activity: &Activity,
    body: Bytes,
    response: Response,
) -> Response {
    let message = Message::of(activity.scope().headers(), &body);
    free(connection, body);
    let errors = connection.front.settings.errors;
    refusal(errors, response, message.id.as_ref())
}

/// Frees the body of a message that the front refuses. For a large one this takes milliseconds, so the workers do it.
fn free(connection: &Connection, body: Bytes) {
    if body.len() >= FREED_ON_WORKERS {
        let workers = connection.front.workers.runtime();
        drop(DropOnWorkers::on(
            workers,
            body,
            "the body of a refused message",
        ));
    }
}

/// Decides about a request that has been read. The error is the answer that the front has for it. `activity` belongs to a request
/// that does not make the agent busy.
pub(super) fn next(
    connection: &Connection,
    activity: Activity,
    head: Option<Box<http::request::Parts>>,
    body: Bytes,
) -> Result<Next, Response> {
    let front = &connection.front;
    if let Some(to) = passes_as(front, &activity, head.as_deref()) {
        // What is no call needs no permit.
        drop(activity.scope().permit().take());
        let run = match to {
            ToMcp::OfSession(which) if !front.has_layers => {
                front.mcp.as_ref().and_then(|mcp| mcp.of_session(which))
            }
            _ => None,
        };
        let what = match run {
            Some(run) => What::Invocation(run, job(activity, Bytes::new(), Options::new(""))),
            None => layered(front, activity, head, body, to).ok_or_else(not_found)?,
        };
        return Ok(Next {
            what,
            unwanted: Unwanted::Finishes,
            watches: false,
            reshape: None,
        });
    }
    let message = Message::of(activity.scope().headers(), &body);
    if let Some(pong) = pong(&message) {
        return Err(pong);
    }
    let errors = front.settings.errors;
    let refused = |response| refusal(errors, response, message.id.as_ref());
    if let Some((why, reason)) = unavailable(connection) {
        free(connection, body);
        return Err(refused(front.unavailable(why, reason)));
    }
    let Some(run) = front.mcp.as_ref().map(Runs::message) else {
        return Err(not_found());
    };
    let permit = activity.scope().permit().take();
    let (activity, name, cancels) = match message.kind {
        MessageKind::Call { ref name, cancels } => {
            let headers = activity.scope().headers();
            let permit = match permit {
                None => front
                    .instance
                    .concurrency
                    .admit(|| headers::session_id(headers)),
                permit => Ok(permit),
            };
            let permit = match permit {
                Ok(permit) => permit,
                Err(refusal) => {
                    free(connection, body);
                    return Err(refused(no_room(front, refusal)));
                }
            };
            let tool = name.as_ref().and_then(|name| front.agent.tools.find(name));
            let name = tool.map_or("tools/call", |tool| tool.name());
            let arrival = Arrival {
                at: activity.scope().began(),
                kind: report::Kind::Tool,
                name,
                counts: front.settings.busy_while == BusyWhile::Activity,
                headers: headers.clone(),
                permit,
                route: None,
            };
            let call = Activity::begin(Arc::clone(&front.instance), arrival);
            (call, name, cancels)
        }
        MessageKind::Ping | MessageKind::Other => (activity, "", false),
    };
    let options = Options {
        cancel_on_disconnect: cancels,
        ..Options::new(name)
    };
    let what = if front.has_layers {
        let to = ToMcp::Message(options);
        let what = layered(front, activity, head, body, to);
        what.ok_or_else(|| refused(internal_error()))?
    } else {
        What::Invocation(run, job(activity, body, options))
    };
    let is_mounted = front.agent.mcp_service.is_some();
    let reshape = move |response| in_json_rpc(errors, is_mounted, &message, response);
    Ok(Next {
        what,
        unwanted: Unwanted::by_client(cancels),
        watches: cancels,
        reshape: Some(Box::new(reshape)),
    })
}

fn job(activity: Activity, body: Bytes, options: Options) -> Job {
    Job {
        invocation: Invocation::new(Arc::clone(activity.scope()), body),
        options,
        debug: false,
        activity,
    }
}

/// A request for the layers; `None` if they have not been built.
fn layered(
    front: &Front,
    activity: Activity,
    head: Option<Box<http::request::Parts>>,
    body: Bytes,
    to: ToMcp,
) -> Option<What> {
    let endpoint = front.endpoint.get()?.clone();
    let mut request = Request::from_parts(*head?, Body::from(body));
    *request.headers_mut() = activity.scope().headers().clone();
    request.extensions_mut().insert(to);
    Some(What::Layered(endpoint, Box::new(request), activity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_session_is_read_without_a_permit_if_it_may_be_an_answer() {
        let mut headers = HeaderMap::new();
        assert_eq!(read_without_permit(&headers, || true), MOST_READ as u64);
        headers.insert(SESSION_ID, "1".parse().expect("a value"));
        assert_eq!(read_without_permit(&headers, || true), LARGEST_ANSWER);
        // The platform sends ids to agents that have no sessions, too.
        assert_eq!(read_without_permit(&headers, || false), MOST_READ as u64);
    }

    #[test]
    fn pages_of_this_machine_alone_may_send_messages() {
        let foreign = |origins: &[&str]| {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(header::ORIGIN, origin.parse().expect("a value"));
            }
            is_foreign(&headers)
        };
        for ours in [
            "http://localhost",
            "http://127.0.0.1:5173",
            "https://[::1]:3000",
        ] {
            assert!(!foreign(&[ours]), "{ours}");
        }
        assert!(!foreign(&[]));
        for other in [
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil.example@localhost",
            "file://localhost",
            "null",
            "",
        ] {
            assert!(foreign(&[other]), "{other}");
        }
        assert!(foreign(&["http://localhost", "https://evil.example"]));
    }
}
