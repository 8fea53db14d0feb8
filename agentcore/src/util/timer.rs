//! A timer for tasks that wait for other events too. It is a module so that a model checker can replace it.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A timer of a fixed length that can be restarted.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    length: Duration,
    runs: bool,
}

impl Timer {
    /// A timer that does not run yet. Its future is made at the first start.
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            sleep: None,
            length,
            runs: false,
        }
    }

    /// Starts the timer unless it runs. Ready when the time is over; the next poll starts it again.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let length = self.length;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(length)));
        if !self.runs {
            sleep.as_mut().reset(Instant::now() + length);
        }
        let ended = sleep.as_mut().poll(cx);
        self.runs = ended.is_pending();
        ended
    }
}
