//! Logs, metrics and traces: what an agent tells of itself.
//!
//! # Logs
//!
//! [`run`](crate::run) sets up a log on stderr: pretty on a terminal, else one JSON object a line with the keys of Python's
//! SDK. `AGENTCORE_LOG` says what is logged, `AGENTCORE_LOG_FORMAT` how it looks. Pings are never logged.
//!
//! To log from an agent, add `tracing = "0.1"` to its dependencies and call the macros of that crate:
//!
//! ```
//! # let (city, degrees) = ("Paris", 21);
//! tracing::info!(city, degrees, "asked for the weather");
//! tracing::debug!("not shown, unless AGENTCORE_LOG is debug");
//! ```
//!
//! ```text
//! {"timestamp":"2026-11-28T09:12:44.120Z","level":"INFO","message":"asked for the weather","logger":"my_agent","requestId":"9f0c1a4e-…","sessionId":"s-1","city":"Paris","degrees":21}
//! ```
//!
//! Every line that is written below a request names the request: in a handler, a task, what [`spawn`](crate::spawn) started, a
//! stream's producer, a socket's handler, the blocking pool of an entrypoint that is not async, and in the library itself.
//! (`tokio::spawn` takes the request along only for an [`async_task`](macro@crate::async_task).)
//!
//! | key | |
//! | --- | --- |
//! | `timestamp`, `level`, `message`, `logger` | always |
//! | `requestId`, `sessionId` | below a request |
//! | `traceId` | of its trace: from `traceparent`, or else `X-Amzn-Trace-Id` |
//! | `spanId` | of the span that it is written in, where the agent [traces](#traces) itself |
//! | `errorType`, `errorMessage`, `location`, `stackTrace` | of an error, or a panic |
//! | `spans` | the `tracing` spans around it: a list of objects, the outermost first, each with its `name` and its fields |
//! | any other | the event's own fields: `tracing::info!(city = "Paris", "asked")` |
//!
//! `stackTrace` is a list of lines. It has the program's own frames, and those between them: the standard library, Tokio, hyper,
//! tower, their helper crates and this library are left out at both ends. With `RUST_BACKTRACE=full` it has all frames, with `RUST_BACKTRACE=0` there is
//! none. A program without symbols has no frames to show.
//!
//! ## Lines of invocations, sockets and tasks
//!
//! Each of them ends with one line, which says how:
//!
//! ```text
//! {"timestamp":"…","level":"INFO","message":"entrypoint `handler` answered 200","logger":"agentcore","requestId":"9f0c1a4e-…","sessionId":"s-1","kind":"invocation","name":"handler","outcome":"success","status":200,"durationMs":12.345}
//! ```
//!
//! | key | |
//! | --- | --- |
//! | `kind` | `invocation`, `websocket` or `task` |
//! | `name` | of the function, or of the task |
//! | `outcome` | as in the [metrics](#metrics): `success`, `client_error`, `error`, `panic`, `timeout`, `cancelled`; what is `cut_off` has a line of the stop instead |
//! | `status` | of the reply, if there was one; with [`ErrorMode::InBand`](crate::ErrorMode::InBand) the one in its body |
//! | `reason` | of a request that the library has rejected before the handler ran: ``missing field `price` ``, `wrong type: found a string`, ``the header `X-Tenant` is missing``, `the body is larger than 100000000 bytes` |
//! | `path` | of the JSON value that the reason is about, such as `items[3].price`, up to 256 bytes; with the feature `garde`, of the first ten values that break a rule |
//! | `durationMs` | milliseconds since the head of the request, or since the task began |
//! | `taskId` | of a task that was spawned, or whose id the program has asked for |
//!
//! A `taskId` is a secret for as long as the task or its result can be asked for: it is all that a caller needs for a task with
//! [`any_session`](crate::TaskBuilder::any_session), and for [`complete_async_task`](crate::complete_async_task). Code that
//! takes ids from clients must not be open to everybody who reads the log.
//!
//! A line is written when the work is done: for an invocation when its reply has been made, or the last piece of a streamed
//! reply, and not when the client has read it. The metrics wait for that. A client that left before is `cancelled`; without
//! a status if the handler was stopped, with one if it went on to the end.
//!
//! A failure is told once, in that line, with its text in `errorMessage`: `ERROR` for a panic, a timeout, an error and a status
//! of 5xx, `WARN` for an error that is answered with another status. All other lines have the level of
//! [`Config::log_invocations`](crate::Config::log_invocations) (`AGENTCORE_LOG_INVOCATIONS`, which holds for sockets, too) and
//! [`Config::log_tasks`](crate::Config::log_tasks) (`AGENTCORE_LOG_TASKS`), `INFO` by default. `off` leaves them out, and leaves
//! failures in. `AGENTCORE_LOG` holds for all of these lines: with `warn`, those of `INFO` are not shown.
//!
//! A request that the library rejects is the client's mistake. Its line has the usual level, a `reason`, and for a payload of the
//! wrong shape a `path`. Neither has a value of the request, because a value may be a secret; a path has the keys that lead to the
//! place. A text that the program has made for the client, as an extractor's own `HttpError`, is logged as it is.
//!
//! Where a [layer](crate::App::layer) makes the reply, the line says so: ``a layer answered 413 for entrypoint `handler` ``. A layer
//! that gives up a call, such as a timeout of `tower` or `tower_http`, drops the entrypoint, and the line says that it was
//! cancelled. The outcome is `timeout` if the layer answers 408 or 504, or fails with the error of such a timeout. A call that a
//! layer drops and then repeats has a warning of its own.
//!
//! The error of a task is told by the code that receives it: by awaiting the function, or its handle. The line of the task has
//! the usual level then, and says `"outcome":"error"` without a text. It is an error line with the text where nobody receives
//! the error: the handle was dropped or [detached](crate::TaskHandle::detach), or the future was given to `tokio::spawn`. A
//! handle that is dropped later, with an error in it that nobody has read, writes a line for that.
//!
//! The library reads the text of any error that an [`async_task`](macro@crate::async_task) function returns. Of another future
//! that is [`spawn`](crate::spawn)ed it knows the type alone, unless its handle is detached or its error is a
//! [`BoxError`](crate::BoxError) or a `String`.
//!
//! A stop begins with the line `SIGTERM: stopping; 3 in progress, up to 10s to finish`, and ends with
//! `stopped after 1s 204ms: 2 finished, 1 cut off`, without the parts that are 0. What is cut off is named in between, in one line
//! of level `ERROR` for each piece of work, up to 500 at a time; the rest is counted in one more line. It has no other line,
//! unless it fails.
//!
//! ## Spans
//!
//! The fields of the `tracing` spans around an event are on its line, also the ones that
//! [`Span::record`](tracing::Span::record) adds later. So a middleware that opens a span for each request, such as
//! `tower_http::trace::TraceLayer`, has its method and URI on each line below it. Spans have levels, too: those of `TraceLayer`
//! are `DEBUG` unless it is told otherwise, and need `AGENTCORE_LOG=info,tower_http=debug`.
//!
//! ```text
//! {"timestamp":"…","level":"INFO","message":"asked","logger":"my_agent","requestId":"9f0c1a4e-…","spans":[{"name":"request","method":"POST","uri":"/invocations","version":"HTTP/1.1"}]}
//! ```
//!
//! A pretty line has them before its message: `request{method=POST uri=/invocations version=HTTP/1.1}: my_agent: asked`. A line
//! shows the 16 innermost spans, and up to 4096 bytes of text of each. The library opens no spans of its own, and puts no header
//! of a request into any. What a program puts into a span is on every line within it, so no secret belongs there.
//!
//! ## A subscriber of the program's own
//!
//! A program that sets a `tracing` subscriber of its own has these lines as a [layer](log_layer), or asks
//! [`RequestContext::current`](crate::RequestContext::current) for the ids: it answers wherever an event is recorded.
//!
//! # Metrics
//!
//! `AGENTCORE_METRICS=true`, or [`Config::metrics`](crate::Config::metrics), has `GET /metrics` answer in Prometheus' text
//! format. It is answered by the thread that answers pings. Off, which is the default, nothing is
//! counted.
//!
//! | metric | |
//! | --- | --- |
//! | `agentcore_busy`, `agentcore_status_changed_timestamp_seconds` | what `/ping` says; for the page, a custom ping handler is asked first; by OTLP, its last answer counts |
//! | `agentcore_active_tasks{name}` | tasks that run; beyond the 100 most frequent names, `(others)` |
//! | `agentcore_invocations_in_flight` | not answered whole |
//! | `agentcore_invocations_total{outcome}` | over: `success`, `client_error` (4xx), `error` (5xx, or a stream that failed), `panic`, `timeout`, `cancelled` (nobody waited any more), `cut_off` (by the shutdown) |
//! | `agentcore_invocation_duration_seconds` | histogram from 1 ms to 8 h: from the head to the last byte of the reply |
//! | `agentcore_refused_total{reason}` | `not_serving`, `connections`, `invocations`, `session` |
//! | `agentcore_streams_open`, `_total`; `agentcore_sockets_…`; `agentcore_connections_…` | |
//! | `agentcore_request_bytes_total`, `agentcore_response_bytes_total` | of bodies |
//! | `agentcore_stalls_total{of}` | code that blocked its `thread` for a second, or `all_workers` |
//! | `agentcore_build_info{version}`, `agentcore_start_time_seconds`, `agentcore_worker_threads` | |
//!
//! # Traces
//!
//! [`outbound_headers`](crate::outbound_headers) makes calls to other services a part of the request's trace and session,
//! in every build. For spans of its own the agent needs the feature `otel`, and somebody who takes them:
//!
//! ```toml
//! agentcore = { path = "../agentcore/agentcore", features = ["otel"] }
//! ```
//!
//! ```sh
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run
//! ```
//!
//! | span | what is in it |
//! | --- | --- |
//! | `invoke_agent <agent>` | an invocation or a socket, from its head to its last byte: `gen_ai.operation.name`, `gen_ai.agent.name` (the service's), `gen_ai.agent.id` (the runtime's ARN), `gen_ai.conversation.id` (the session), `agentcore.request.id`, `agentcore.outcome`, `http.response.status_code` |
//! | `task <name>` | an [`async_task`](macro@crate::async_task), from its call, and what [`spawn`](crate::spawn), [`track`](crate::track) and [`add_async_task`](crate::add_async_task) begin |
//! | `stream` | a streamed reply, from its first chunk |
//! | any other | the program's own `tracing` spans of level `INFO` and above, within these |
//!
//! All of them carry `session.id` and the gateway's routing experiment, if there is one; and the scope
//! `opentelemetry.instrumentation.agentcore_rust`, by which AgentCore's evaluations know whose spans to look at. Prompts,
//! replies and the texts of errors and panics are not in them. Pings are never traced.
//!
//! A request's trace is the one that its `traceparent`, or else its `X-Amzn-Trace-Id`, names, and if that is not sampled,
//! neither are its spans. A trace that begins here is sampled as `OTEL_TRACES_SAMPLER` says; all are by default.
//!
//! | variable | |
//! | --- | --- |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`, `…_METRICS_ENDPOINT` | where to, by OTLP over HTTP with protobuf; without one nothing is sent. Metrics go along with traces, not alone |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_CERTIFICATE`, and those of one signal | as OpenTelemetry has them; a certificate is a PEM file of whom to trust in the system's place |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | who sends; the program's name by default |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_METRIC_EXPORT_INTERVAL` | as OpenTelemetry has them |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`, `OTEL_METRICS_EXPORTER=none` | switch off all, all, or the metrics |
//!
//! On Amazon Bedrock AgentCore Runtime there is no collector. Where the platform sets `AGENT_OBSERVABILITY_ENABLED=true` and
//! nobody an endpoint, spans go straight to X-Ray of `AWS_REGION`, signed with the runtime's credentials. That needs the
//! feature `otel-aws`, the permission `xray:PutTraceSegments` for the runtime's role, and CloudWatch Transaction Search in
//! the account. Metrics go to collectors only.
//!
//! Spans are sent from a thread of their own, and the last of them, within 3 s, when the server has stopped. A collector that
//! is slow, broken or not there costs spans, and a warning a minute; no request waits for it.

use tracing::Subscriber;
use tracing_subscriber::Layer;
#[cfg(feature = "otel")]
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Environment, LogFormat};
#[cfg(feature = "otel")]
use crate::{otel, request};

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
pub fn log_layer<S: Subscriber>() -> impl Layer<S> + Send + Sync {
    LogFormat::of_environment(&Environment::of_process()).layer()
}

/// Makes spans of the program's own `tracing` spans, for a subscriber of one's own; see [traces](self#traces). With the
/// feature `otel`.
///
/// Nothing where the environment asks for no traces. Spans of level `INFO` and above are taken.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: serde_json::Value) -> serde_json::Value {
///     event
/// }
///
/// fn main() -> ExitCode {
///     let subscriber = tracing_subscriber::registry()
///         .with(agentcore::telemetry::span_layer())
///         .with(agentcore::telemetry::log_layer().with_filter(LevelFilter::WARN));
///     tracing::subscriber::set_global_default(subscriber).expect("no other subscriber");
///     agentcore::run()
/// }
/// ```
#[cfg(feature = "otel")]
#[cfg_attr(docsrs, doc(cfg(feature = "otel")))]
#[must_use = "a layer does nothing until a subscriber has it"]
pub fn span_layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    otel::start(&Environment::of_process(), request::GAUGES);
    otel::span_layer()
}
