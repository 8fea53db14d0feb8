//! A limit on how often something is done. It is a module so that a model checker can replace it.

use std::time::Duration;

use tokio::time::Instant;

/// The time since something was last done, as a limit on how often it is done.
#[derive(Debug)]
pub(crate) struct Interval {
    length: Duration,
    last: Option<Instant>,
}

impl Interval {
    /// An interval that is over until it is first asked for.
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, last: None }
    }

    /// Whether the interval is over. If it is, the next one begins.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        let is_over = self.last.is_none_or(|last| now - last >= self.length);
        if is_over {
            self.last = Some(now);
        }
        is_over
    }
}
