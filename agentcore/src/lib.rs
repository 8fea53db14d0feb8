//! Annotate functions, `cargo run`, and have an agent server whose health status is always right.
//!
//! ```no_run
//! use agentcore::{async_task, entrypoint};
//! use serde_json::{Value, json};
//!
//! #[async_task]
//! async fn summarise(document: String) -> String {
//!     format!("{} words", document.split_whitespace().count())
//! }
//!
//! #[entrypoint]
//! async fn handler(event: Value) -> Value {
//!     let document = event["document"].as_str().unwrap_or_default().to_owned();
//!     json!({ "summary": summarise(document).await })
//! }
//! ```
//!
//! That is a whole program. `POST /invocations` calls the entrypoint; `GET /ping` answers `Healthy` when nothing runs
//! and `HealthyBusy` while work does, so that a managed platform (Amazon Bedrock AgentCore Runtime), or Kubernetes,
//! neither kills a working agent nor pays for an idle one.
//!
//! # How it maps to HTTP
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /ping` | 200 `{"status":"Healthy"\|"HealthyBusy","time_of_last_update":<unix seconds>}`; 503 while start hooks run |
//! | `POST /invocations`, or [another path](Config::invocations_path) | what the entrypoint returns |
//! | … with no body, or bad JSON | 400 `{"error":"Invalid JSON","details":..}`, unless the entrypoint takes no payload |
//! | … that is not UTF-8 | 400 `{"error":"Invalid encoding","details":..}` |
//! | … with JSON of another shape | 422 `{"error":"Invalid payload","details":..,"path":"items[3].price"}` |
//! | … over the size limit | 413 |
//! | … from a handler that returns a `Stream` | 200 `text/event-stream`; see [`sse`] |
//! | handler error | its own status ([`HttpError`], [`IntoResponse`]), else 500 `{"error":"<its text>"}` |
//! | handler panic | 500 `{"error":"Internal server error"}`; message and backtrace go to the log |
//! | handler over its [`timeout`](App::timeout), or a task that it awaits over its `timeout` or [its age](Config::task_max_age) | 504 |
//! | more at once than [may be](Config::max_invocations), or than [a session may](Config::session_policy) | 503, or 409 or 429 |
//! | `GET /ws`, a WebSocket handshake | 101, and the [`websocket`] handler gets the socket; without a handler it is one of the other paths |
//! | … that is no valid handshake, or has another version | 400 or 426; 403 for a web page that is not on the list |
//! | `POST /warmup`, or [another path](Config::warmup_path) | with an [`on_warmup`] hook: 200 when the hooks have run, 500 or 504 if not; else 404 |
//! | after a restore whose [`on_restore`] hooks have failed | 503 with `Retry-After`; `/ping` answers |
//! | `GET /livez`, `/readyz` | with [`Config::probes`], or on an [admin port](Config::admin_port): 200, and 503 from `/readyz` while it starts or drains |
//! | `GET /metrics`, where it is [switched on](Config::metrics) | 200 with Prometheus' text; see [`telemetry`] |
//! | `GET /` | with [`Config::dev`], on loopback: the dev page, which asks `/_dev/..` |
//! | other method of these paths | 405 with `Allow` |
//! | other path | what the program's own [`routes`] answer, else 404; routes may have [ports of their own](App::routes_on) |
//! | during shutdown | 503 with `Retry-After`; `/ping` answers to the end |
//!
//! # The status
//!
//! Busy is held by guards: an invocation from the moment its head is read until its reply has been handed to the
//! socket, a WebSocket until its handler has ended and it is closed, a task from the moment its function is *called*
//! until its future has finished, failed, panicked, been aborted or dropped. There is nothing to reset by hand and no way
//! to forget it. A [`ping`](macro@ping) handler can add to it; only one that takes this status as an argument can answer
//! `Healthy` beside work.
//!
//! `time_of_last_update` is the second in which the answered status last changed, whatever changed it. It never moves between
//! changes: platforms read a stamp that moves on every ping as activity, and keep idle sessions for hours.
//!
//! # Features
//!
//! | feature | | needs Rust |
//! | --- | --- | --- |
//! | `ws`, on by default | `GET /ws` | 1.85 |
//! | `dev-page` | the dev page, where [`Config::dev`] switches it on, in release builds too; debug builds have it without | 1.85 |
//! | `durable` | [durable tasks](macro@async_task#durable-tasks): jobs that are stored, and finished even if their process dies | 1.85, and a C compiler |
//! | `durable-postgres` | jobs in a PostgreSQL database, for any number of hosts; includes `durable` | 1.85, and a C compiler |
//! | `schema` | `#[tool]`, and JSON Schemas of tools, payloads and replies, by [schemars](https://docs.rs/schemars/1) | 1.85 |
//! | `mcp` | tools, `#[resource]` and `#[prompt]` by the [Model Context Protocol](https://modelcontextprotocol.io), on a port of their own; includes `schema` | 1.88 |
//! | `garde` | `Valid<T>`: a payload that [garde](https://docs.rs/garde/0.22) validates | 1.85 |
//! | `otel` | [traces and metrics](telemetry#traces) by OTLP over HTTP, to a collector | 1.85 |
//! | `otel-aws` | traces and metrics to AWS itself, signed; includes `otel` | 1.88 |
//! | `socket-activation` | listeners that systemd passes to the program, on Linux | 1.85 |
//!
//! # Without macros
//!
//! Everything the macros do, [`App`] does without them: it takes handlers and hooks, and [`track`] begins a task. Three types
//! of a function are written differently there; [`App`]'s page lists them.
#![cfg_attr(
    feature = "ws",
    doc = "
# Where to read on

The [`guide`] explains all of it, page by page: [`guide::quick_start`] for the first ten minutes,
[`guide::from_python`] for those who know AWS's SDK, [`guide::faq`] for what others have met.
"
)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// From the bottom to the top: each module uses only modules above it in this list, which `tests/layers.rs` checks. The empty
// lines keep rustfmt from sorting them.

/// The operating system.
mod platform;

/// Small helpers that know nothing of agents.
mod util;

/// What stops a start, and other errors.
mod error;

/// The stores of durable jobs.
#[cfg(feature = "durable")]
#[cfg_attr(
    not(feature = "durable-postgres"),
    allow(dead_code, reason = "only PostgreSQL reconnects")
)]
mod engine;

/// Settings, and where they come from.
mod config;

/// The text of HTTP headers.
mod headers;

/// The reports of failures, panics and ends.
mod report;

/// Counters, and the page that Prometheus reads.
mod metrics;

/// Spans and metrics by OpenTelemetry.
#[cfg(feature = "otel")]
mod otel;
#[cfg(not(feature = "otel"))]
#[path = "otel/no_otel.rs"]
mod otel;

/// The work in progress, and the status that `/ping` reports.
mod tracker;

/// Requests in flight, and the app that they belong to.
mod request;

/// Lines on stderr.
mod log;

/// Tasks that run beside the replies.
mod tasks;

/// Durable tasks: jobs that are stored before they run.
#[cfg(feature = "durable")]
mod durable;

/// The user's code, and the conversion of its arguments and replies.
mod handler;

/// JSON Schemas of types.
mod schema;

/// Tools: functions that a model may call.
#[cfg(feature = "schema")]
mod tools;

/// WebSockets.
#[cfg(feature = "ws")]
mod ws;

/// Building an agent from its parts.
mod app;

/// The Model Context Protocol.
#[cfg(feature = "mcp")]
mod mcp;

/// Sockets, routes and the two schedulers.
mod server;

/// The function that a generated `main` calls.
mod run;

// Only with the feature `ws`, because the guide links to sockets.
#[cfg(all(any(doc, doctest, test), feature = "ws"))]
pub mod guide;

pub mod telemetry;

pub mod testing;

/// Tools: functions that a model may call.
///
/// [`tool`](macro@crate::tool) makes a tool of a function, and [`Tool`](tool::Tool) makes one by hand. With [`tools`](crate::tools())
/// the agent's own code tells a model about its tools, and calls them.
#[cfg(feature = "schema")]
pub mod tool {
    #[cfg(feature = "mcp")]
    pub use crate::tools::{
        Client, ClientError, Elicited, Messages, Root, Sampled, Sampling, resource_changed,
    };
    pub use crate::tools::{
        Content, TaskMode, Tool, ToolError, ToolHandler, ToolInfo, ToolResult, Tools,
    };
}

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[cfg(all(fuzzing, feature = "ws"))]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;

#[cfg(feature = "durable")]
#[doc(inline)]
pub use agentcore_macros::step;
#[cfg(not(feature = "durable"))]
#[doc(hidden)]
pub use agentcore_macros::step_without_feature as step;
#[cfg(feature = "schema")]
#[doc(inline)]
pub use agentcore_macros::tool;
#[cfg(not(feature = "schema"))]
#[doc(hidden)]
pub use agentcore_macros::tool_without_feature as tool;
#[cfg(feature = "ws")]
#[doc(inline)]
pub use agentcore_macros::websocket;
#[cfg(not(feature = "ws"))]
#[doc(hidden)]
pub use agentcore_macros::websocket_without_feature as websocket;
#[doc(inline)]
pub use agentcore_macros::{
    async_task, entrypoint, on_restore, on_shutdown, on_start, on_warmup, ping, routes,
};
#[cfg(feature = "mcp")]
#[doc(inline)]
pub use agentcore_macros::{prompt, resource};
#[cfg(not(feature = "mcp"))]
#[doc(hidden)]
pub use agentcore_macros::{
    prompt_without_feature as prompt, resource_without_feature as resource,
};
pub use bytes::Bytes;
#[doc(inline)]
pub use futures_core::Stream;
pub use http::{HeaderMap, StatusCode};

pub use app::App;
pub use config::{
    BusyWhile, Config, ErrorMode, LogFormat, LogLevel, SessionPolicy, StampWhileBusy,
};
#[cfg(feature = "durable")]
pub use durable::{
    Durable, Job, JobError, JobId, JobStatus, ParseJobIdError, Permanent, StepName, TaskContext,
    cancel_job, job_status, step,
};
pub use error::{BoxError, Error, TimedOut};
pub use handler::body::Body;
#[cfg(feature = "garde")]
pub use handler::extract::Valid;
pub use handler::extract::{FromInvocation, Header, Invocation, NamedHeader, Requirements};
pub use handler::hook::{
    HookArgument, PingArgument, PingHandler, PlatformHook, PlatformReply, RoutesFunction,
    ShutdownHook, ShutdownReply, StartHook, StartReply,
};
pub use handler::http_error::{HttpError, HttpErrorExt};
pub use handler::layer::Endpoint;
pub use handler::ping::PingReply;
pub use handler::response::{IntoResponse, Json, Response};
pub use handler::routes::{Routes, RoutesReply};
pub use handler::sse;
pub use handler::state::State;
pub use handler::{Handler, HandlerReply};
pub use headers::{Baggage, SESSION_ENDPOINT_URL};
pub use request::{AccessToken, CancellationToken, RequestContext, TraceContext, outbound_headers};
pub use run::run;
pub use server::Server;
pub use tasks::{
    AsyncTaskInfo, RunningJob, SpawnedTask, TaskBuilder, TaskError, TaskGuard, TaskHandle,
    TaskResult, TaskStatus, add_async_task, async_task_info, cancel_task, clear_forced_ping_status,
    complete_async_task, current_ping_status, force_ping_status, spawn, task_status, track,
};
#[cfg(feature = "schema")]
#[doc(inline)]
pub use tools::tools;
pub use tracker::{ParseTaskIdError, PingStatus, TaskId};
#[cfg(feature = "ws")]
pub use ws::{
    CloseCode, CloseFrame, Message, WebSocket, WebSocketError, WebSocketHandler, WebSocketReceiver,
    WebSocketReply, WebSocketSender,
};

/// Compiles the code of pages that rustdoc would not compile: the README, and the docs of the macros, which belong to a crate
/// of their own.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../agentcore-macros/docs/async_task.md")]
    mod async_task {}
    #[doc = include_str!("../../agentcore-macros/docs/entrypoint.md")]
    mod entrypoint {}
    #[doc = include_str!("../../agentcore-macros/docs/on_shutdown.md")]
    mod on_shutdown {}
    #[doc = include_str!("../../agentcore-macros/docs/on_start.md")]
    mod on_start {}
    #[doc = include_str!("../../agentcore-macros/docs/on_warmup.md")]
    mod on_warmup {}
    #[doc = include_str!("../../agentcore-macros/docs/on_restore.md")]
    mod on_restore {}
    #[doc = include_str!("../../agentcore-macros/docs/ping.md")]
    mod ping {}
    #[doc = include_str!("../../agentcore-macros/docs/routes.md")]
    mod routes {}
    #[cfg(feature = "durable")]
    #[doc = include_str!("../../agentcore-macros/docs/durable_task.md")]
    mod durable_task {}
    #[cfg(feature = "durable")]
    #[doc = include_str!("../../agentcore-macros/docs/step.md")]
    mod step {}
    #[cfg(feature = "mcp")]
    #[doc = include_str!("../../agentcore-macros/docs/prompt.md")]
    mod prompt {}
    #[cfg(feature = "mcp")]
    #[doc = include_str!("../../agentcore-macros/docs/resource.md")]
    mod resource {}
    #[cfg(feature = "schema")]
    #[doc = include_str!("../../agentcore-macros/docs/tool.md")]
    mod tool {}
    #[cfg(feature = "ws")]
    #[doc = include_str!("../../agentcore-macros/docs/websocket.md")]
    mod websocket {}
}
