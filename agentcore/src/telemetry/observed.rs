//! One request in flight, as telemetry sees it: the only thing that the way of a request has to know of it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::metrics::Metrics;
use super::outcome::{Findings, Outcome};
use crate::context::{self, Kind, Scope};
use crate::instance::Instance;

/// Begun with the request, and ended with it.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    findings: Findings,
}

impl Observed {
    pub(crate) fn begin(instance: &Instance, kind: Kind) -> Self {
        if let Some(metrics) = &instance.metrics {
            metrics.begin(kind);
        }
        Self::default()
    }

    /// What has become of it, as far as is known.
    pub(crate) fn note(&self, outcome: Outcome, status: Option<StatusCode>) {
        self.findings.add(outcome, status);
    }

    /// Nothing of it runs any more.
    pub(crate) fn end(&self, instance: &Instance, kind: Kind, age: impl FnOnce() -> Duration) {
        if let Some(metrics) = &instance.metrics {
            metrics.end(kind, self.outcome(instance), age());
        }
    }

    fn outcome(&self, instance: &Instance) -> Outcome {
        if instance.is_cut_off() {
            return Outcome::CutOff;
        }
        // What has come to no end has been dropped.
        self.findings.get().0.unwrap_or(Outcome::Cancelled)
    }
}

/// One streamed reply, from its first chunk to the end of its producer.
#[derive(Debug)]
pub(crate) struct Stream {
    scope: Option<Arc<Scope>>,
}

impl Stream {
    /// The caller's.
    pub(crate) fn open() -> Self {
        let counting = |scope: &&Arc<Scope>| scope.instance().metrics.is_some();
        let scope = context::with_scope(|_, scope| scope.filter(counting).cloned());
        let stream = Self { scope };
        if let Some(metrics) = stream.metrics() {
            metrics.streams.begin();
        }
        stream
    }

    fn metrics(&self) -> Option<&Metrics> {
        self.scope.as_ref()?.instance().metrics.as_deref()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(metrics) = self.metrics() {
            metrics.streams.end();
        }
    }
}
