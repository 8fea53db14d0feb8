//! Lines on their way to stderr, through a thread of their own.
//!
//! Whoever reads stderr may stop reading. Then a write blocks, and with it whoever writes; the front must never be that.
//! So all lines go through a bounded queue. When it is full, the front drops its line and the workers wait, as they would
//! have for stderr itself. The process ends whether or not anybody reads.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::config::LogFormat;

const LINES_AHEAD: usize = 1024;

/// How long the end of the process waits for its last lines.
const FLUSH: Duration = Duration::from_secs(1);

/// How often it looks whether there is room for them.
const ROOM_EVERY: Duration = Duration::from_millis(1);

/// How the writer's own lines look.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

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

/// Lines look so, if none has been asked to look otherwise.
pub(super) fn look(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// From now on, what this thread writes never makes it wait.
pub(crate) fn never_wait() {
    MUST_NOT_WAIT.set(true);
}

/// Does `work`, in which what this thread writes does not make it wait.
#[cfg(feature = "otel")]
pub(crate) fn without_waiting<R>(work: impl FnOnce() -> R) -> R {
    let before = MUST_NOT_WAIT.replace(true);
    let done = work();
    MUST_NOT_WAIT.set(before);
    done
}

/// Writes one line, without its line break.
pub(crate) fn line(line: String) {
    let Some((queue, entry)) = queued(line) else {
        return;
    };
    if !MUST_NOT_WAIT.get() {
        let _ = queue.send(entry);
    } else if let Err(TrySendError::Full(_)) = queue.try_send(entry) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same, for one of the last lines of a process: whatever thread this is, it waits, and not for ever.
pub(crate) fn last_line(line: String) {
    if let Some((queue, entry)) = queued(line) {
        send_until(Instant::now() + FLUSH, queue, entry);
    }
}

fn queued(mut line: String) -> Option<(&'static SyncSender<Entry>, Entry)> {
    line.push('\n');
    let Some(queue) = queue() else {
        // No thread to be had: straight on, and nothing to be done if that fails.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        return None;
    };
    Some((queue, Entry::Line(line)))
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
            let format = FORMAT.get().copied().unwrap_or(LogFormat::Json);
            let message = format!("{dropped} log lines were dropped: nobody read stderr");
            let _ = writeln!(stderr, "{}", format.line(tracing::Level::WARN, &message));
        }
    }
}
