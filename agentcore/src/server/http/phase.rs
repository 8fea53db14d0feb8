//! [`Phase`]: the phase of the server's life, on which the answers to requests depend.

use std::sync::atomic::{AtomicU8, Ordering};

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
pub(crate) struct PhaseCell(AtomicU8);

impl PhaseCell {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }

    pub(crate) fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Moves on to a later phase. An earlier one is ignored.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.fetch_max(to as u8, Ordering::AcqRel);
    }
}
