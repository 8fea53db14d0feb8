//! [`Phase`]: the phase of the server's life, on which the answers to requests depend.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// The phase of the server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Layers are built and start hooks run. `/ping` answers 503. The platform takes its snapshot at the first 200.
    Starting,
    Serving,
    /// New invocations are refused, `/ping` answers, and work in progress goes on.
    Draining,
}

/// The current phase, which every connection can read.
#[derive(Debug)]
pub(crate) struct PhaseCell {
    phase: AtomicU8,
    advanced: Notify,
}

impl PhaseCell {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            advanced: Notify::new(),
        }
    }

    pub(crate) fn get(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Moves on to a later phase. An earlier one is ignored.
    pub(crate) fn advance(&self, to: Phase) {
        self.phase.fetch_max(to as u8, Ordering::AcqRel);
        self.advanced.notify_waiters();
    }

    /// Completes in `phase` or a later one.
    pub(crate) async fn reached(&self, phase: Phase) {
        loop {
            // Made before the check, so that an advance between the two is not missed.
            let advanced = self.advanced.notified();
            if self.get() >= phase {
                return;
            }
            advanced.await;
        }
    }
}
