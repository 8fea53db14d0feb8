//! Requests of operators: probes, metrics and the OpenAPI document, on the admin port or on the agent's.
//!
//! The front answers them from its own state. Only `/metrics` waits for user code: a custom ping handler is asked first,
//! within its deadline, so that the page says what `/ping` says. These requests come all day long, so they are never logged
//! above trace and have no span.

use http::{HeaderValue, StatusCode, header};

use super::front::Front;
use super::metrics;
use super::phase::Phase;
use crate::config::Settings;
use crate::handler::response::Response;

/// Whether any of these pages is switched on.
pub(crate) fn is_asked_for(settings: &Settings) -> bool {
    settings.probes || settings.metrics || settings.openapi
}

const METRICS: &str = "/metrics";

/// Whether the answer shows the status, so that a custom ping handler has to be asked first.
pub(crate) fn shows_status(front: &Front, path: &str) -> bool {
    path == METRICS && front.settings.metrics && front.pinger.has_to_ask(front)
}

/// Makes the answer to a probe, to `/metrics` or to `/openapi.json`.
pub(crate) type Page = fn(&Front) -> Response;

/// The page at a path; `None` if the path has none or its page is switched off.
pub(crate) fn page(front: &Front, path: &str) -> Option<Page> {
    match path {
        "/livez" if front.settings.probes => Some(live),
        "/readyz" if front.settings.probes => Some(ready),
        METRICS if front.settings.metrics => Some(metrics::page),
        #[cfg(feature = "schema")]
        "/openapi.json" if front.settings.openapi => Some(openapi),
        _ => None,
    }
}

/// `/livez`: always 200, since a process that answers lives.
fn live(front: &Front) -> Response {
    let phase = front.phase.get();
    probe(
        true,
        format!(r#"{{"live":true,"reason":"{}"}}"#, reason(phase)),
    )
}

/// `/readyz`: 200 if the server accepts work, else 503.
fn ready(front: &Front) -> Response {
    let phase = front.phase.get();
    #[cfg(feature = "durable")]
    if phase == Phase::Serving
        && front
            .durable
            .as_ref()
            .is_some_and(|client| !client.is_ready())
    {
        let body = r#"{"ready":false,"reason":"durable store out of reach or not set up"}"#;
        return probe(false, body.to_owned());
    }
    let ready = phase == Phase::Serving;
    probe(
        ready,
        format!(r#"{{"ready":{ready},"reason":"{}"}}"#, reason(phase)),
    )
}

/// `/openapi.json`: the document that was made before the start.
#[cfg(feature = "schema")]
fn openapi(front: &Front) -> Response {
    let document = front.agent.openapi.clone().unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    Response::text(document).with_header(header::CONTENT_TYPE, json)
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
        // A cached answer says nothing about the process.
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
