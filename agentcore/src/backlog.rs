//! Large requests that no worker has come to yet, and the rest that the front takes meanwhile.
//!
//! The front comes before the workers on a processor that they share, so each packet that arrives puts a handler aside
//! which reads or writes JSON, and its cache with it: 1.7 times for a request of 64 KiB, at about 10 µs each. That buys
//! nothing while more requests wait than there are workers. So the front, when it has nothing left to do, lets them work
//! undisturbed for a moment, and then finds several packets at once. (Network cards do the same with their interrupts.)
//!
//! Small requests need no such thing: many of them arrive with every packet that the front wakes up for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A request from this size on takes a worker longer than it takes the front to be woken, in bytes.
const LARGE: usize = 16 * 1024;

/// What a ping may wait for longer, where large requests wait too. It was 12 % faster than 100 µs; longer gains nothing.
const REST: Duration = Duration::from_micros(200);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Backlog(AtomicUsize);

impl Backlog {
    /// A place for a request with `length` bytes, unless it is too small to matter.
    pub(crate) fn join(self: &Arc<Self>, length: usize) -> Option<InBacklog> {
        (length >= LARGE).then(|| {
            self.0.fetch_add(1, Ordering::Relaxed);
            InBacklog(Arc::clone(self))
        })
    }

    /// Blocks the calling thread for a moment if more requests wait than there are `workers`.
    pub(crate) fn rest_behind(&self, workers: usize) {
        if self.0.load(Ordering::Relaxed) > workers {
            std::thread::sleep(REST);
        }
    }
}

/// A request that waits for a worker, until this is dropped.
#[derive(Debug)]
pub(crate) struct InBacklog(Arc<Backlog>);

impl Drop for InBacklog {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_requests_count_and_only_while_they_wait() {
        let backlog = Arc::<Backlog>::default();
        assert!(backlog.join(LARGE - 1).is_none());
        let waiting = [backlog.join(LARGE), backlog.join(10 * LARGE)];
        assert_eq!(backlog.0.load(Ordering::Relaxed), 2);
        drop(waiting);
        assert_eq!(backlog.0.load(Ordering::Relaxed), 0);
    }
}
