//! Counters of requests, tasks, connections and bytes, and the page that Prometheus reads.

mod counters;
#[cfg(feature = "durable")]
mod jobs;
mod prometheus;

#[cfg(feature = "otel")]
pub(crate) use counters::BOUNDS;
pub(crate) use counters::{Metrics, Now, Refused};
#[cfg(feature = "durable")]
pub(crate) use jobs::{Finished, JobFigures, ShownJobs};
pub(crate) use prometheus::CONTENT_TYPE;

/// Functions that read the process's present state. A metrics reader calls them when it collects.
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "nothing reads them"))]
#[derive(Clone, Copy)]
pub(crate) struct Gauges {
    /// Whether `/ping` says `HealthyBusy`.
    pub(crate) is_busy: fn() -> bool,
    /// How many tasks run under each name.
    pub(crate) tasks: fn() -> Vec<(&'static str, u64)>,
}
