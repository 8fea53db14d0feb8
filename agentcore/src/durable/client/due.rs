//! Whether this process has a due job that no other process would run. The agent is busy meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::request::TrackerHandle;
use crate::util::sync::Mutex;

/// The due jobs of an embedded store, as far as the status is concerned.
pub(super) struct Due {
    tracker: TrackerHandle,
    hold: Mutex<Option<DueHold>>,
    /// Whether there is a hold, for the front, which takes no lock.
    is_held: AtomicBool,
    /// The number of submits. A look that began before a submit says nothing about that job.
    submits: AtomicU64,
    /// Whether this process takes jobs.
    is_working: AtomicBool,
}

/// Makes the agent busy while a due job waits in an embedded store, because no other process would run it.
struct DueHold(TrackerHandle);

impl DueHold {
    fn new(tracker: TrackerHandle) -> Self {
        tracker.begin_invocation(true);
        Self(tracker)
    }
}

impl Drop for DueHold {
    fn drop(&mut self) {
        self.0.end_invocation(true);
    }
}

impl Due {
    pub(super) fn new(tracker: TrackerHandle) -> Self {
        Self {
            tracker,
            hold: Mutex::default(),
            is_held: AtomicBool::new(false),
            submits: AtomicU64::new(0),
            is_working: AtomicBool::new(false),
        }
    }

    pub(super) fn is_working(&self) -> bool {
        self.is_working.load(Ordering::Acquire)
    }

    /// A due job has been submitted here.
    pub(super) fn submitted(&self) {
        self.submits.fetch_add(1, Ordering::Release);
    }

    /// Makes the agent busy until a look finds nothing.
    pub(super) fn hold(&self) {
        let mut hold = self.hold.lock();
        // Not after the worker has stopped, because nothing would end the hold then.
        if hold.is_none() && self.is_working() {
            *hold = Some(DueHold::new(self.tracker.clone()));
            self.is_held.store(true, Ordering::Release);
        }
    }

    /// Whether a due job makes the agent busy.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    fn end(&self, hold: &mut Option<DueHold>) -> Option<DueHold> {
        self.is_held.store(false, Ordering::Release);
        hold.take()
    }

    /// How many due jobs have been submitted here.
    pub(super) fn submits(&self) -> u64 {
        self.submits.load(Ordering::Acquire)
    }

    /// A look that began after so many `submits` has found nothing. Returns whether nothing has been submitted since; then the
    /// agent is no longer busy with due jobs.
    pub(super) fn nothing_is_due(&self, submits: u64) -> bool {
        let mut hold = self.hold.lock();
        let is_current = self.submits() == submits;
        let ended = is_current.then(|| self.end(&mut hold));
        drop(hold);
        drop(ended);
        is_current
    }

    pub(super) fn set_working(&self, is_working: bool) {
        let mut hold = self.hold.lock();
        self.is_working.store(is_working, Ordering::Release);
        let ended = (!is_working).then(|| self.end(&mut hold));
        drop(hold);
        drop(ended);
    }
}
