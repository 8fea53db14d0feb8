//! What operators ask, and no client: probes and metrics. On a port of its own, or beside everything else.
//!
//! Answered on the front's thread, from what it knows. Only `/metrics` waits for code of the user's: where there is a custom
//! ping handler, it is asked first, within its deadline, so that the page says what `/ping` says. Never logged above trace,
//! and in no span: it is asked all day long.

use http::{HeaderValue, Method, Request, StatusCode, header};

#[cfg(feature = "dev-page")]
use super::dev;
use super::front::Front;
use super::metrics;
use super::phase::Phase;
use super::router::{method_not_allowed, not_found};
use crate::config::Settings;
use crate::handler::response::Response;

/// Whether any path is an operator's.
pub(crate) fn is_asked_for(settings: &Settings) -> bool {
    settings.probes || settings.metrics
}

const METRICS: &str = "/metrics";

/// Whether the answer shows the status, and a custom ping handler has to be asked before.
pub(crate) fn shows_status(front: &Front, path: &str) -> bool {
    path == METRICS && front.settings.metrics && front.pinger.has_to_ask(front)
}

/// The answer to a request of an operator's; `None` if the path is not one of theirs.
pub(crate) fn route(front: &Front, method: &Method, path: &str) -> Option<Response> {
    let answer: fn(&Front) -> Response = match path {
        "/livez" if front.settings.probes => live,
        "/readyz" if front.settings.probes => ready,
        METRICS if front.settings.metrics => metrics::page,
        _ => return None,
    };
    Some(match *method {
        Method::GET | Method::HEAD => answer(front),
        _ => method_not_allowed("GET, HEAD"),
    })
}

/// It answers, so it lives.
fn live(front: &Front) -> Response {
    let phase = front.phase.get();
    probe(
        true,
        format!(r#"{{"live":true,"reason":"{}"}}"#, reason(phase)),
    )
}

/// Whether to send it work.
fn ready(front: &Front) -> Response {
    let phase = front.phase.get();
    let ready = phase == Phase::Serving;
    probe(
        ready,
        format!(r#"{{"ready":{ready},"reason":"{}"}}"#, reason(phase)),
    )
}

pub(crate) fn reason(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    }
}

fn probe(good: bool, body: String) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Response::text(body)
        .with_status(status)
        .with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )
        // A probe that is answered by a proxy says nothing.
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// The answer on the admin port.
pub(crate) fn answer<B>(front: &Front, request: &Request<B>) -> Response {
    // What pages of the web must not read through a browser on this machine, they must not read here either.
    #[cfg(feature = "dev-page")]
    if let Some(refused) = dev::refuse_operator(front, request) {
        return refused;
    }
    route(front, request.method(), request.uri().path()).unwrap_or_else(not_found)
}
