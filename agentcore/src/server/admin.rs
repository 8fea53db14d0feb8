//! What operators ask, and no client: probes and metrics. On a port of its own, or beside everything else.
//!
//! Answered on the front's thread, from what it knows. Only `/metrics` waits for code of the user's: where there is a custom
//! ping handler, it is asked first, within its deadline, so that the page says what `/ping` says. Never logged above trace,
//! and in no span: it is asked all day long.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::net::TcpListener;

use super::accept::{self, Bounded, Budget};
#[cfg(feature = "dev-page")]
use super::dev;
use super::front::Front;
use super::lifecycle::Phase;
use super::link::Admission;
use super::service::{method_not_allowed, not_found};
use crate::config::Settings;
use crate::handler::response::Response;

/// The least that hyper takes, and much more than probes need.
const MAX_BUFFER_BYTES: usize = 8 * 1024;

/// Whether any path is an operator's.
pub(super) fn is_asked_for(settings: &Settings) -> bool {
    settings.probes || settings.metrics
}

const METRICS: &str = "/metrics";

/// Whether the answer shows the status, and a custom ping handler has to be asked before.
pub(super) fn shows_status(front: &Front, path: &str) -> bool {
    path == METRICS && front.settings.metrics && front.pinger.has_to_ask(front)
}

/// The answer to a request of an operator's; `None` if the path is not one of theirs.
pub(super) fn route(front: &Front, method: &Method, path: &str) -> Option<Response> {
    let answer: fn(&Front) -> Response = match path {
        "/livez" if front.settings.probes => live,
        "/readyz" if front.settings.probes => ready,
        METRICS if front.settings.metrics => Front::metrics,
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

pub(super) fn reason(phase: Phase) -> &'static str {
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

/// Serves the admin port for ever.
pub(super) async fn serve(front: Arc<Front>, listener: TcpListener) {
    let mut protocol = accept::protocol(&front);
    protocol.max_buf_size(MAX_BUFFER_BYTES);
    let mut open = Bounded::new(Budget::of(&front.settings).admin);
    loop {
        let stream = accept::accept(&listener).await;
        open.add(accept::serve(
            &front,
            &protocol,
            stream,
            Admission::Operators,
            None,
        ));
    }
}

/// The answer on the admin port.
pub(super) fn answer<B>(front: &Front, request: &Request<B>) -> Response {
    // What pages of the web must not read through a browser on this machine, they must not read here either.
    #[cfg(feature = "dev-page")]
    if let Some(refused) = dev::refuse_operator(front, request) {
        return refused;
    }
    route(front, request.method(), request.uri().path()).unwrap_or_else(not_found)
}
