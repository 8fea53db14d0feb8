//! The stall watch: notices code that blocks its thread, and names it in the log.
//!
//! The front spawns a probe on the workers, a task that does nothing. If the probe has not run after a second in which no
//! poll has begun or ended either, every worker is blocked, and nothing advances but `/ping`. Each thread records in a slot
//! what it polls, so the slots name the code that blocks; see [`stall`].
//!
//! The backtrace of a panic is made by the library and is not a part of the poll that panicked.
//!
//! Code within `tokio::task::block_in_place` looks blocked too, though it has handed its worker's tasks over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::report;
use crate::report::stall::{self, Slot};
use crate::request::{self, Scope};
use crate::server::http::front::Front;

/// How long a poll may take before it counts as blocking.
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// How often the front checks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The least time between two warnings about a single blocked worker. Blocked workers are always reported if all are blocked.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Checks for ever. One task on the front runs this.
pub(crate) async fn watch(front: Arc<Front>) -> Infallible {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::new(front);
    loop {
        looks.tick().await;
        watch.look();
    }
}

struct Watch {
    front: Arc<Front>,
    last_look: Instant,
    polls: Vec<Observed>,
    /// The last probe, until it has been seen to have run.
    probe: Option<JoinHandle<()>>,
    /// The last count of polls that have begun or ended, and when it was first seen or, if that is later, the probe spawned.
    progress: (u64, Instant),
    /// Whether it has been logged that all workers are blocked.
    said: bool,
    last_warning: Option<Instant>,
}

/// A poll that is in progress.
struct Observed {
    slot: Arc<Slot>,
    number: u64,
    since: Instant,
    counted: bool,
    said: bool,
}

impl Watch {
    fn new(front: Arc<Front>) -> Self {
        Self {
            front,
            last_look: Instant::now(),
            polls: Vec::new(),
            probe: None,
            progress: (0, Instant::now()),
            said: false,
            last_warning: None,
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        // If the front itself has not run for so long, the whole process was stopped, and no handler is to blame.
        let was_stopped = now - self.last_look > LONGEST_POLL;
        self.last_look = now;
        if was_stopped {
            self.polls.clear();
            self.probe = None;
        }
        self.look_at_polls(now);
        self.look_for_life(now);
    }

    /// Records the polls in progress and since when each was seen, and warns of one that is long.
    fn look_at_polls(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.polls);
        let slots = stall::slots();
        let polls = slots.iter().map(|slot| slot.polls());
        let progress = polls.fold(0, u64::wrapping_add);
        if progress != self.progress.0 {
            self.progress = (progress, now);
        }
        for slot in slots {
            let Some(number) = slot.poll_in_progress() else {
                continue;
            };
            let known = before
                .iter()
                .position(|poll| poll.number == number && Arc::ptr_eq(&poll.slot, &slot));
            self.polls.push(match known {
                Some(at) => before.swap_remove(at),
                None => Observed {
                    slot,
                    number,
                    since: now,
                    counted: false,
                    said: false,
                },
            });
        }
        if let Some(metrics) = &self.front.instance.metrics {
            for poll in &mut self.polls {
                if !poll.counted && poll.is_long(now) {
                    poll.counted = true;
                    metrics.stalls.add(1);
                }
            }
        }
        let may_warn = self
            .last_warning
            .is_none_or(|last| now - last >= WARN_EVERY);
        let mut polls = self.polls.iter_mut();
        let new = polls.find(|poll| !poll.said && poll.is_long(now));
        if let Some(poll) = new.filter(|_| may_warn) {
            poll.said = true;
            let Some(what) = describe(&self.front, poll, now) else {
                return;
            };
            self.last_warning = Some(now);
            let scope = scope(&self.front, poll);
            request::emit_below(scope, move || {
                tracing::warn!("{} (logged at most once a minute)", what.warning());
            });
        }
    }

    /// Checks whether the workers run anything at all.
    fn look_for_life(&mut self, now: Instant) {
        let (_, since) = self.progress;
        match &self.probe {
            Some(probe) if !probe.is_finished() => {
                if now - since >= LONGEST_POLL && !self.said {
                    self.said = true;
                    let blocked = self.all_blocked(now);
                    report::emit(move || tracing::error!("{blocked}"));
                    if let Some(metrics) = &self.front.instance.metrics {
                        metrics.full_stalls.add(1);
                    }
                }
            }
            Some(_) => {
                if std::mem::take(&mut self.said) {
                    report::emit(|| tracing::info!("the workers run again"));
                }
                self.probe = None;
            }
            // An idle agent is not probed.
            None if self.front.instance.tracker.in_progress() == 0 => {}
            None => {
                self.progress.1 = now;
                self.probe = Some(self.front.workers.runtime().spawn(async {}));
            }
        }
    }

    fn all_blocked(&self, now: Instant) -> String {
        // A poll that began a little later than the others may block a worker as well.
        let polls = self.polls.iter();
        let blocking = polls.filter(|poll| now - poll.since >= LONGEST_POLL / 2);
        let mut what: Vec<_> = blocking
            .filter_map(|poll| describe(&self.front, poll, now))
            .map(|blocking| format!("{} for {}", blocking.what, blocking.long()))
            .collect();
        if what.is_empty() {
            what.push("code that no handler or task has called".to_owned());
        }
        format!(
            "all workers ({}) are blocked and nothing but /ping advances; blocked by: {}",
            self.front.workers.runtime().metrics().num_workers(),
            what.join(", ")
        )
    }
}

impl Observed {
    fn is_long(&self, now: Instant) -> bool {
        now - self.since >= LONGEST_POLL
    }
}

/// The scope of the request that a poll belongs to, or from which its task was started.
fn scope(front: &Front, poll: &Observed) -> Option<Arc<Scope>> {
    let at = poll.slot.at();
    let requests = &front.instance.requests;
    let request = requests.with_value(at.request, |scope| Arc::clone(scope));
    request.or_else(|| front.instance.tracker.origin(at.task))
}

/// The code that a poll runs, and for how long; `None` if the poll has ended.
fn describe(front: &Front, poll: &Observed, now: Instant) -> Option<Blocking> {
    let at = poll.slot.at();
    if poll.slot.poll_in_progress() != Some(poll.number) {
        return None;
    }
    let request = front.instance.requests.with_value(at.request, |scope| {
        (scope.handler_first(), scope.kind().is_call())
    });
    let task = front.instance.tracker.task_name(at.task);
    let hook = stall::hook_name(at.hook);
    let (what, may_be_sync) = match (task, request, hook) {
        (Some(task), Some((request, _)), _) => (format!("task `{task}` in {request}"), None),
        (Some(task), None, Some(hook)) => (format!("task `{task}` in {hook}"), None),
        (Some(task), None, None) => (format!("task `{task}`"), None),
        (None, Some((request, true)), _) => (request, Some("entrypoint")),
        (None, Some((request, false)), _) => (request, None),
        (None, None, Some(hook)) => (hook.to_owned(), Some("function")),
        (None, None, None) => ("code of a task that is over".to_owned(), None),
    };
    Some(Blocking {
        what,
        may_be_sync,
        duration: now - poll.since,
    })
}

/// Code that blocks its thread.
struct Blocking {
    what: String,
    /// What a log line calls the code, if it may also be a plain `fn`, which runs where blocking is harmless.
    may_be_sync: Option<&'static str>,
    duration: Duration,
}

impl Blocking {
    fn long(&self) -> impl std::fmt::Display {
        humantime::format_duration(whole_milliseconds(self.duration))
    }

    fn warning(&self) -> String {
        let Self { what, .. } = self;
        // A poll is found at the first check after a second. Milliseconds would look more exact than that.
        let seconds = self.duration.as_secs();
        let or = self
            .may_be_sync
            .map(|what| format!(", or make the {what} a plain `fn`"));
        let or = or.unwrap_or_default();
        format!(
            "{what} has blocked its thread for {seconds} s; move blocking work to `tokio::task::spawn_blocking`{or}"
        )
    }
}

/// Rounds down to whole milliseconds, for log lines.
pub(crate) fn whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis() as u64)
}
