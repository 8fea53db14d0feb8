//! The thread that owns the connection and carries out the calls.

use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::broadcast;

use super::open::{Locks, Opened, open};
use crate::engine::error::EngineError;
use crate::engine::{Notice, Reply};
use crate::platform;
use crate::util::sync::{AtomicBool, AtomicUsize, Ordering, oneshot};

/// How long a call waits for its turn, and for locks of other processes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most calls of one transaction.
const MOST_CALLS: usize = 256;

/// Whether a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The most bytes of calls that wait and may be dropped, and what each of them takes beside its text.
const MOST_WAITING: usize = 64 * 1024 * 1024;
const BYTES_OF_A_CALL: usize = 4096;

/// What happens to a call whose caller has gone, or that has waited for longer than [`PATIENCE`], as when a disk hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// It is dropped, because its caller has been told that it failed. The text that goes along has so many bytes. If too
    /// many of such calls wait, further ones fail at once.
    IsDropped { bytes: usize },
    /// It is carried out: it is of a run, which has no other way to end. The running jobs bound their number.
    IsCarriedOut,
}

/// The room that a waiting call takes.
struct Room {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    /// `None` if too much waits.
    fn take(waiting: &Arc<AtomicUsize>, late: Lateness) -> Option<Self> {
        let bytes = match late {
            Lateness::IsDropped { bytes } => BYTES_OF_A_CALL + bytes,
            Lateness::IsCarriedOut => 0,
        };
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let room = Self {
            waiting: waiting.clone(),
            bytes,
        };
        (bytes == 0 || before + bytes <= MOST_WAITING).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A handle of the thread, which ends when this is dropped.
pub(super) struct Thread {
    calls: Sender<Message>,
    notices: broadcast::Sender<Notice>,
    is_reachable: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("is_reachable", &self.is_reachable())
            .finish_non_exhaustive()
    }
}

enum Message {
    Call(Waiting),
    Close,
}

/// A call that waits for its turn.
struct Waiting {
    since: Instant,
    access: Access,
    late: Lateness,
    call: Box<dyn Call>,
    _room: Room,
}

impl Waiting {
    /// Whether its caller takes it for failed, so that it must not be carried out any more.
    fn is_over(&self) -> bool {
        let is_late = || self.since.elapsed() >= PATIENCE || self.call.is_given_up();
        self.late != Lateness::IsCarriedOut && is_late()
    }
}

impl Thread {
    pub(super) fn start(
        path: PathBuf,
        locks: Locks,
        notices: broadcast::Sender<Notice>,
    ) -> std::io::Result<Self> {
        let (calls, received) = channel();
        let is_reachable = Arc::new(AtomicBool::new(true));
        let mut store = Store {
            path,
            locks,
            file: None,
            is_reachable: is_reachable.clone(),
        };
        std::thread::Builder::new()
            .name("agentcore-sqlite".to_owned())
            .spawn(move || {
                platform::step_back();
                store.serve(&received);
            })?;
        Ok(Self {
            calls,
            notices,
            is_reachable,
            waiting: Arc::default(),
        })
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.is_reachable.load(Ordering::Relaxed)
    }

    /// Closes the file once the calls before this one are over.
    pub(super) fn close(&self) {
        // The thread lives as long as this value.
        let _ = self.calls.send(Message::Close);
    }

    /// Has the thread carry out `call`. The notices that it adds are sent once its changes are stored.
    pub(super) fn call<'a, T: Send + 'static>(
        &self,
        access: Access,
        late: Lateness,
        call: impl FnOnce(&Connection, &mut Vec<Notice>) -> Result<T, EngineError> + Send + 'static,
    ) -> Reply<'a, T> {
        let Some(room) = Room::take(&self.waiting, late) else {
            self.is_reachable.store(false, Ordering::Relaxed);
            let error = EngineError::Unreachable("too many calls wait for the file".to_owned());
            return Box::pin(std::future::ready(Err(error)));
        };
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Answered {
            state: State::Asked(call),
            notices: Vec::new(),
            listeners: self.notices.clone(),
            reply,
        });
        let waiting = Waiting {
            since: Instant::now(),
            access,
            late,
            call,
            _room: room,
        };
        let _ = self.calls.send(Message::Call(waiting));
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                Err(EngineError::Unreachable(
                    "the thread of the file has ended".to_owned(),
                ))
            })
        })
    }
}

/// A call, without the types of its answer and its closure.
trait Call: Send {
    /// Carries the call out within a transaction. Returns whether its changes are kept.
    fn run(&mut self, file: &Connection) -> Ran;
    /// Whether nothing waits for the answer.
    fn is_given_up(&self) -> bool;
    /// Hands over the answer, once the transaction is stored; or the error that kept it from that.
    fn settle(self: Box<Self>, stored: Result<(), EngineError>);
}

enum Ran {
    Keep,
    Undo,
    FileIsBroken(EngineError),
}

struct Answered<F, T> {
    state: State<F, T>,
    notices: Vec<Notice>,
    listeners: broadcast::Sender<Notice>,
    reply: oneshot::Sender<Result<T, EngineError>>,
}

enum State<F, T> {
    Asked(F),
    Ran(Result<T, EngineError>),
    Running,
}

impl<F, T> Call for Answered<F, T>
where
    F: FnOnce(&Connection, &mut Vec<Notice>) -> Result<T, EngineError> + Send,
    T: Send,
{
    fn run(&mut self, file: &Connection) -> Ran {
        let State::Asked(call) = mem::replace(&mut self.state, State::Running) else {
            return Ran::Undo;
        };
        let answer = call(file, &mut self.notices);
        let ran = match &answer {
            Ok(_) => Ran::Keep,
            Err(error) if error.is_temporary() => Ran::FileIsBroken(error.clone()),
            Err(_) => Ran::Undo,
        };
        self.state = State::Ran(answer);
        ran
    }

    fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    fn settle(self: Box<Self>, stored: Result<(), EngineError>) {
        let answer = match (stored, self.state) {
            (Ok(()), State::Ran(answer)) => answer,
            (Err(_), State::Ran(Err(own))) => Err(own),
            (Err(error), _) => Err(error),
            (Ok(()), State::Asked(_) | State::Running) => Err(EngineError::Unreachable(
                "the call has not been made".to_owned(),
            )),
        };
        if answer.is_ok() {
            for notice in self.notices {
                let _ = self.listeners.send(notice);
            }
        }
        // The caller may have dropped its future.
        let _ = self.reply.send(answer);
    }
}

/// The state of the thread.
struct Store {
    path: PathBuf,
    locks: Locks,
    file: Option<Opened>,
    is_reachable: Arc<AtomicBool>,
}

impl Store {
    fn serve(&mut self, received: &Receiver<Message>) {
        while let Ok(first) = received.recv() {
            let mut batch = Vec::new();
            let mut close = false;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Close => close = true,
                    Message::Call(call) => {
                        batch.push(call);
                        if batch.len() < MOST_CALLS {
                            next = received.try_recv().ok();
                        }
                    }
                }
            }
            self.carry_out(batch);
            if close {
                self.file = None;
            }
        }
    }

    fn carry_out(&mut self, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }
        let kept = self.file.take().filter(|file| {
            let is_there = file.is_at(&self.path);
            if !is_there {
                let path = self.path.display();
                tracing::warn!(
                    target: "agentcore",
                    "{path} has been moved or deleted; durable jobs are stored in a new file there"
                );
            }
            is_there
        });
        let opened = match kept {
            Some(file) => Ok(file),
            None => open(&self.path, self.locks),
        };
        match opened {
            Ok(file) => {
                let is_usable = transaction(&file.file, batch, &self.is_reachable);
                self.file = is_usable.then_some(file);
            }
            Err(error) => settle(batch, &Err(error), &self.is_reachable),
        }
    }
}

/// Carries out the calls in one transaction. Returns whether the file can be used afterwards.
fn transaction(file: &Connection, batch: Vec<Waiting>, is_reachable: &AtomicBool) -> bool {
    let batch = match begin(file, batch, is_reachable) {
        Ok(batch) if batch.is_empty() => return true,
        Ok(batch) => batch,
        Err((batch, error)) => {
            settle(batch, &Err(error), is_reachable);
            return false;
        }
    };
    // It is looked at now, because the wait for the lock counts.
    let (late, mut batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(Waiting::is_over);
    for waiting in late {
        let why = "the file did not answer in time, and the call was dropped".to_owned();
        waiting.call.settle(Err(EngineError::Unreachable(why)));
    }
    let carried_out = batch
        .iter_mut()
        .try_for_each(|waiting| one(file, &mut *waiting.call));
    let stored = carried_out.and_then(|()| Ok(file.execute_batch("COMMIT")?));
    if stored.is_err() {
        // Closing the file would undo it too.
        let _ = file.execute_batch("ROLLBACK");
    }
    let is_usable = stored.is_ok();
    settle(batch, &stored, is_reachable);
    is_usable
}

/// Begins the transaction. Returns the calls that are to be made in it: not those that have waited too long for a lock.
fn begin(
    file: &Connection,
    mut batch: Vec<Waiting>,
    is_reachable: &AtomicBool,
) -> Result<Vec<Waiting>, (Vec<Waiting>, EngineError)> {
    let writes = batch.iter().any(|waiting| waiting.access == Access::Write);
    let statement = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
    loop {
        let longest = batch.iter().map(|waiting| waiting.since.elapsed()).max();
        let patience = PATIENCE.saturating_sub(longest.unwrap_or_default());
        let begun = file
            .busy_timeout(patience)
            .and_then(|()| file.execute_batch(statement));
        let Err(error) = begun else {
            return Ok(batch);
        };
        let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        let error = EngineError::from(error);
        if !is_busy {
            return Err((batch, error));
        }
        let (over, others) = batch
            .into_iter()
            .partition(|waiting| waiting.since.elapsed() >= PATIENCE);
        settle(over, &Err(error), is_reachable);
        batch = others;
        if batch.is_empty() {
            return Ok(batch);
        }
    }
}

/// Carries out a call. An error of the call undoes its changes. An error of the file is returned.
fn one(file: &Connection, call: &mut dyn Call) -> Result<(), EngineError> {
    file.execute_batch("SAVEPOINT call")?;
    let end = match call.run(file) {
        Ran::Keep => "RELEASE call",
        Ran::Undo => "ROLLBACK TO call; RELEASE call",
        Ran::FileIsBroken(error) => return Err(error),
    };
    Ok(file.execute_batch(end)?)
}

/// Hands over the answers, after it has noted whether the file could be used.
fn settle(batch: Vec<Waiting>, stored: &Result<(), EngineError>, is_reachable: &AtomicBool) {
    is_reachable.store(stored.is_ok(), Ordering::Relaxed);
    for waiting in batch {
        waiting.call.settle(stored.clone());
    }
}
