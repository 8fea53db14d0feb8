//! The port of the Model Context Protocol: its path, its methods, and the requests that the front answers itself.
//!
//! The platform's health probe is a JSON-RPC `ping`. The front answers it whatever the workers do, and `GET /ping` too. Every other
//! message goes to the workers, as an invocation does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::exchange::{Admission, Connection, Exchange};
use super::invocations::{self, no_room};
use super::next::Next;
use super::phase::Phase;
use super::request_body::RequestBody;
use super::router::{Answer, method_not_allowed, not_found, refuse};
use super::warmup;
use crate::config::{BusyWhile, ErrorMode};
use crate::handler::extract::Invocation;
use crate::handler::invoke::{Job, Options, Unwanted};
use crate::handler::response::Response;
use crate::headers;
use crate::mcp::{Message, MessageKind};
use crate::metrics::Refused;
use crate::report;
use crate::request::{Activity, Arrival};
use crate::server::threads::handover::What;
use crate::util::BoxFuture;

/// The code of errors that have none in the protocol. The platform has -32001 to -32011 for its own errors.
const SERVER_ERROR: i64 = -32000;

/// Answers one request to the port.
pub(super) fn answer<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let front = exchange.front();
    let path = request.uri().path();
    // The platform's probe comes with a slash at the end and without one.
    let is_own = path.strip_suffix('/').unwrap_or(path) == &*front.settings.mcp_path;
    let reply = match (path, request.method()) {
        (_, &Method::POST) if is_own => {
            return match invocations::accept(exchange, request) {
                Ok(reply) => Answer::Invocation(reply),
                Err((exchange, refused)) => {
                    let refused = refusal(exchange.front().settings.errors, refused, None);
                    Answer::now(exchange.reply(refused))
                }
            };
        }
        (path, _) if is_warmup(&exchange, path) => return warmup::answer(exchange, request),
        _ if is_own => method_not_allowed("POST"),
        _ => not_found(),
    };
    let reply = refuse(&exchange.connection, request, reply);
    Answer::now(exchange.reply(reply))
}

/// Whether the path is the platform's warm-up, which comes to this port if the agent has no other.
fn is_warmup(exchange: &Exchange, path: &str) -> bool {
    let front = exchange.front();
    front.agent.serves_only_mcp()
        && front.warmup.has_hooks()
        && path == &*front.settings.warmup_path
}

/// The end of the restore hooks, if the message has to wait for it. A health probe and a refusal do not wait.
pub(super) fn restoring(
    connection: &Connection,
    activity: &Activity,
    body: &Bytes,
) -> Option<BoxFuture<bool>> {
    let front = &connection.front;
    let may_wait = connection.port.is_mcp()
        && front.after_restore.has_hooks()
        && connection.admission != Admission::Crowded;
    if !may_wait {
        return None;
    }
    match Message::of(activity.scope().headers(), body).kind {
        MessageKind::Ping => None,
        MessageKind::Call { .. } | MessageKind::Other => front.until_restored(),
    }
}

/// A refusal of a message that has been read.
pub(super) fn refuse_message(
    connection: &Connection,
    activity: &Activity,
    body: &Bytes,
    response: Response,
) -> Response {
    let message = Message::of(activity.scope().headers(), body);
    let errors = connection.front.settings.errors;
    refusal(errors, response, message.id.as_ref())
}

/// Decides about a message that has been read. The error is the answer that the front has for it. `activity` belongs to a request
/// that does not make the agent busy.
pub(super) fn next(
    connection: &Connection,
    activity: Activity,
    body: Bytes,
) -> Result<Next, Response> {
    let front = &connection.front;
    let message = Message::of(activity.scope().headers(), &body);
    if let (MessageKind::Ping, Some(id)) = (&message.kind, &message.id) {
        let pong = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
        return Err(Response::json(&pong));
    }
    let errors = front.settings.errors;
    let refused = |response| refusal(errors, response, message.id.as_ref());
    if connection.admission == Admission::Crowded {
        let response = front.unavailable("Too many connections", Refused::Connections);
        return Err(refused(response));
    }
    if front.phase.get() == Phase::Draining {
        return Err(refused(
            front.unavailable("Shutting down", Refused::NotServing),
        ));
    }
    let Some(run) = front.mcp.clone() else {
        return Err(not_found());
    };
    let (activity, name, cancels) = match message.kind {
        MessageKind::Call { ref name, cancels } => {
            let headers = activity.scope().headers();
            let session = || headers::session_id(headers);
            let permit = match front.instance.concurrency.admit(session) {
                Ok(permit) => permit,
                Err(refusal) => return Err(refused(no_room(front, refusal))),
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
    let job = Job {
        invocation: Invocation::new(Arc::clone(activity.scope()), body),
        options: Options::new(name),
        debug: false,
        activity,
    };
    Ok(Next {
        what: What::Invocation(run, job),
        unwanted: Unwanted::by_client(cancels),
        watches: cancels,
    })
}

/// A refusal of the front as a JSON-RPC error, because clients of the protocol read no other. `id` is that of the message, if it is
/// known.
pub(super) fn refusal(errors: ErrorMode, response: Response, id: Option<&Value>) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let body = response.body().unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let error = text("error")
        .or(status.canonical_reason())
        .unwrap_or("error");
    let message = match text("details") {
        Some(details) => format!("{error}: {details}"),
        None => error.to_owned(),
    };
    let error = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": SERVER_ERROR, "message": message, "data": { "status": status.as_u16() } },
    });
    let response = response.with_json(&error);
    match errors {
        ErrorMode::Http => response,
        // The platform drops the body of every other reply.
        ErrorMode::InBand => response.set_status(StatusCode::OK),
    }
}
