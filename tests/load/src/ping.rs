//! Sends pings at a steady pace from a separate thread, and keeps every answer with the times around it.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Connection, Reply, get};
use crate::clock::{self, Nanos};
use crate::report::Distribution;

/// One answer. It was true at some moment between the two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ping {
    pub(crate) sent: Nanos,
    pub(crate) received: Nanos,
    pub(crate) busy: bool,
    /// `time_of_last_update`, in Unix seconds.
    pub(crate) stamp: u64,
    /// The difference of the wall clock from the monotonic clock when it was received.
    pub(crate) wall_offset: Nanos,
}

/// Reads a ping, which has to have exactly two keys: one of two words, and an integer.
fn read(reply: &Reply) -> Result<(bool, u64)> {
    let json = reply.json()?;
    let wrong = || Error::other(format!("status {} with {json}", reply.status));
    if reply.status != 200 || json.as_object().is_none_or(|object| object.len() != 2) {
        return Err(wrong());
    }
    let busy = match json["status"].as_str() {
        Some("Healthy") => false,
        Some("HealthyBusy") => true,
        _ => return Err(wrong()),
    };
    let stamp = json["time_of_last_update"].as_u64().ok_or_else(wrong)?;
    Ok((busy, stamp))
}

/// Pings once.
pub(crate) async fn ping(connection: &mut Connection) -> Result<Ping> {
    let sent = clock::now();
    let reply = connection.ask(&get("/ping")).await?;
    let received = clock::now();
    let (busy, stamp) = read(&reply)?;
    Ok(Ping {
        sent,
        received,
        busy,
        stamp,
        wall_offset: clock::wall_offset(),
    })
}

/// The results of a [`Pinger`].
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) pings: Vec<Ping>,
    /// Pings without a valid answer.
    pub(crate) failed: Vec<String>,
}

impl Seen {
    /// How long the answers took.
    pub(crate) fn latencies(&self) -> Distribution {
        let times = self.pings.iter();
        times.map(|ping| ping.received - ping.sent).collect()
    }
}

/// A thread that pings until it is dropped, on its own connection.
#[derive(Debug)]
pub(crate) struct Pinger {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pinger {
    pub(crate) fn start(address: SocketAddr, every: Duration) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        // One thread and no timers, so that the agent is measured and not this program's scheduler.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (seen_there, stop_there) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("pinger".to_owned())
            .spawn(move || {
                let mut connection = None;
                while !stop_there.load(Ordering::Relaxed) {
                    let result = runtime.block_on(async {
                        let mut open = match connection.take() {
                            Some(open) => open,
                            None => Connection::open(address).await?,
                        };
                        let ping = ping(&mut open).await?;
                        connection = Some(open);
                        Ok::<_, Error>(ping)
                    });
                    let mut seen = seen_there.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(ping) => seen.pings.push(ping),
                        Err(error) => seen.failed.push(format!("a ping: {error}")),
                    }
                    drop(seen);
                    std::thread::sleep(every);
                }
            })?;
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// The results since the last call.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread does not panic. If it did, its pings would be missed.
            let _ = thread.join();
        }
    }
}
