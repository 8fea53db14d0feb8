//! Traces and metrics by OpenTelemetry, behind the feature `otel`.
//!
//! ```text
//! setup ── one pipeline for the process: spans in batches, metrics once a minute, each on a thread of the SDK's
//! span  ── the spans of requests, tasks and streams, and which of them is current where
//! ids   ── random ids from the system, baggage onto every span
//! renewed ── what a restore from a snapshot makes stale
//! send  ── HTTP to the collector; tls and, for AWS itself, sign
//! ```
//!
//! The SDK still changes from release to release, so no public signature names it.

mod ids;
mod instruments;
mod renewed;
mod send;
mod setup;
#[cfg(feature = "otel-aws")]
mod sign;
mod span;
mod tls;

pub(crate) use renewed::restored;
pub(crate) use setup::{flush, is_on, problems, span_layer, start};
pub(crate) use span::{Current, Span, Traced, current_span, inject, note_here};

/// The name of the library's instrumentation scope. AgentCore's evaluations read only spans whose scope begins like this.
const SCOPE: &str = "opentelemetry.instrumentation.agentcore_rust";
