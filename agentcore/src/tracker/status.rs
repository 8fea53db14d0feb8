//! The status that `/ping` answers with, in one atomic word.
//!
//! The count of activities, the forced status, the custom ping handler's last answer and the time of the last change of the
//! *effective* status change together, so they share a word. Every event is one compare-and-swap from one consistent state
//! to the next, and a reader never sees one status with the stamp of another.
//!
//! ```text
//!  63          32 31 30 29 28 27                        0
//! ┌──────────────┬─────┬─────┬───────────────────────────┐
//! │ stamp (secs) │custom│force│ living activities         │
//! └──────────────┴─────┴─────┴───────────────────────────┘
//! ```

use crate::tracker::PingStatus;
use crate::util::sync::{AtomicU64, Ordering};

const COUNT_BITS: u32 = 28;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const FORCED_SHIFT: u32 = 28;
const CUSTOM_SHIFT: u32 = 30;
const STAMP_SHIFT: u32 = 32;

/// One consistent view of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusView {
    /// The number of activities that count as busy.
    pub(crate) count: u32,
    pub(crate) forced: Option<PingStatus>,
    /// The custom ping handler's last answer, where it differs from the automatic status.
    pub(crate) custom: Option<PingStatus>,
    /// The time of the last change of the effective status, in Unix seconds.
    pub(crate) stamp: u32,
}

impl StatusView {
    pub(super) fn unpack(word: u64) -> Self {
        Self {
            count: (word & COUNT_MAX) as u32,
            forced: unpack_override(word >> FORCED_SHIFT),
            custom: unpack_override(word >> CUSTOM_SHIFT),
            stamp: (word >> STAMP_SHIFT) as u32,
        }
    }

    pub(super) fn pack(self) -> u64 {
        u64::from(self.count)
            | pack_override(self.forced) << FORCED_SHIFT
            | pack_override(self.custom) << CUSTOM_SHIFT
            | u64::from(self.stamp) << STAMP_SHIFT
    }

    /// The status that `/ping` reports: the forced one, else the custom one, else the automatic one.
    pub(crate) fn effective(self) -> PingStatus {
        self.forced.or(self.custom).unwrap_or(self.automatic())
    }

    /// The status that follows from the activities alone.
    pub(crate) fn automatic(self) -> PingStatus {
        PingStatus::busy_if(self.count > 0)
    }
}

const fn pack_override(status: Option<PingStatus>) -> u64 {
    match status {
        None => 0,
        Some(PingStatus::Healthy) => 1,
        Some(PingStatus::HealthyBusy) => 2,
    }
}

const fn unpack_override(bits: u64) -> Option<PingStatus> {
    match bits & 0b11 {
        0 => None,
        1 => Some(PingStatus::Healthy),
        _ => Some(PingStatus::HealthyBusy),
    }
}

/// The status word. `clock` arguments return Unix seconds, and are called only when a change has to be stamped.
#[derive(Debug)]
pub(crate) struct StatusCell(AtomicU64);

impl StatusCell {
    pub(crate) fn new(stamp: u32) -> Self {
        let view = StatusView {
            count: 0,
            forced: None,
            custom: None,
            stamp,
        };
        Self(AtomicU64::new(view.pack()))
    }

    pub(crate) fn view(&self) -> StatusView {
        StatusView::unpack(self.0.load(Ordering::Acquire))
    }

    /// Counts one more activity.
    ///
    /// # Panics
    ///
    /// At 2²⁸ activities, because the count would wrap around to "idle".
    pub(crate) fn begin(&self, clock: impl Fn() -> u32) {
        self.change(clock, |view| {
            assert!(
                u64::from(view.count) < COUNT_MAX,
                "too many activities at once"
            );
            view.count += 1;
        });
    }

    /// Counts one activity less. True if it was the last.
    pub(crate) fn end(&self, clock: impl Fn() -> u32) -> bool {
        let after = self.change(clock, |view| {
            debug_assert!(view.count > 0, "an activity ended twice");
            view.count = view.count.saturating_sub(1);
        });
        after.count == 0
    }

    pub(crate) fn force(&self, status: Option<PingStatus>, clock: impl Fn() -> u32) {
        self.change(clock, |view| view.forced = status);
    }

    /// Sets the custom handler's answer; `None` after a failure, so that the automatic status applies. That is stamped if it
    /// differs from the last answer: a handler that fails on every poll changes the status once, which does not look like
    /// activity.
    pub(crate) fn set_custom(&self, status: Option<PingStatus>, clock: impl Fn() -> u32) {
        self.change(clock, |view| view.custom = status);
    }

    /// Starts the idle clock anew without a change of status.
    pub(crate) fn restamp(&self, now: u32) {
        self.update(|view| view.stamp = now);
    }

    /// Applies `event`, and stamps the word if the effective status has changed.
    fn change(&self, clock: impl Fn() -> u32, event: impl Fn(&mut StatusView)) -> StatusView {
        self.update(|view| {
            let before = view.effective();
            event(view);
            if view.effective() != before {
                view.stamp = clock();
            }
        })
    }

    fn update(&self, apply: impl Fn(&mut StatusView)) -> StatusView {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let mut view = StatusView::unpack(word);
            apply(&mut view);
            match self.0.compare_exchange_weak(
                word,
                view.pack(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return view,
                Err(current) => word = current,
            }
        }
    }
}
