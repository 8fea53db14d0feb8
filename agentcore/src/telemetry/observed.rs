//! One request in flight, as telemetry sees it: the only thing that the way of a request has to know of it.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::metrics::Metrics;
use super::otel::{Current, Span};
use super::outcome::{Findings, Outcome};
use crate::context::{self, Kind, Scope};
use crate::instance::Instance;

/// Begun with the request, and ended with it.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    findings: Findings,
    span: Span,
}

impl Observed {
    pub(crate) fn begin(
        instance: &Instance,
        kind: Kind,
        handler: &'static str,
        headers: &HeaderMap,
    ) -> Self {
        if let Some(metrics) = &instance.metrics {
            metrics.begin(kind);
        }
        Self {
            findings: Findings::default(),
            span: Span::request(kind, handler, headers),
        }
    }

    /// What is current below it.
    pub(crate) fn current(&self) -> Current {
        self.span.current()
    }

    /// What has become of it, as far as is known.
    pub(crate) fn note(&self, outcome: Outcome, status: Option<StatusCode>) {
        self.findings.add(outcome, status);
    }

    /// What was made of it has not reached its client. Where that was a failure, it stays the finding.
    pub(crate) fn note_unsent(&self) {
        if let None | Some(Outcome::Success | Outcome::ClientError) = self.outcome() {
            self.note(Outcome::Cancelled, None);
        }
    }

    /// Nothing of the request, which is `scope`'s, runs any more.
    pub(crate) fn end(&self, scope: &Scope) {
        let (outcome, status) = self.findings.get();
        let outcome = if scope.instance().is_cut_off() {
            Outcome::CutOff
        } else {
            // What has come to no end has been dropped.
            outcome.unwrap_or(Outcome::Cancelled)
        };
        if let Some(metrics) = &scope.instance().metrics {
            metrics.end(scope.kind(), outcome, scope.age());
        }
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        self.span.finish(outcome, status, scope);
    }

    /// What it has come to so far.
    fn outcome(&self) -> Option<Outcome> {
        self.findings.get().0
    }
}

/// One streamed reply, from its first chunk to the end of its producer.
#[derive(Debug)]
pub(crate) struct Stream {
    scope: Option<Arc<Scope>>,
    span: Span,
}

impl Stream {
    /// The caller's.
    pub(crate) fn open() -> Self {
        let counting =
            |scope: &&Arc<Scope>| scope.instance().metrics.is_some() || super::otel::is_on();
        let scope = context::with_scope(|_, scope| scope.filter(counting).cloned());
        let stream = Self {
            scope,
            span: Span::stream(),
        };
        if let Some(metrics) = stream.metrics() {
            metrics.streams.begin();
        }
        stream
    }

    /// What is current for its producer.
    pub(crate) fn current(&self) -> Current {
        self.span.current()
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
        let Some(scope) = &self.scope else { return };
        if scope.instance().is_cut_off() {
            self.span.note(Outcome::CutOff);
        } else if let Some(outcome) = scope.observed().outcome() {
            self.span.note(outcome);
        }
    }
}
