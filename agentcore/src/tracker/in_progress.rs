//! [`InProgress`]: counts the activities in progress, those that count as busy and those that only a stop waits for.
//!
//! There are two counters. Work moves between them in one direction only: an invocation that does not count begins a task that
//! does, and ends. A task never becomes such an invocation.
//!
//! Invariant: [`total`](InProgress::total) returns 0 only if nothing was in progress at some moment between its call and its
//! return. It reads the uncounted first. If they are 0, every task that one of them began is in the other counter by then, or
//! has ended; and the last one to end makes that counter 0.

use super::status::StatusCell;
use crate::util::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct InProgress {
    /// The activities that count as busy, and the resulting status.
    pub(crate) status: StatusCell,
    /// Invocations that do not count as busy.
    uncounted: AtomicU64,
}

impl InProgress {
    pub(crate) fn new(stamp: u32) -> Self {
        Self {
            status: StatusCell::new(stamp),
            uncounted: AtomicU64::new(0),
        }
    }

    pub(crate) fn begin_uncounted(&self) {
        self.uncounted.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends an uncounted invocation. True if it was the last one.
    pub(crate) fn end_uncounted(&self) -> bool {
        self.uncounted.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The number of all activities in progress.
    pub(crate) fn total(&self) -> usize {
        // The order matters; see the module.
        let uncounted = self.uncounted.load(Ordering::Acquire);
        uncounted as usize + self.status.view().count as usize
    }
}
