//! The driver's timer.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A timer of one length that is started again and again.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    length: Duration,
    runs: bool,
}

impl Timer {
    /// A timer that does not run.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub(super) fn new(length: Duration) -> Self {
        Self {
            sleep: Box::pin(sleep(length)),
            length,
            runs: false,
        }
    }

    /// Starts the timer unless it runs. Ready when it ends, and it does not run then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.runs, true) {
            self.sleep.as_mut().reset(Instant::now() + self.length);
        }
        let ended = self.sleep.as_mut().poll(cx);
        self.runs = ended.is_pending();
        ended
    }
}
