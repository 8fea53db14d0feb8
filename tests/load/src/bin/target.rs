//! The agent under load: one action for each way in which work can run and end.
//!
//! It keeps a journal: when each piece of user code began and ended, by the clock that the judge reads too. While such a
//! piece runs the agent is busy, whatever has happened to the client. Pings are compared with
//! that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore::{
    BoxError, Message, Response, TaskHandle, WebSocket, WebSocketError, async_task, entrypoint,
    stream, websocket,
};
use agentcore_load::clock::{self, Nanos};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::sleep;

#[derive(Deserialize)]
struct Request {
    /// The operation's number in the journal. Operation 0 is not recorded.
    #[serde(default)]
    id: u64,
    #[serde(flatten)]
    action: Action,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    Echo { text: String },
    Measure { text: String },
    Sleep { ms: u64 },
    Task { ms: u64 },
    Spawn { ms: u64, keep: bool, panics: bool },
    Join,
    Stream { items: u64, ms: u64, panics: bool },
    Error,
    Panic { place: Place },
    Block { ms: u64 },
    Hold { gate: String },
    Release { gate: String, count: usize },
    Status,
    Journal,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Handler,
    Task,
    Drop,
    Serialize,
    Display,
}

#[entrypoint]
async fn handle(request: Request) -> Result<Response, BoxError> {
    let Request { id, action } = request;
    let run = Run::begin(id);
    match action {
        Action::Echo { text } => return Ok(Response::json(&json!({ "id": id, "text": text }))),
        Action::Measure { text } => {
            return Ok(Response::json(&json!({ "id": id, "length": text.len() })));
        }
        Action::Sleep { ms } => sleep(Duration::from_millis(ms)).await,
        Action::Task { ms } => work(ms).await,
        Action::Block { ms } => std::thread::sleep(Duration::from_millis(ms)),
        Action::Spawn { ms, keep, panics } => {
            let run = Run::begin(id);
            let handle = agentcore::spawn(async move {
                let _run = run;
                sleep(Duration::from_millis(ms)).await;
                assert!(!panics, "a task that fails on purpose");
            });
            if keep {
                lock(&SPAWNED).insert(id, handle);
            }
        }
        Action::Join => {
            let handle = lock(&SPAWNED).remove(&id).ok_or("never spawned")?;
            let panicked = handle.await.is_err();
            return Ok(Response::json(&json!({ "id": id, "panicked": panicked })));
        }
        Action::Stream { items, ms, panics } => {
            return Ok(Response::stream(stream! {
                let _run = run;
                // `then_some` would make the value, and drop it, in both cases.
                let _explosive = panics.then(|| Explosive);
                for item in 0..items {
                    if ms > 0 {
                        sleep(Duration::from_millis(ms)).await;
                    }
                    yield json!({ "id": id, "item": item });
                }
            }));
        }
        Action::Error => return Err(format!("on purpose {id}").into()),
        Action::Panic { place } => return explode(place).await,
        Action::Hold { gate } => {
            HELD.fetch_add(1, Ordering::Relaxed);
            // The handler itself counts, so that the count never exceeds the handlers in flight.
            let passed = self::gate(&gate).acquire_owned().await;
            HELD.fetch_sub(1, Ordering::Relaxed);
            passed?.forget();
        }
        Action::Release { gate, count } => self::gate(&gate).add_permits(count),
        Action::Status => return Ok(status()),
        Action::Journal => return Ok(Response::json(&lock(&JOURNAL).take())),
    }
    Ok(Response::json(&json!({ "id": id })))
}

#[async_task]
async fn work(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

/// Echoes. Its first message is the operation's number.
#[websocket]
async fn echo(mut socket: WebSocket) -> Result<(), WebSocketError> {
    let mut run = None;
    while let Some(message) = socket.recv().await {
        match message? {
            Message::Text(text) => {
                run.get_or_insert_with(|| Run::begin(text.parse().unwrap_or_default()));
                socket.send(Message::Text(text)).await?;
            }
            Message::Binary(bytes) => socket.send(bytes).await?,
            _ => break,
        }
    }
    Ok(())
}

fn status() -> Response {
    let tasks = agentcore::async_task_info();
    Response::json(&json!({
        "ping_status": agentcore::current_ping_status(),
        "active_count": tasks.active_count,
        "running_jobs": tasks.running_jobs,
        "held": HELD.load(Ordering::Relaxed),
    }))
}

/// Panics when it is dropped.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        // A second panic during the first would end the process, by Rust's rules and not because of the server.
        assert!(std::thread::panicking(), "a drop that fails on purpose");
    }
}

#[derive(Debug)]
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a value that fails on purpose")
    }
}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("an error that fails on purpose")
    }
}

impl std::error::Error for Unspeakable {}

async fn explode(place: Place) -> Result<Response, BoxError> {
    #[async_task]
    async fn task() {
        tokio::task::yield_now().await;
        panic!("a task that fails on purpose");
    }
    match place {
        Place::Handler => panic!("a handler that fails on purpose"),
        Place::Task => task().await,
        Place::Drop => drop(Explosive),
        Place::Serialize => return Ok(Response::json(&Unspeakable)),
        Place::Display => return Err(Unspeakable.into()),
    }
    Err("it did not fail".into())
}

/// Background tasks that a later invocation awaits.
static SPAWNED: Mutex<BTreeMap<u64, TaskHandle<()>>> = Mutex::new(BTreeMap::new());

/// Invocations that wait at a gate.
static HELD: AtomicUsize = AtomicUsize::new(0);

fn gate(name: &str) -> Arc<Semaphore> {
    static GATES: Mutex<BTreeMap<String, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());
    let mut gates = lock(&GATES);
    let gate = gates
        .entry(name.to_owned())
        .or_insert_with(|| Arc::new(Semaphore::new(0)));
    Arc::clone(gate)
}

/// What has run. [`Run`] writes it and the judge reads it.
#[derive(Default, Serialize)]
struct Journal {
    /// The number of pieces that have not ended.
    running: usize,
    /// Operation, begin and end of each piece.
    runs: Vec<(u64, Nanos, Nanos)>,
}

static JOURNAL: LazyLock<Mutex<Journal>> = LazyLock::new(Mutex::default);

impl Journal {
    /// Takes what has ended since the last call.
    fn take(&mut self) -> Self {
        Self {
            running: self.running,
            runs: std::mem::take(&mut self.runs),
        }
    }
}

/// A piece of user code, which runs until this value is dropped.
struct Run {
    id: u64,
    began: Nanos,
}

impl Run {
    fn begin(id: u64) -> Option<Self> {
        if id == 0 {
            return None;
        }
        lock(&JOURNAL).running += 1;
        Some(Self {
            id,
            began: clock::now(),
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut journal = lock(&JOURNAL);
        journal.running -= 1;
        journal.runs.push((self.id, self.began, clock::now()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
