//! The metrics of an app.
//!
//! They are plain relaxed counters: only the front's thread, which accepts, reads and writes for all connections, raises nearly
//! all of them, so there is no contention. Without metrics there is no `Metrics`, and each event costs one check of an `Option`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body::Frame;

use super::prometheus::Text;
use crate::report::{Kind, Outcome};

/// Upper bounds of the histograms, in seconds: from a cache's answer to a background job, with the platform's
/// limits of 15 minutes, one hour and eight hours among them.
pub(crate) const BOUNDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0,
    900.0, 3600.0, 28800.0,
];

/// A monotonic counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts activities that have begun and those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    begun: Counter,
    ended: Counter,
}

impl Activities {
    pub(crate) fn begin(&self) {
        self.begun.add(1);
    }

    pub(crate) fn end(&self) {
        self.ended.add(1);
    }

    fn open(&self) -> u64 {
        // `ended` is read first. Otherwise an activity that begins and ends between the reads would be subtracted and not added.
        let ended = self.ended.get();
        self.begun.get().saturating_sub(ended)
    }
}

/// Counts requests that have an outcome, and how long they take.
#[derive(Debug, Default)]
struct Calls {
    activities: Activities,
    outcomes: [Counter; Outcome::ALL.len()],
    /// One counter per bucket. The last counts durations above the last bound.
    durations: [Counter; BOUNDS.len() + 1],
    /// The sum of all durations, in nanoseconds.
    duration: Counter,
}

impl Calls {
    fn count(&self, outcome: Outcome, age: Duration) {
        self.outcomes[outcome.index()].add(1);
        let seconds = age.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.durations[bucket].add(1);
        self.duration.add(age.as_nanos() as u64);
    }

    fn render_outcomes(&self, text: &mut Text, name: &str, help: &str) {
        let mut outcomes = text.counter(name, help);
        for outcome in Outcome::ALL {
            let count = self.outcomes[outcome.index()].get();
            outcomes.sample(&[("outcome", outcome.name())], count);
        }
    }

    fn render_durations(&self, text: &mut Text, name: &str, help: &str) {
        let buckets = BOUNDS.iter().copied().zip(&self.durations);
        text.histogram(
            name,
            help,
            buckets.map(|(bound, counter)| (bound, counter.get())),
            self.durations[BOUNDS.len()].get(),
            Duration::from_nanos(self.duration.get()).as_secs_f64(),
        );
    }
}

/// All metrics of one app.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: SystemTime,
    pub(crate) connections: Activities,
    pub(crate) streams: Activities,
    sockets: Activities,
    invocations: Calls,
    routes: Calls,
    pub(crate) request_bytes: Counter,
    response_bytes: Counter,
    refused: [Counter; Refused::ALL.len()],
    pub(crate) stalls: Counter,
    pub(crate) full_stalls: Counter,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The agent is starting or stopping.
    NotServing,
    Connections,
    Invocations,
    Session,
}

impl Refused {
    const ALL: [(Self, &'static str); 4] = [
        (Self::NotServing, "not_serving"),
        (Self::Connections, "connections"),
        (Self::Invocations, "invocations"),
        (Self::Session, "session"),
    ];
}

/// Values that are not counted but read for each page.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    pub(crate) is_busy: bool,
    /// When the status last changed, in Unix seconds.
    pub(crate) changed: u32,
    /// The number of running tasks under each name.
    pub(crate) tasks: Vec<(&'a str, u64)>,
    pub(crate) workers: usize,
    /// The figures of each durable task.
    #[cfg(feature = "durable")]
    pub(crate) durable: Vec<crate::metrics::ShownJobs>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            started: SystemTime::now(),
            connections: Activities::default(),
            streams: Activities::default(),
            sockets: Activities::default(),
            invocations: Calls::default(),
            routes: Calls::default(),
            request_bytes: Counter::default(),
            response_bytes: Counter::default(),
            refused: Default::default(),
            stalls: Counter::default(),
            full_stalls: Counter::default(),
        }
    }

    fn calls(&self, kind: Kind) -> Option<&Calls> {
        if kind.is_route() {
            Some(&self.routes)
        } else {
            kind.is_call().then_some(&self.invocations)
        }
    }

    fn activities(&self, kind: Kind) -> Option<&Activities> {
        #[cfg(feature = "ws")]
        if kind == Kind::Socket {
            return Some(&self.sockets);
        }
        self.calls(kind).map(|calls| &calls.activities)
    }

    pub(crate) fn begin(&self, kind: Kind) {
        if let Some(activities) = self.activities(kind) {
            activities.begin();
        }
    }

    pub(crate) fn end(&self, kind: Kind, outcome: Outcome, age: Duration) {
        if let Some(calls) = self.calls(kind) {
            calls.count(outcome, age);
        }
        if let Some(activities) = self.activities(kind) {
            activities.end();
        }
    }

    /// Counts the bytes of a reply that were handed to the socket.
    pub(crate) fn sent<E>(&self, polled: &Poll<Option<Result<Frame<Bytes>, E>>>) {
        if let Poll::Ready(Some(Ok(frame))) = polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.response_bytes.add(bytes as u64);
        }
    }

    pub(crate) fn refuse(&self, why: Refused) {
        self.refused[why as usize].add(1);
    }

    /// All metrics, in Prometheus' text format.
    pub(crate) fn render(&self, now: Now<'_>) -> String {
        let mut text = Text::default();
        text.gauge("agentcore_build_info", "The library's version.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        text.gauge(
            "agentcore_start_time_seconds",
            "When the server started, in Unix seconds.",
        )
        .sample(&[], started.as_secs_f64());
        text.gauge("agentcore_worker_threads", "Threads that run handlers.")
            .sample(&[], now.workers);

        text.gauge("agentcore_busy", "Whether /ping says HealthyBusy.")
            .sample(&[], u8::from(now.is_busy));
        text.gauge(
            "agentcore_status_changed_timestamp_seconds",
            "When /ping's status last changed, in Unix seconds.",
        )
        .sample(&[], now.changed);
        let mut tasks = text.gauge("agentcore_active_tasks", "Tasks that run, by name.");
        for (name, count) in now.tasks {
            tasks.sample(&[("name", name)], count);
        }

        text.gauge(
            "agentcore_invocations_in_flight",
            "Invocations whose reply is not complete.",
        )
        .sample(&[], self.invocations.activities.open());
        self.invocations.render_outcomes(
            &mut text,
            "agentcore_invocations_total",
            "Invocations that have ended, by outcome.",
        );
        self.invocations.render_durations(
            &mut text,
            "agentcore_invocation_duration_seconds",
            "The time from an invocation's head to the last byte of its reply.",
        );
        self.routes.render_outcomes(
            &mut text,
            "agentcore_route_outcomes_total",
            "Requests to routes that have ended, by outcome.",
        );
        self.routes.render_durations(
            &mut text,
            "agentcore_route_duration_seconds",
            "The time from the head of a request to routes to the last byte of its reply.",
        );
        let mut refused = text.counter(
            "agentcore_refused_total",
            "Requests that were refused, by reason.",
        );
        for (why, name) in Refused::ALL {
            refused.sample(&[("reason", name)], self.refused[why as usize].get());
        }

        for (name, what, activities) in [
            ("streams", "Streamed replies", &self.streams),
            ("sockets", "WebSockets", &self.sockets),
            ("routes", "Requests to routes", &self.routes.activities),
            ("connections", "TCP connections", &self.connections),
        ] {
            text.gauge(
                &format!("agentcore_{name}_open"),
                &format!("{what} that are open."),
            )
            .sample(&[], activities.open());
            text.counter(
                &format!("agentcore_{name}_total"),
                &format!("{what} that were opened."),
            )
            .sample(&[], activities.begun.get());
        }
        text.counter(
            "agentcore_request_bytes_total",
            "Bytes of requests' bodies that were read.",
        )
        .sample(&[], self.request_bytes.get());
        text.counter(
            "agentcore_response_bytes_total",
            "Bytes of replies' bodies that were handed to the socket.",
        )
        .sample(&[], self.response_bytes.get());
        let mut stalls = text.counter(
            "agentcore_stalls_total",
            "Times that code blocked its thread for a second: one thread, or all workers.",
        );
        stalls.sample(&[("of", "thread")], self.stalls.get());
        stalls.sample(&[("of", "all_workers")], self.full_stalls.get());
        #[cfg(feature = "durable")]
        durable(&mut text, &now.durable);
        text.finish()
    }
}

/// Writes the counters of durable tasks.
#[cfg(feature = "durable")]
fn durable(text: &mut Text, tasks: &[crate::metrics::ShownJobs]) {
    if tasks.is_empty() {
        return;
    }
    let mut submitted = text.counter(
        "agentcore_durable_submitted_total",
        "Durable jobs that were stored here, by task.",
    );
    for shown in tasks {
        submitted.sample(&[("task", shown.task)], shown.submitted);
    }
    let mut finished = text.counter(
        "agentcore_durable_attempts_total",
        "Attempts that ended here, by task and by how they ended.",
    );
    for shown in tasks {
        for (outcome, count) in shown.finished {
            finished.sample(&[("task", shown.task), ("outcome", outcome)], count);
        }
    }
    let mut taken_over = text.counter(
        "agentcore_durable_takeovers_total",
        "Attempts that began here because the lease of the attempt before had ended, by task.",
    );
    for shown in tasks {
        taken_over.sample(&[("task", shown.task)], shown.taken_over);
    }
    let mut pending = text.gauge(
        "agentcore_durable_pending",
        "Jobs in the store that wait, by task.",
    );
    for shown in tasks {
        if let Some(count) = shown.pending {
            pending.sample(&[("task", shown.task)], count);
        }
    }
    let mut oldest = text.gauge(
        "agentcore_durable_oldest_seconds",
        "How long the oldest job in the store has been due, by task.",
    );
    for shown in tasks {
        if let Some(age) = shown.oldest {
            oldest.sample(&[("task", shown.task)], age.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(tasks: Vec<(&str, u64)>) -> Now<'_> {
        Now {
            is_busy: true,
            changed: 1_795_353_188,
            tasks,
            workers: 2,
            #[cfg(feature = "durable")]
            durable: Vec::new(),
        }
    }

    #[test]
    fn an_invocation_is_counted_where_it_belongs() {
        let metrics = Metrics::new();
        for _ in 0..3 {
            metrics.begin(Kind::Invocation);
        }
        metrics.end(Kind::Invocation, Outcome::Panic, Duration::from_millis(1));
        metrics.end(
            Kind::Invocation,
            Outcome::Success,
            Duration::from_secs(90_000),
        );
        metrics.refuse(Refused::Session);
        let text = metrics.render(now(vec![("a \"b\"\n", 2)]));
        for line in [
            "agentcore_busy 1",
            "agentcore_status_changed_timestamp_seconds 1795353188",
            r#"agentcore_active_tasks{name="a \"b\"\n"} 2"#,
            "agentcore_invocations_in_flight 1",
            r#"agentcore_invocations_total{outcome="panic"} 1"#,
            r#"agentcore_invocations_total{outcome="success"} 1"#,
            r#"agentcore_invocations_total{outcome="cut_off"} 0"#,
            r#"agentcore_invocation_duration_seconds_bucket{le="0.001"} 1"#,
            r#"agentcore_invocation_duration_seconds_bucket{le="28800"} 1"#,
            r#"agentcore_invocation_duration_seconds_bucket{le="+Inf"} 2"#,
            "agentcore_invocation_duration_seconds_sum 90000.001",
            "agentcore_invocation_duration_seconds_count 2",
            r#"agentcore_refused_total{reason="session"} 1"#,
            r#"agentcore_refused_total{reason="invocations"} 0"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
        }
    }
}
