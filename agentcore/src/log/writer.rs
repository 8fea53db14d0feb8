//! Lines on their way to stderr, through a thread of their own.
//!
//! The reader of stderr may stop reading. Then a write blocks, and with it the thread that writes, which must never be the
//! front. So all lines go through a queue that is bounded in lines and in bytes. When it is full, the front drops its line,
//! and so do workers the lines of work that has not failed. For other lines the workers wait, as they would have for stderr
//! itself. The process ends whether or not anybody reads.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Condvar, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::config::LogFormat;
use crate::report;
use crate::util::sync::Mutex;

/// How many lines the queue holds.
const LINES_AHEAD: usize = 4096;

/// How many bytes all lines in the queue have together.
const BYTES_AHEAD: usize = 4 << 20;

/// What is written at a time, in bytes. A longer line is written alone.
const PIECE: usize = 64 * 1024;

/// How long lines gather after a piece has been written.
const PAUSE: Duration = Duration::from_millis(1);

/// How long the end of the process waits for its last lines.
const FLUSH: Duration = Duration::from_secs(1);

/// How often it looks for room for them.
const ROOM_EVERY: Duration = Duration::from_millis(1);

/// How the writer's own lines look.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

static ROOM: Room = Room::new(BYTES_AHEAD);

/// Lines that found no room since the last one that did.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Room in bytes, taken and given back.
///
/// Taking is one atomic operation. Threads that wait for room use the lock, and so does the writer that makes room. The front
/// never waits, so it takes no lock that a thread of lower priority can hold.
struct Room {
    left: AtomicUsize,
    most: usize,
    waiting: Mutex<()>,
    freed: Condvar,
}

impl Room {
    const fn new(most: usize) -> Self {
        Self {
            left: AtomicUsize::new(most),
            most,
            waiting: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// What is taken for a line of `bytes`. One that is larger than the queue takes all of it.
    fn of(&self, bytes: usize) -> usize {
        bytes.min(self.most)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let bytes = self.of(bytes);
        let take = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Waits until there is room.
    fn take(&self, bytes: usize) {
        if self.try_take(bytes) {
            return;
        }
        let mut waiting = self.waiting.lock();
        // Looked for under the lock, without which nobody is told: room that is made behind the look wakes the wait.
        while !self.try_take(bytes) {
            let woken = self.freed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives room back, and tells nobody.
    fn untake(&self, bytes: usize) {
        self.left.fetch_add(self.of(bytes), Ordering::AcqRel);
    }

    fn give_back(&self, bytes: usize) {
        self.untake(bytes);
        drop(self.waiting.lock());
        self.freed.notify_all();
    }
}

enum Entry {
    /// Has taken its room.
    Line(String),
    /// Everything before has been written.
    Flushed(SyncSender<()>),
}

/// Lines look so, if none has been asked to look otherwise.
pub(super) fn look(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// Writes one line, without its line break.
pub(crate) fn line(line: String) {
    let Some((queue, line)) = queued(line) else {
        return;
    };
    let bytes = line.capacity();
    if !report::may_not_wait() {
        ROOM.take(bytes);
        let _ = queue.send(Entry::Line(line));
    } else if !ROOM.try_take(bytes) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    } else if queue.try_send(Entry::Line(line)).is_err() {
        // The queue is full of lines: the writer makes room, and tells of it, with each that it writes.
        ROOM.untake(bytes);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same, for one of the last lines of a process: whatever thread this is, it waits, and not for ever.
pub(crate) fn last_line(line: String) {
    let Some((queue, line)) = queued(line) else {
        return;
    };
    let deadline = Instant::now() + FLUSH;
    while !ROOM.try_take(line.capacity()) {
        if Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(ROOM_EVERY);
    }
    let bytes = line.capacity();
    if !send_until(deadline, queue, Entry::Line(line)) {
        ROOM.untake(bytes);
    }
}

fn queued(mut line: String) -> Option<(&'static SyncSender<Entry>, String)> {
    line.push('\n');
    // A text that has grown by doubling would take twice the room that it needs.
    if line.capacity() - line.len() > 1024 {
        line.shrink_to_fit();
    }
    let Some(queue) = queue() else {
        // No thread to be had: straight on, and nothing to be done if that fails.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        return None;
    };
    Some((queue, line))
}

/// Whether there was room in time. A queue that is full has a slow reader, not necessarily none.
fn send_until(deadline: Instant, queue: &SyncSender<Entry>, mut entry: Entry) -> bool {
    while let Err(TrySendError::Full(refused)) = queue.try_send(entry) {
        if Instant::now() >= deadline {
            return false;
        }
        entry = refused;
        std::thread::sleep(ROOM_EVERY);
    }
    true
}

/// Waits, not for ever, until all that has been written is out.
pub(crate) fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + FLUSH;
    let (sender, flushed) = sync_channel(1);
    if !send_until(deadline, queue, Entry::Flushed(sender)) {
        return;
    }
    let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

fn queue() -> Option<&'static SyncSender<Entry>> {
    if let Some(queue) = QUEUE.get() {
        return Some(queue);
    }
    let (sender, entries) = sync_channel(LINES_AHEAD);
    let writer = std::thread::Builder::new().name("agentcore-log".to_owned());
    // Of two that come here at once, one has started a thread for nothing; it ends with its queue.
    writer.spawn(move || write_all(&entries)).ok()?;
    Some(QUEUE.get_or_init(|| sender))
}

/// Writes each line when it comes, unless another has been written within the last millisecond. Then lines gather, and are
/// written in one piece. Waking this thread for each of 100 000 lines a second costs more than making the lines.
fn write_all(entries: &Receiver<Entry>) {
    let mut stderr = io::stderr();
    let mut piece = Vec::new();
    while let Ok(first) = entries.recv() {
        let mut room = 0;
        let mut flushed = None;
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => {
                    // A piece never grows beyond `PIECE`, so its memory does not either.
                    if piece.len() + line.len() > PIECE {
                        // A closed stderr is no reason to fail.
                        let _ = stderr.write_all(&piece);
                        piece.clear();
                    }
                    if line.len() > PIECE {
                        let _ = stderr.write_all(line.as_bytes());
                    } else {
                        piece.extend_from_slice(line.as_bytes());
                    }
                    room += ROOM.of(line.capacity());
                }
                Entry::Flushed(told) => {
                    flushed = Some(told);
                    break;
                }
            }
            next = if room < PIECE {
                entries.try_recv().ok()
            } else {
                None
            };
        }
        let _ = stderr.write_all(&piece);
        piece.clear();
        if room > 0 {
            ROOM.give_back(room);
        }
        if let Some(told) = flushed {
            let _ = told.try_send(());
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let format = FORMAT.get().copied().unwrap_or(LogFormat::Json);
            let message = format!("{dropped} log lines were dropped: nobody read stderr");
            let _ = writeln!(stderr, "{}", format.line(tracing::Level::WARN, &message));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_taken_is_waited_for_and_never_by_the_front() {
        static ROOM: Room = Room::new(10);
        assert!(ROOM.try_take(6));
        assert!(!ROOM.try_take(6));
        let waiting = std::thread::spawn(|| {
            // A line that is larger than the queue is let through alone.
            ROOM.take(20);
            assert!(!ROOM.try_take(1));
            ROOM.give_back(20);
        });
        // Whether the other waits yet or not: it is told.
        ROOM.give_back(6);
        waiting.join().unwrap();
        assert!(ROOM.try_take(10));
    }
}
