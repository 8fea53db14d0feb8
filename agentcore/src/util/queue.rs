//! Bounded queues to threads that may block, such as those of the log.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// How long the end of the process waits for a queue.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// How often a wait checks for room. A channel of std has no wake-up for a sender with a deadline, and only the last lines of a
/// process wait here.
pub(crate) const ROOM_EVERY: Duration = Duration::from_millis(1);

/// Sends `entry` and returns whether there was room before `deadline`. A full queue may only have a slow reader.
pub(crate) fn send_until<T>(deadline: Instant, queue: &SyncSender<T>, mut entry: T) -> bool {
    while let Err(TrySendError::Full(refused)) = queue.try_send(entry) {
        if Instant::now() >= deadline {
            return false;
        }
        entry = refused;
        std::thread::sleep(ROOM_EVERY);
    }
    true
}

/// Waits until everything in `queue` is done, at most [`FLUSH`]. The entry that `last` makes has to answer when its turn comes.
pub(crate) fn flush<T>(queue: &SyncSender<T>, last: impl FnOnce(SyncSender<()>) -> T) {
    let deadline = Instant::now() + FLUSH;
    let (sender, flushed) = sync_channel(1);
    if send_until(deadline, queue, last(sender)) {
        let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}
