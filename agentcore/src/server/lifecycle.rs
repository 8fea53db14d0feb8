//! From start to stop: what may be served when, and who decides.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

use crate::platform::Signals;

/// Where in its life the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Start hooks run: `/ping` answers 503. The platform takes its snapshot at the first 200.
    Starting,
    Serving,
    /// No new invocations; `/ping` answers, work in progress goes on.
    Draining,
}

/// The phase, readable from every connection.
#[derive(Debug)]
pub(super) struct PhaseCell(AtomicU8);

impl PhaseCell {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }

    pub(super) fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Phases only go forward.
    pub(super) fn advance(&self, to: Phase) {
        self.0.fetch_max(to as u8, Ordering::AcqRel);
    }
}

/// What the owner of the server wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Drain,
}

/// The owner's end: asks for a drain, and for an immediate stop when dropped.
#[derive(Debug)]
pub(super) struct Control(watch::Sender<Wish>);

/// The server's end of [`Control`].
#[derive(Debug)]
pub(super) struct Stop(watch::Receiver<Wish>);

impl Control {
    pub(super) fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(Wish::Run);
        (Self(sender), Stop(receiver))
    }

    pub(super) fn drain(&self) {
        self.0.send_replace(Wish::Drain);
    }
}

impl Stop {
    /// Completes when a drain is asked for; never if the owner leaves first.
    pub(super) async fn drain_wanted(&self) {
        if self
            .0
            .clone()
            .wait_for(|wish| *wish == Wish::Drain)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when the owner has gone.
    pub(super) async fn abandoned(&self) {
        // One receiver for all changes: a fresh one would see the last of them again and again.
        let mut wishes = self.0.clone();
        while wishes.changed().await.is_ok() {}
    }
}

/// Completes at the next signal, with its name; never where signals are left to the program.
pub(super) async fn next_signal(signals: &mut Option<Signals>) -> &'static str {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}
