//! [`Observed`]: the telemetry of one request in flight. Other code of a request calls only this.

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, StatusCode};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::instance::Instance;
use super::local::{self, emit_below};
use super::scope::Scope;
use crate::metrics::Metrics;
use crate::otel::{Current, Span};
use crate::report::{Ended, Failure, Findings, Kind, Outcome, Rejection, Work};

/// The telemetry of one request, from its beginning to its end.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    findings: Findings,
    span: Span,
    /// The first failure of the request.
    failure: OnceLock<Box<Failure>>,
    line: LineState,
    /// The status of the reply that the entrypoint has handed to layers; 0 for none. If errors are in-band, it differs from the
    /// recorded status.
    handed: AtomicU16,
}

/// The state of the line about the request's end, in one word. It decides when the line is due.
///
/// The line is due when the reply has been made: a plain one when the handler returns, a streamed one when the last task that
/// makes a part of it ends. Both happen on the workers, so the front writes no line for a request that they have answered. A
/// request that they have not answered has its line when it ends.
///
/// The caller that sets `SAID` writes the line. A later failure has a line of its own.
#[derive(Debug, Default)]
struct LineState(AtomicU32);

/// The line has been written.
const SAID: u32 = 1 << 31;
/// There is a failure.
const FAILED: u32 = 1 << 30;
/// The workers have handed over a streamed reply.
const ANSWERED: u32 = 1 << 29;
/// The layers have made their reply.
const REPLIED: u32 = 1 << 28;
/// A layer has dropped a call of the entrypoint.
const DROPPED: u32 = 1 << 27;
/// The reply is a layer's, not the entrypoint's.
const BY_LAYER: u32 = 1 << 26;
/// The stop has named the request as cut off, or counted it among those that it does not name.
const CUT_OFF: u32 = 1 << 25;
/// The bits below `CUT_OFF`: the number of tasks that make a streamed reply.
const STREAMS: u32 = CUT_OFF - 1;

impl LineState {
    fn set(&self, bit: u32) -> u32 {
        self.0.fetch_or(bit, Ordering::AcqRel)
    }

    fn has(&self, bit: u32) -> bool {
        self.0.load(Ordering::Acquire) & bit != 0
    }
}

/// The state of the entrypoint's call when the layers have made their reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOfAgent {
    /// The call has ended, or there was none.
    Ended,
    /// A layer has dropped the call.
    Dropped,
    /// A layer has dropped the call, and another call has ended.
    Repeated,
}

impl Observed {
    pub(crate) fn begin(
        instance: &Instance,
        kind: Kind,
        handler: &'static str,
        headers: &HeaderMap,
        route: Option<&str>,
    ) -> Self {
        if let Some(metrics) = &instance.metrics {
            metrics.begin(kind);
        }
        let path = &instance.invocations_path;
        #[cfg(feature = "mcp")]
        let path = if kind == Kind::Tool {
            &instance.mcp_path
        } else {
            path
        };
        Self {
            span: Span::request(kind, handler, path, headers, route),
            ..Self::default()
        }
    }

    /// The request's span as the current one.
    pub(crate) fn current(&self) -> Current {
        self.span.current()
    }

    /// Records the outcome and the status, as far as they are known.
    pub(crate) fn note(&self, outcome: Outcome, status: Option<StatusCode>) {
        self.findings.add(outcome, status);
    }

    /// Records that the reply has not reached its client. A failure stays the outcome.
    pub(crate) fn note_unsent(&self) {
        if let None | Some(Outcome::Success | Outcome::ClientError) = self.outcome() {
            self.note(Outcome::Cancelled, None);
        }
    }

    /// Keeps `failure` for the request's line. A second failure, or one after the line, has a line of its own.
    pub(crate) fn fail(&self, failure: Failure) {
        if let Err(second) = self.failure.set(Box::new(failure)) {
            return second.log();
        }
        if self.line.set(FAILED) & SAID != 0 {
            if let Some(late) = self.failure.get().cloned() {
                late.log();
            }
        }
    }

    /// Keeps the reason of a rejection for the request's line. If there will be no line, keeps nothing.
    pub(crate) fn reject(&self, scope: &Scope, rejection: &Rejection) {
        let Some(work) = Work::of(scope.kind()).filter(|_| usual_level(scope).is_some()) else {
            return;
        };
        let failure = work.rejected(scope.name(), rejection.clone());
        // The first failure is the reason.
        if self.failure.set(Box::new(failure)).is_ok() {
            self.line.set(FAILED);
        }
    }

    /// Records that a layer has dropped a call of the entrypoint. True if the request's line is still to come, and will say it.
    pub(crate) fn call_dropped(&self) -> bool {
        self.line.set(DROPPED) & (SAID | REPLIED) == 0
    }

    /// Records that the entrypoint has handed a reply with `status` to the layers.
    pub(crate) fn handed(&self, status: StatusCode) {
        self.handed.store(status.as_u16(), Ordering::Release);
    }

    /// Records that the layers have made a reply with `status`. Returns the state of the entrypoint's call.
    pub(crate) fn replied(&self, status: StatusCode) -> CallOfAgent {
        let handed = self.handed.load(Ordering::Acquire);
        let by_layer = handed != status.as_u16();
        if by_layer {
            self.note(Outcome::of(status), Some(status));
        }
        let before = self.line.set(REPLIED | if by_layer { BY_LAYER } else { 0 });
        match (before & DROPPED != 0, handed) {
            (false, _) => CallOfAgent::Ended,
            (true, 0) => CallOfAgent::Dropped,
            (true, _) => CallOfAgent::Repeated,
        }
    }

    /// The workers have made the reply of the request of `scope`.
    pub(crate) fn answered(&self, scope: &Arc<Scope>, is_stream: bool) {
        if !is_stream || self.line.set(ANSWERED) & STREAMS == 0 {
            self.say(scope);
        }
    }

    fn stream_begins(&self) {
        self.line.0.fetch_add(1, Ordering::AcqRel);
    }

    fn stream_ended(&self, scope: &Arc<Scope>) {
        let before = self.line.0.fetch_sub(1, Ordering::AcqRel);
        if before & STREAMS == 1 && before & ANSWERED != 0 {
            self.say(scope);
        }
    }

    /// Writes, once, the line that says how the request of `scope` has ended. If lines are off and nothing has failed, the first
    /// checks are all that the line costs.
    fn say(&self, scope: &Arc<Scope>) {
        if self.line.has(SAID) {
            return;
        }
        let usual = usual_level(scope);
        if usual.is_none() && !self.line.has(FAILED) && !self.is_bad() {
            return;
        }
        let before = self.line.set(SAID);
        if before & SAID != 0 {
            return;
        }
        // A failure after this sees `SAID`, and has a line of its own.
        let failure = (before & FAILED != 0).then(|| self.failure.get().cloned());
        let failure = failure.flatten();
        let (outcome, status) = self.ending();
        let took = scope.age();
        let scope = Arc::clone(scope);
        emit_below(Some(Arc::clone(&scope)), move || {
            match (Work::of(scope.kind()), failure) {
                (Some(work), failure) => Ended {
                    work,
                    name: scope.name(),
                    task_id: None,
                    route: scope.route(),
                    by_layer: before & BY_LAYER != 0,
                    outcome,
                    status,
                    took,
                    failure: failure.as_deref(),
                }
                .log(usual.unwrap_or(Level::INFO)),
                (None, Some(failure)) => failure.log(),
                (None, None) => {}
            }
        });
    }

    /// Whether the line is an error line without a failure, because the program has chosen a status of 5xx.
    fn is_bad(&self) -> bool {
        let outcome = self.outcome();
        matches!(
            outcome,
            Some(Outcome::Error | Outcome::Panic | Outcome::Timeout)
        )
    }

    /// Records that the stop names the request of `scope` as cut off. If the request has had no line, that is its line.
    pub(crate) fn cut_off(&self, scope: &Arc<Scope>) {
        let before = self.line.set(CUT_OFF | SAID);
        // A failure that waits for the line is told alone.
        if before & (SAID | FAILED) == FAILED {
            self.log_failure(scope);
        }
    }

    fn log_failure(&self, scope: &Arc<Scope>) {
        if let Some(failure) = self.failure.get().cloned() {
            emit_below(Some(Arc::clone(scope)), move || failure.log());
        }
    }

    /// How the request has ended, as far as is known.
    fn ending(&self) -> (Outcome, Option<u16>) {
        let (outcome, status) = self.findings.get();
        let outcome = if self.line.has(CUT_OFF) {
            Outcome::CutOff
        } else {
            // A request without an outcome has been dropped.
            outcome.unwrap_or(Outcome::Cancelled)
        };
        (outcome, status)
    }

    /// Reports the end of the request of `scope`. Nothing of the request runs any more.
    pub(crate) fn end(&self, scope: &Arc<Scope>) {
        self.say(scope);
        // A task of the request may go on. If it fails after this, its failure has a line of its own.
        if self.line.set(SAID) & (SAID | FAILED) == FAILED {
            self.log_failure(scope);
        }
        let (outcome, status) = self.ending();
        if let Some(metrics) = &scope.instance().metrics {
            metrics.end(scope.kind(), outcome, scope.age());
        }
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let what = (scope.kind(), scope.age());
        self.span
            .finish(outcome, status, what, || scope.request_id());
    }

    /// The outcome so far.
    fn outcome(&self) -> Option<Outcome> {
        self.findings.get().0
    }
}

/// The level of the line of a request that has not failed; `None` if such a line is not wanted.
fn usual_level(scope: &Scope) -> Option<Level> {
    // Probes and assets would fill the log.
    if scope.kind() == Kind::IdleRoute {
        return None;
    }
    let usual = scope.instance().line_level;
    usual.filter(|level| *level <= LevelFilter::current())
}

/// One streamed reply, from its first chunk to the end of its producer.
#[derive(Debug)]
pub(crate) struct Stream {
    scope: Option<Arc<Scope>>,
    span: Span,
}

impl Stream {
    /// Begins a stream of the caller's request.
    pub(crate) fn open() -> Self {
        let stream = Self {
            scope: local::current(),
            span: Span::stream(),
        };
        if let Some(scope) = &stream.scope {
            scope.observed().stream_begins();
        }
        if let Some(metrics) = stream.metrics() {
            metrics.streams.begin();
        }
        stream
    }

    /// The stream's span as the current one, for its producer.
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
        let observed = scope.observed();
        if observed.line.has(CUT_OFF) {
            self.span.note(Outcome::CutOff);
        } else if let Some(outcome) = observed.outcome() {
            self.span.note(outcome);
        }
        observed.stream_ended(scope);
    }
}
