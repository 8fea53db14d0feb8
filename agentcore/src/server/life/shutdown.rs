//! The stop: work in progress finishes, shutdown hooks run, and work that takes too long is cut off and named.
//!
//! ```text
//! request to stop ─ work in progress ─ shutdown hooks ─ work that they began ─┬─ states are dropped ─┬─ the rest is dropped
//!                                                                             └─ replies leave ──────┘
//!                  └── the grace ───┘ └─ at least 2 s ────────────────────┘   └─ at least 2 s ──────────────────────────┘
//! ```
//!
//! A signal during the stop ends it at once. Everything that is not finished is named, and makes the stop an error.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::control::next_signal;
use super::stalls::whole_milliseconds;
use super::thread::Life;
use crate::error::{Error, Kind};
use crate::platform::Signals;
use crate::report;
use crate::request::{self, Scope};
use crate::tracker::Oldest;

/// The least time for shutdown hooks and the work that they begin, even if the work in progress has used up the grace.
const LEAST_FOR_HOOKS: Duration = Duration::from_secs(2);

/// The least time for the drops of states and of the other parts of the agent, even if the grace has been used up.
pub(crate) const LEAST_FOR_DROPS: Duration = Duration::from_secs(2);

/// The most pieces of work that are named as cut off. More lines would be lost rather than read.
const MOST_NAMED: usize = 500;

/// How many of them are logged before the front serves its connections again.
const NAMED_AT_A_TIME: usize = 16;

/// How often the stop checks whether work that began after the end of the grace is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The names of what has been cut off.
#[derive(Debug, Default)]
pub(crate) struct CutOff {
    names: Vec<String>,
    /// How many invocations, sockets and tasks have been cut off, with or without a name.
    work: usize,
}

impl CutOff {
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn work(&self) -> usize {
        self.work
    }

    /// Names something, in the log and in the error.
    pub(crate) fn name(&mut self, what: String) {
        self.name_below(None, what);
    }

    /// Names something in the log line of a request, with the request's ids.
    fn name_below(&mut self, scope: Option<Arc<Scope>>, what: String) {
        let said = what.clone();
        request::emit_below(scope, move || tracing::error!("cut off: {said}"));
        self.names.push(what);
    }

    pub(crate) fn name_all(&mut self, all: Vec<String>) {
        all.into_iter().for_each(|what| self.name(what));
    }

    /// An error that names everything, if anything was cut off.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "stopped before everything was finished; cut off: {}",
            self.names.join(", ")
        );
        Err(Error::new(Kind::CutOff, problem))
    }
}

/// How the first part of a stop ended.
pub(crate) struct Drained {
    pub(crate) cut_off: CutOff,
    /// The deadline for the rest of the stop.
    pub(crate) until: Instant,
    /// Whether a second signal has come, so that nothing is waited for any more.
    pub(crate) is_over: bool,
}

impl Life {
    /// Waits up to `grace` for work in progress, runs the shutdown hooks, and waits for the work that they begin. A signal ends
    /// the drain at once.
    pub(crate) async fn drain(&self, grace: Duration, signals: &mut Option<Signals>) -> Drained {
        let deadline = Instant::now() + grace;
        let mut cut_off = CutOff::default();
        let tracker = &self.front.instance.tracker;
        let idle = async {
            // A job that is being claimed becomes a task, or is handed back.
            #[cfg(feature = "durable")]
            if let Some(client) = &self.front.durable {
                client.until_not_claiming().await;
            }
            tracker.idle().await;
        };
        let (is_idle, mut is_over) = tokio::select! {
            () = idle => (true, false),
            () = sleep_until(deadline) => (false, false),
            name = next_signal(signals) => (false, said_again(name)),
        };
        let mut since = None;
        if !is_idle {
            let now = StdInstant::now();
            self.cut_off(..now, &mut cut_off).await;
            // Work that has been named is neither waited for nor named again.
            since = (!cut_off.is_empty()).then_some(now);
        }
        let until = deadline.max(Instant::now() + LEAST_FOR_HOOKS);
        is_over = self
            .run_shutdown_hooks(until, is_over, signals, &mut cut_off)
            .await;
        if !is_over {
            tokio::select! {
                () = self.until_over(since) => {}
                () = sleep_until(until) => {}
                name = next_signal(signals) => is_over = said_again(name),
            }
        }
        match since {
            Some(since) => self.cut_off(since.., &mut cut_off).await,
            None => self.cut_off(.., &mut cut_off).await,
        }
        let now = Instant::now();
        Drained {
            cut_off,
            until: if is_over {
                now
            } else {
                deadline.max(now + LEAST_FOR_DROPS)
            },
            is_over,
        }
    }

    /// Completes when no work is in progress that began at `since` or later.
    async fn until_over(&self, since: Option<StdInstant>) {
        let tracker = &self.front.instance.tracker;
        match since {
            None => tracker.idle().await,
            Some(since) => {
                while tracker.has_later_than(since).await {
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Names all work in progress that began in the range `began`, and ends it as far as possible.
    pub(crate) async fn cut_off(&self, began: impl RangeBounds<StdInstant>, cut_off: &mut CutOff) {
        let tracker = &self.front.instance.tracker;
        if tracker.in_progress() == 0 {
            return;
        }
        let now = StdInstant::now();
        let mut oldest = Oldest::new(MOST_NAMED);
        // In one step: every request in this list is answered only with the error that it was cut off. Since the stop began, no
        // further request has been let in.
        if began.start_bound() == Bound::Unbounded {
            self.front.instance.cut_off();
            let requests = &self.front.instance.requests;
            for scope in requests.filter_map(|_, scope| Some(Arc::clone(scope))) {
                scope.observed().cut_off(&scope);
                oldest.see(scope.began(), || {
                    (scope.to_string(), Some(Arc::clone(&scope)))
                });
            }
        }
        // Everything is named before anything is ended: a task ends with the request or the task that awaits it.
        let began = (began.start_bound(), began.end_bound());
        tracker.describe(&mut oldest, began).await;
        let more = oldest.more();
        cut_off.work += oldest.count();
        for (number, (began, (what, scope))) in oldest.into_vec().into_iter().enumerate() {
            let age = whole_milliseconds(now.saturating_duration_since(began));
            let age = humantime::format_duration(age);
            cut_off.name_below(scope, format!("{what} after {age}"));
            if number % NAMED_AT_A_TIME == NAMED_AT_A_TIME - 1 {
                yield_now().await;
            }
        }
        if more > 0 {
            cut_off.name(format!("{more} more"));
        }
        let instance = Arc::clone(&self.front.instance);
        self.front.workers.aside(move || instance.tell_cut_off());
        self.front.connections.look_again();
        tracker.abort_all(began).await;
    }
}

/// Logs that a second signal ends the stop at once. Returns `true`, for `is_over`.
pub(crate) fn said_again(name: &'static str) -> bool {
    report::emit(move || tracing::error!("{name} again: stopping at once"));
    true
}
