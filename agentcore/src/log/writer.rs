//! Writes lines to stderr, on a separate thread.
//!
//! The reader of stderr may stop reading. Then a write blocks its thread, which must never be the front. So all lines go through
//! a queue that is bounded in lines and in bytes. When it is full, the front drops its line, and so do workers the lines of work
//! that has not failed. For other lines the workers wait, as they would for stderr itself. The process ends even if nothing reads
//! stderr.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::config::LogFormat;
use crate::report;
use crate::util::queue::{self, FLUSH, ROOM_EVERY};
use crate::util::sync::Mutex;

/// The most lines in the queue.
const LINES_AHEAD: usize = 4096;

/// The most bytes of all lines in the queue together.
const BYTES_AHEAD: usize = 4 << 20;

/// The most bytes that one write takes. A longer line is written alone.
const PIECE: usize = 64 * 1024;

/// How long lines are collected after a write.
const PAUSE: Duration = Duration::from_millis(1);

/// The format of the writer's own lines.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

static ROOM: Room = Room::new(BYTES_AHEAD);

/// The lines dropped since the last report of dropped lines.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Room in the queue, in bytes.
///
/// To take room is one atomic operation. Threads that wait for room use the lock, and so does the writer that makes room. The
/// front never waits, so it takes no lock that a thread of lower priority can hold.
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

    /// The room that a line of `bytes` takes. A line that is larger than the queue takes all of it.
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
        // Checked again under the lock: `give_back` takes it before it notifies, so room that is made after this check wakes the
        // wait.
        while !self.try_take(bytes) {
            let woken = self.freed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives room back without waking threads that wait for it.
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
    /// A line that has taken its room.
    Line(String),
    /// A request of `flush`, answered when everything before it has been written.
    Flushed(SyncSender<()>),
}

/// Sets the format of the writer's own lines, if none is set yet.
pub(super) fn look(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// Writes one line, which has no line break.
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
        // The queue is full of lines. The writer notifies waiting threads after each write, so this need not.
        ROOM.untake(bytes);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes one of the last lines of a process. Any thread, the front too, waits for room, but at most [`FLUSH`].
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
    if !queue::send_until(deadline, queue, Entry::Line(line)) {
        ROOM.untake(bytes);
    }
}

fn queued(mut line: String) -> Option<(&'static SyncSender<Entry>, String)> {
    line.push('\n');
    // Text that has grown by doubling may occupy twice its length.
    if line.capacity() - line.len() > 1024 {
        line.shrink_to_fit();
    }
    let Some(queue) = queue() else {
        // The thread could not be started: the line is written here, and lost if that fails.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        return None;
    };
    Some((queue, line))
}

/// Waits until all queued lines are written, at most [`FLUSH`].
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue::flush(queue, Entry::Flushed);
    }
}

fn queue() -> Option<&'static SyncSender<Entry>> {
    if let Some(queue) = QUEUE.get() {
        return Some(queue);
    }
    let (sender, entries) = sync_channel(LINES_AHEAD);
    let writer = std::thread::Builder::new().name("agentcore-log".to_owned());
    // If two threads come here at once, the second queue is dropped, and its thread ends.
    writer.spawn(move || write_all(&entries)).ok()?;
    Some(QUEUE.get_or_init(|| sender))
}

/// Writes each line when it arrives, unless another was written within the last millisecond. Then lines are collected and written
/// at once: to wake this thread for each of 100 000 lines a second costs more than to make the lines.
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
                    // A piece never grows beyond `PIECE`, and so its memory stays bounded.
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
            let message = format!("{dropped} log lines were dropped: stderr was full");
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
            // A line that is larger than the queue takes all of it.
            ROOM.take(20);
            assert!(!ROOM.try_take(1));
            ROOM.give_back(20);
        });
        // The other thread may wait already or not: it gets the room.
        ROOM.give_back(6);
        waiting.join().unwrap();
        assert!(ROOM.try_take(10));
    }
}
