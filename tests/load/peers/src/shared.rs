//! The actions of the HTTP servers: those of `examples/bench_agent.rs` that `compare` measures, written by hand.

use std::collections::HashMap;
use std::io::Error;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The measured agent has this allocator too, so a ratio compares servers and not allocators.
#[cfg(not(feature = "system-allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Listens on the port that `PORT` names.
pub(crate) async fn listen() -> std::io::Result<TcpListener> {
    let port = std::env::var("PORT").map_err(Error::other)?;
    let port: u16 = port.parse().map_err(Error::other)?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// A hand-written agent: a table of tasks, and the status that results from it.
#[derive(Debug)]
pub(crate) struct Agent {
    tasks: Mutex<Tasks>,
}

#[derive(Debug)]
struct Tasks {
    running: HashMap<u64, (&'static str, Instant)>,
    next: u64,
    last_update: u64,
}

/// Counts a task until it is dropped.
#[derive(Debug)]
struct Guard<'a> {
    agent: &'a Agent,
    id: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut tasks = self.agent.tasks();
        tasks.running.remove(&self.id);
        if tasks.running.is_empty() {
            tasks.last_update = unix_now();
        }
    }
}

impl Agent {
    pub(crate) fn new() -> Arc<Self> {
        let tasks = Tasks {
            running: HashMap::new(),
            next: 0,
            last_update: unix_now(),
        };
        Arc::new(Self {
            tasks: Mutex::new(tasks),
        })
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &'static str) -> Guard<'_> {
        let mut tasks = self.tasks();
        if tasks.running.is_empty() {
            tasks.last_update = unix_now();
        }
        let id = tasks.next;
        tasks.next += 1;
        tasks.running.insert(id, (name, Instant::now()));
        Guard { agent: self, id }
    }

    /// The body of a reply to `/ping`.
    pub(crate) fn ping(&self) -> Vec<u8> {
        let tasks = self.tasks();
        let status = if tasks.running.is_empty() {
            "Healthy"
        } else {
            "HealthyBusy"
        };
        let last_update = tasks.last_update;
        drop(tasks);
        format!(r#"{{"status":"{status}","time_of_last_update":{last_update}}}"#).into_bytes()
    }

    /// The reply to an event that asks for no stream.
    pub(crate) async fn reply(&self, event: Value) -> Value {
        match event["action"].as_str().unwrap_or("info") {
            "process" => {
                let _guard = self.begin("process_data");
                match seconds(&event) {
                    Duration::ZERO => tokio::task::yield_now().await,
                    time => tokio::time::sleep(time).await,
                }
                json!({ "message": "Processing completed" })
            }
            "echo" => event,
            // Both occupy their thread, like a handler that computes or calls a blocking library.
            "cpu" => {
                let end = Instant::now() + seconds(&event);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                json!({ "message": "burnt" })
            }
            "block" => {
                std::thread::sleep(seconds(&event));
                json!({ "message": "blocked" })
            }
            _ => json!({
                "message": "Async status demo agent",
                "available_actions": ["process", "cleanup", "status"],
                "usage": "Send {\"action\": \"process\"} to start a tracked task",
            }),
        }
    }
}

fn seconds(event: &Value) -> Duration {
    Duration::try_from_secs_f64(event["seconds"].as_f64().unwrap_or_default()).unwrap_or_default()
}

/// The number of events, if the event asks for a stream.
pub(crate) fn asks_for_events(event: &Value) -> Option<u64> {
    (event["action"] == "stream").then(|| event["events"].as_u64().unwrap_or(10))
}

/// The numbered values of a stream.
pub(crate) fn values(count: u64) -> impl Stream<Item = Value> + Send + 'static {
    stream::iter(0..count).map(|number| json!({ "i": number }))
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
