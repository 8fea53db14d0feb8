//! [`Phase`]: where in its life the server is, which decides what a request is answered.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where in its life the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Start hooks run: `/ping` answers 503. The platform takes its snapshot at the first 200.
    Starting,
    Serving,
    /// No new invocations; `/ping` answers, work in progress goes on.
    Draining,
}

/// The phase, readable from every connection.
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

    /// Phases only go forward.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.fetch_max(to as u8, Ordering::AcqRel);
    }
}
