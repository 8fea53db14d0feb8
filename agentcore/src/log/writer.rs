//! Lines on their way to stderr, through a thread of their own.
//!
//! Whoever reads stderr may stop reading. Then a write blocks, and with it whoever writes; the front must never be that.
//! So all lines go through a bounded queue. When it is full, the front drops its line and the others wait, as they would
//! have for stderr itself.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

const LINES_AHEAD: usize = 1024;

/// How long the end of the process waits for its last lines.
const FLUSH: Duration = Duration::from_secs(1);

/// How often it looks whether there is room for them.
const ROOM_EVERY: Duration = Duration::from_millis(1);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

/// Lines that found no room since the last one that did.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MUST_NOT_WAIT: Cell<bool> = const { Cell::new(false) };
}

enum Entry {
    Line(String),
    /// Everything before has been written.
    Flushed(SyncSender<()>),
}

/// From now on, what this thread writes never makes it wait.
pub(crate) fn never_wait() {
    MUST_NOT_WAIT.set(true);
}

/// Writes one line, without its line break.
pub(crate) fn line(mut line: String) {
    line.push('\n');
    let Some(queue) = queue() else {
        // No thread to be had: straight on, and nothing to be done if that fails.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        return;
    };
    if !MUST_NOT_WAIT.get() {
        let _ = queue.send(Entry::Line(line));
    } else if let Err(TrySendError::Full(_)) = queue.try_send(Entry::Line(line)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits, not for ever, until all that has been written is out.
pub(crate) fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + FLUSH;
    let (sender, flushed) = sync_channel(1);
    let mut marker = Entry::Flushed(sender);
    // A queue that is full has a slow reader, not necessarily none.
    while let Err(TrySendError::Full(refused)) = queue.try_send(marker) {
        if Instant::now() >= deadline {
            return;
        }
        marker = refused;
        std::thread::sleep(ROOM_EVERY);
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

fn write_all(entries: &Receiver<Entry>) {
    let mut stderr = io::stderr();
    for entry in entries {
        // A closed stderr is no reason to fail.
        match entry {
            Entry::Line(line) => {
                let _ = stderr.write_all(line.as_bytes());
            }
            Entry::Flushed(told) => {
                let _ = told.try_send(());
            }
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = writeln!(
                stderr,
                "{dropped} log lines were dropped: nobody read stderr"
            );
        }
    }
}
