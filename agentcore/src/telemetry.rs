//! Logs, metrics and traces of an agent.
//!
//! # Logs
//!
//! [`run`](crate::run) sets up a log on stderr: pretty on a terminal, else one JSON object a line with the keys of Python's SDK.
//! `AGENTCORE_LOG` sets what is logged, `AGENTCORE_LOG_FORMAT` the form of the lines. Pings are never logged.
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
//! Every line that belongs to a request names the request: lines of a handler, a task, code that [`spawn`](crate::spawn) started,
//! a stream's producer, a socket's handler, the blocking pool of an entrypoint that is not async, and of the library itself.
//! (`tokio::spawn` passes the request on only for an [`async_task`](macro@crate::async_task).)
//!
//! | key | |
//! | --- | --- |
//! | `timestamp`, `level`, `message`, `logger` | always |
//! | `requestId`, `sessionId` | of the line's request |
//! | `traceId` | of the request's trace: from `traceparent`, or else `X-Amzn-Trace-Id` |
//! | `spanId` | of the span that the line is written in, if the agent [traces](#traces) itself |
//! | `jobId`, `jobAttempt` | of the durable job that the line is written in, with the feature `durable`; `sessionId` is then that of the job |
//! | `errorType`, `errorMessage`, `location`, `stackTrace` | of an error or a panic |
//! | `spans` | the `tracing` spans around it: a list of objects, the outermost first, each with its `name` and its fields |
//! | any other | the event's own fields: `tracing::info!(city = "Paris", "asked")` |
//!
//! `stackTrace` is a list of lines. It has the program's own frames and the frames between them; frames of the standard library,
//! Tokio, hyper, tower, their helper crates and this library are left out at both ends. With `RUST_BACKTRACE=full` it has all frames, with `RUST_BACKTRACE=0`
//! there is none. A program without symbols has no frames to show.
//!
//! ## Lines of invocations, sockets and tasks
//!
//! Each of them ends with one line, which names the outcome:
//!
//! ```text
//! {"timestamp":"…","level":"INFO","message":"entrypoint `handler` answered 200","logger":"agentcore","requestId":"9f0c1a4e-…","sessionId":"s-1","kind":"invocation","name":"handler","outcome":"success","status":200,"durationMs":12.345}
//! ```
//!
//! | key | |
//! | --- | --- |
//! | `kind` | `invocation`, `websocket`, `route` or `task` |
//! | `name` | the name of the function or the task |
//! | `outcome` | as in the [metrics](#metrics): `success`, `client_error`, `error`, `panic`, `timeout`, `cancelled`; what is `cut_off` has a line of the stop instead |
//! | `status` | the reply's status, if there was a reply; with [`ErrorMode::InBand`](crate::ErrorMode::InBand) the one in its body |
//! | `reason` | why the library has rejected the request before the handler ran: ``missing field `price` ``, `wrong type: found a string`, ``the header `X-Tenant` is missing``, `the body is larger than 100000000 bytes` |
//! | `path` | the JSON value that the reason is about, such as `items[3].price`, up to 256 bytes; with the feature `garde`, the first ten values that break a rule |
//! | `route` | the method and the path of a request to a [route](macro@crate::routes), without its query and up to 200 bytes; a path may contain what its client likes, so no secret belongs there |
//! | `durationMs` | milliseconds since the head of the request, or since the task began |
//! | `taskId` | the task's id, if the task was spawned or the program has asked for the id |
//!
//! A `taskId` is a secret as long as the task or its result can be asked for. A caller needs nothing else for a task with
//! [`any_session`](crate::TaskBuilder::any_session), or for [`complete_async_task`](crate::complete_async_task). Code that takes
//! ids from clients must not be open to everybody who reads the log.
//!
//! A line is written when the work is done: for an invocation when its reply, or the last piece of a streamed reply, has been
//! made, and not when the client has read it. The metrics wait for the client. If the client left earlier, the outcome is
//! `cancelled`: without a status if the handler was stopped, with one if it ran to the end.
//!
//! A failure is reported once, in that line, with its text in `errorMessage`. The level is `ERROR` for a panic, a timeout, an
//! error and a status of 5xx, and `WARN` for an error that is answered with another status. All other lines have the level of
//! [`Config::log_invocations`](crate::Config::log_invocations) (`AGENTCORE_LOG_INVOCATIONS`, for sockets too) and
//! [`Config::log_tasks`](crate::Config::log_tasks) (`AGENTCORE_LOG_TASKS`), `INFO` by default. `off` leaves these lines out, but
//! not failures. `AGENTCORE_LOG` filters all of these lines: with `warn`, those of `INFO` are not shown.
//!
//! A request that the library rejects is the client's mistake. Its line has the usual level, a `reason`, and for a payload of the
//! wrong shape a `path`. Neither contains a value of the request, because a value may be a secret; a path contains the keys that
//! lead to the place. A text that the program has made for the client, such as an extractor's own `HttpError`, is logged
//! unchanged.
//!
//! If a [layer](crate::App::layer) makes the reply, the line says so: ``a layer answered 413 for entrypoint `handler` ``. A layer
//! that gives up a call, such as a timeout of `tower` or `tower_http`, drops the entrypoint, and the line says that it was
//! cancelled. The outcome is `timeout` if the layer answers 408 or 504, or fails with the error of such a timeout. A call that a
//! layer drops and then repeats has a warning of its own.
//!
//! The error of a task is reported by the code that receives it: the code that awaits the function or its handle. The line of the
//! task then has the usual level, and `"outcome":"error"` without a text. If no code receives the error, the line is an error
//! line with the text: the handle was dropped or [detached](crate::TaskHandle::detach), or the future was given to
//! `tokio::spawn`. A handle that is dropped later, with an error that has not been read, writes a line for that.
//!
//! The library reads the text of any error that an [`async_task`](macro@crate::async_task) function returns. Of the error of
//! another [`spawn`](crate::spawn)ed future it knows only the type, unless the handle is detached or the error is a
//! [`BoxError`](crate::BoxError) or a `String`.
//!
//! Work that the stop cuts off is named in the stop's own lines, and has no other.
//!
//! ## Spans
//!
//! The fields of the `tracing` spans around an event are on its line, including those that
//! [`Span::record`](tracing::Span::record) adds later. So a middleware that opens a span for each request, such as
//! `tower_http::trace::TraceLayer`, puts its method and URI on each line within it. Spans have levels, too: those of `TraceLayer`
//! are `DEBUG` by default, and need `AGENTCORE_LOG=info,tower_http=debug`.
//!
//! ```text
//! {"timestamp":"…","level":"INFO","message":"asked","logger":"my_agent","requestId":"9f0c1a4e-…","spans":[{"name":"request","method":"POST","uri":"/invocations","version":"HTTP/1.1"}]}
//! ```
//!
//! A pretty line has them before its message: `request{method=POST uri=/invocations version=HTTP/1.1}: my_agent: asked`. A line
//! shows the 16 innermost spans, and up to 4096 bytes of text of each. The library opens no spans of its own, and puts no header
//! of a request into any. Every field of a program's span is on every line within the span, so no secret belongs there.
//!
//! ## A subscriber of the program's own
//!
//! A program with its own `tracing` subscriber gets these lines as a [layer](log_layer), or reads the ids from
//! [`RequestContext::current`](crate::RequestContext::current), which works wherever an event is recorded.
//!
//! # Metrics
//!
//! With `AGENTCORE_METRICS=true`, or [`Config::metrics`](crate::Config::metrics), `GET /metrics` answers in Prometheus' text
//! format, on the thread that answers pings. By default metrics are off, and nothing is counted.
//!
//! | metric | |
//! | --- | --- |
//! | `agentcore_busy`, `agentcore_status_changed_timestamp_seconds` | the status of `/ping`; the page asks a custom ping handler first, OTLP uses its last answer |
//! | `agentcore_active_tasks{name}` | tasks that run; names beyond the 100 most frequent are counted as `(others)` |
//! | `agentcore_invocations_in_flight` | invocations whose reply is not complete |
//! | `agentcore_invocations_total{outcome}` | invocations that are over: `success`, `client_error` (4xx), `error` (5xx, or a stream that failed), `panic`, `timeout`, `cancelled` (the caller no longer waited), `cut_off` (by the shutdown) |
//! | `agentcore_invocation_duration_seconds` | histogram from 1 ms to 8 h: from the head to the last byte of the reply |
//! | `agentcore_route_outcomes_total{outcome}`, `agentcore_route_duration_seconds` | the last two for requests to [routes](macro@crate::routes), those to idle paths among them; an upgraded connection ends when the service has dropped it |
//! | `agentcore_refused_total{reason}` | requests that were refused: `not_serving`, `connections`, `invocations`, `session` |
//! | `agentcore_streams_open`, `_total`; `agentcore_sockets_…`; `agentcore_routes_…` (requests to routes); `agentcore_connections_…` | |
//! | `agentcore_request_bytes_total`, `agentcore_response_bytes_total` | bytes of bodies |
//! | `agentcore_stalls_total{of}` | code that blocked its `thread` for a second, or `all_workers` |
//! | `agentcore_durable_submitted_total{task}` | with the feature `durable`, like the next four: jobs that this process submitted |
//! | `agentcore_durable_attempts_total{task,outcome}` | attempts that ended here: `completed`, `failed`, `panicked`, `timed_out`, `cancelled`, `lost`, `handed_back` |
//! | `agentcore_durable_takeovers_total{task}` | attempts that began here because the lease of the one before had ended: its process died, or did not renew it |
//! | `agentcore_durable_pending{task}` | jobs in the store that wait; read every 10 s by a process that runs tasks |
//! | `agentcore_durable_oldest_seconds{task}` | how long the oldest of them has been due |
//! | `agentcore_build_info{version}`, `agentcore_start_time_seconds`, `agentcore_worker_threads` | |
//!
//! # Traces
//!
//! [`outbound_headers`](crate::outbound_headers) makes calls to other services a part of the request's trace and session, in
//! every build. For spans of its own the agent needs the feature `otel`, and a collector:
//!
//! ```toml
//! agentcore = { path = "../agentcore/agentcore", features = ["otel"] }
//! ```
//!
//! ```sh
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run
//! ```
//!
//! | span | content |
//! | --- | --- |
//! | `invoke_agent <agent>` | an invocation or a socket, from its head to its last byte: `gen_ai.operation.name`, `gen_ai.agent.name` (the service's), `gen_ai.agent.id` (the runtime's ARN), `gen_ai.conversation.id` (the session), `agentcore.request.id`, `agentcore.outcome`, `http.response.status_code` |
//! | `execute_tool <tool>` | a call of a tool through the Model Context Protocol: the attributes of `invoke_agent`, and `gen_ai.tool.name` |
//! | `task <name>` | an [`async_task`](macro@crate::async_task), from its call, and tasks that [`spawn`](crate::spawn), [`track`](crate::track) and [`add_async_task`](crate::add_async_task) begin |
//! | `stream` | a streamed reply, from its first chunk |
//! | `durable.submit` | with the feature `durable`, like the next two: the submission of a job, within the span that submits it |
//! | `durable.run` | one attempt of a job; a trace of its own, with a link to `durable.submit` |
//! | `durable.step` | a step that runs, within its attempt |
//! | any other | the program's own `tracing` spans of level `INFO` and above, within these |
//!
//! All of them have `session.id` and the gateway's routing experiment, if there is one, and the scope
//! `opentelemetry.instrumentation.agentcore_rust`, by which AgentCore's evaluations choose spans. They contain no prompts, no
//! replies, and no texts of errors and panics. Pings are never traced.
//!
//! A request's trace is the one that its `traceparent` names, or else its `X-Amzn-Trace-Id`. If that trace is not sampled,
//! neither are the request's spans. A trace that begins here is sampled as `OTEL_TRACES_SAMPLER` says; all are by default.
//!
//! | variable | |
//! | --- | --- |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`, `…_METRICS_ENDPOINT` | the collector's address, for OTLP over HTTP with protobuf; without one nothing is sent. Metrics are sent only if traces are |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_CERTIFICATE`, and those of one signal | as OpenTelemetry defines them; a certificate is a PEM file of trusted certificates, which replaces the system's |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the sender; the program's name by default |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_METRIC_EXPORT_INTERVAL` | as OpenTelemetry defines them |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`, `OTEL_METRICS_EXPORTER=none` | the first two switch off everything, the last only metrics |
//!
//! On Amazon Bedrock AgentCore Runtime there is no collector. If the platform sets `AGENT_OBSERVABILITY_ENABLED=true` and no
//! endpoint is set, spans go straight to X-Ray of `AWS_REGION`, signed with the runtime's credentials. That needs the feature
//! `otel-aws`, the permission `xray:PutTraceSegments` for the runtime's role, and CloudWatch Transaction Search in the account.
//! Metrics go to collectors only.
//!
//! Spans are sent from a separate thread, and the last of them, within 3 s, when the server has stopped. If a collector is slow,
//! broken or missing, spans are lost, with one warning a minute; no request waits for it.

use tracing::Subscriber;
use tracing_subscriber::Layer;
#[cfg(feature = "otel")]
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Environment, LogFormat};
#[cfg(feature = "otel")]
use crate::{otel, request};

/// The log's lines, as a layer for the program's own `tracing` subscriber; they go to stderr.
///
/// `AGENTCORE_LOG_FORMAT` sets the form of the lines. The subscriber decides which events are written.
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

/// A layer that exports the program's own `tracing` spans, for its own subscriber; see [traces](self#traces). It needs the
/// feature `otel`.
///
/// It takes spans of level `INFO` and above. If the environment asks for no traces it does nothing.
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
