//! Logs, metrics and traces: what an agent tells of itself.
//!
//! # Logs
//!
//! [`run`](crate::run) sets up a log on stderr: pretty on a terminal, else one flat JSON object a line with the keys of
//! Python's SDK. Every line that is written below a request says of which one, whoever writes it: a handler, a task, what
//! [`spawn`](crate::spawn) started, a stream's producer, a socket's handler, the blocking pool of an entrypoint that is not
//! async, and the library itself. (`tokio::spawn` takes the request along only for an [`async_task`](macro@crate::async_task).)
//!
//! | key | |
//! | --- | --- |
//! | `timestamp`, `level`, `message`, `logger` | always |
//! | `requestId`, `sessionId` | below a request |
//! | `traceId` | of its trace: from `traceparent`, or else `X-Amzn-Trace-Id` |
//! | `errorType`, `errorMessage`, `location`, `stackTrace` | of an error, or a panic |
//! | any other | the event's own fields: `tracing::info!(city = "Paris", "asked")` |
//!
//! What is logged, `AGENTCORE_LOG` says, and how it looks, `AGENTCORE_LOG_FORMAT`. Pings are never logged.
//!
//! A program that sets a `tracing` subscriber of its own has these lines as a [layer](log_layer), or asks
//! [`RequestContext::current`](crate::RequestContext::current) for the ids: it answers wherever an event is recorded.

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Environment;
use crate::log::Format;

/// The log's lines, as a layer for a `tracing` subscriber of one's own; they go to stderr.
///
/// `AGENTCORE_LOG_FORMAT` says how they look; which events are written is the subscriber's own matter.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: serde_json::Value) -> serde_json::Value {
///     event
/// }
///
/// fn main() -> ExitCode {
///     let subscriber = tracing_subscriber::registry()
///         .with(LevelFilter::INFO)
///         // And any other layer.
///         .with(agentcore::telemetry::log_layer());
///     tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
///     agentcore::run()
/// }
/// ```
#[must_use = "a layer does nothing until a subscriber has it"]
pub fn log_layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Format::of_environment(&Environment::of_process()).layer()
}

/// The trace and the span that the caller is in; `None` where nothing is traced.
pub(crate) fn current_span() -> Option<(u128, u64)> {
    None
}
