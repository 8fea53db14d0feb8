//! The time limits of a streamed reply: for the whole invocation, and for a pause between two items.
//!
//! The task that polls the body checks the limits only when the body has no frame ready. There is one timer, and an item does
//! not move it: if it fires early, because items came meanwhile, it starts again for the rest. So a limit costs two stores in
//! memory per item, and without a limit there is no cost.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::error::TimedOut;
use crate::report::{Failure, Outcome};
use crate::request;

/// The time limits of a streamed reply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// The end of the invocation's time, and the length of that time.
    total: Option<(Instant, Duration)>,
    /// The maximum pause between two items.
    idle: Option<Duration>,
}

/// The limit that a streamed reply has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Total(TimedOut),
    Idle(Duration),
}

impl Limits {
    /// Limits whose time begins now. A time that the clock cannot represent is no limit.
    pub(crate) fn begin(total: Option<Duration>, idle: Option<Duration>) -> Self {
        let total = total.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        let idle = idle.filter(|limit| Instant::now().checked_add(*limit).is_some());
        Self { total, idle }
    }

    pub(super) fn are_set(self) -> bool {
        self.total.is_some() || self.idle.is_some()
    }

    /// Whether items must be recorded in [`Progress`].
    pub(super) fn look_at_items(self) -> bool {
        self.idle.is_some()
    }

    /// Completes when a limit is exceeded. Must be polled each time that the producer waits.
    pub(super) async fn exceeded(self, progress: &Progress) -> Late {
        let mut since = Instant::now();
        let mut timer = pin!(sleep_until(self.next(since)));
        // A producer that has used up the task's budget has also used up the timer's, which would then never fire.
        unconstrained(poll_fn(|cx| {
            if progress.take() != Progress::WAITS {
                since = Instant::now();
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                if progress.is_sending() {
                    // The client is slow, not the producer.
                    since = now;
                }
                if let Some((_, limit)) = self.total.filter(|(end, _)| now >= *end) {
                    return Poll::Ready(Late::Total(TimedOut::new(limit)));
                }
                if let Some(limit) = self.idle.filter(|limit| now - since >= *limit) {
                    return Poll::Ready(Late::Idle(limit));
                }
                timer.as_mut().reset(self.next(since));
            }
            Poll::Pending
        }))
        .await
    }

    /// The earliest time at which a limit can be exceeded, if the last item came at `since`.
    fn next(self, since: Instant) -> Instant {
        let total = self.total.map(|(end, _)| end);
        let idle = self.idle.and_then(|limit| since.checked_add(limit));
        // Without a limit, this function is not called.
        total.into_iter().chain(idle).min().unwrap_or(since)
    }
}

impl Late {
    /// Records the limit for the invocation's line and telemetry, and cancels what the handler has left running.
    pub(super) fn report(&self) {
        request::fail(Failure::error(request::the_stream(), self.to_string()));
        request::note(Outcome::Timeout);
        if let Some(scope) = request::current() {
            scope.cancel();
        }
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(late) => late.fmt(f),
            Self::Idle(limit) => {
                write!(f, "no item for {}", humantime::format_duration(*limit))
            }
        }
    }
}

/// The state of the producer of a streamed reply. One task writes and reads it.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// The producer makes an item, and none has been sent since the last `take`.
    const WAITS: u8 = 0;
    /// An item waits for the client.
    const SENDING: u8 = 1;
    /// An item has been sent since the last `take`.
    const SENT: u8 = 2;

    pub(super) fn set_sending(&self) {
        self.0.store(Self::SENDING, Ordering::Relaxed);
    }

    pub(super) fn set_sent(&self) {
        self.0.store(Self::SENT, Ordering::Relaxed);
    }

    fn is_sending(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::SENDING
    }

    /// Returns the state, and resets `SENT` to `WAITS`.
    fn take(&self) -> u8 {
        let state = self.0.load(Ordering::Relaxed);
        if state == Self::SENT {
            self.0.store(Self::WAITS, Ordering::Relaxed);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(total: Option<Duration>, idle: Option<Duration>) -> Limits {
        Limits::begin(total, idle)
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_time_counts_from_the_beginning_whatever_comes() {
        let (began, progress) = (Instant::now(), Progress::default());
        let limits = limits(Some(3 * SECOND), None);
        advance(SECOND).await;
        progress.set_sent();
        let late = limits.exceeded(&progress).await;
        assert_eq!(late, Late::Total(TimedOut::new(3 * SECOND)));
        assert_eq!(late.to_string(), "timed out after 3s");
        assert_eq!(began.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_begins_the_pause_anew() {
        let (began, progress) = (Instant::now(), Progress::default());
        let mut exceeded = pin!(limits(None, Some(3 * SECOND)).exceeded(&progress));
        // It is polled when the producer waits again, and the timer is not moved.
        for _ in 0..4 {
            tokio::select! {
                biased;
                late = &mut exceeded => panic!("{late}"),
                () = tokio::time::sleep(2 * SECOND) => progress.set_sent(),
            }
        }
        let late = exceeded.await;
        assert_eq!(late, Late::Idle(3 * SECOND));
        assert_eq!(late.to_string(), "no item for 3s");
        assert_eq!(began.elapsed(), 11 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_no_pause_of_the_producer() {
        let (began, progress) = (Instant::now(), Progress::default());
        let mut exceeded = pin!(limits(None, Some(3 * SECOND)).exceeded(&progress));
        progress.set_sending();
        tokio::select! {
            biased;
            late = &mut exceeded => panic!("{late}"),
            () = tokio::time::sleep(100 * SECOND) => progress.set_sent(),
        }
        assert_eq!(exceeded.await, Late::Idle(3 * SECOND));
        assert_eq!(began.elapsed(), 103 * SECOND);
    }

    #[tokio::test]
    async fn the_longest_times_are_no_limits() {
        assert!(!limits(Some(Duration::MAX), Some(Duration::MAX)).are_set());
    }
}
