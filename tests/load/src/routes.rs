//! A router of axum on the agent's port and on one of its own, while handlers spin: pings stay quick on both ports.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::agent::Launch;
use crate::client::{Connection, get, invoke};
use crate::ping::Pinger;
use crate::report::{Millis, Report};
use crate::websocket;

const SPINNING: usize = 8;

/// The bytes of one upload.
const UPLOAD: usize = 100 << 20;

/// The bytes of one write of an upload.
const PIECE: usize = 64 << 10;

/// The options of the command.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The agent.
    pub program: PathBuf,
    /// How long the handlers spin.
    pub time: Duration,
}

/// What the clients of one port have done.
#[derive(Debug, Default)]
struct Done {
    events: AtomicU64,
    echoes: AtomicU64,
    uploads: AtomicU64,
    stop: AtomicBool,
}

impl Routes {
    /// Ten seconds.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            time: Duration::from_secs(10),
        }
    }

    /// Runs it and reports the result.
    ///
    /// # Errors
    ///
    /// The agent cannot be started or does not answer at all. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        let mut report = Report::new("routes");
        let port = free_port()?;
        let (_agent, address) = Launch::new(&self.program)
            .with("ROUTES_PORT", port)
            .with("AGENTCORE_MAX_BODY_BYTES", UPLOAD)
            .start()?;
        let own = SocketAddr::new(address.ip(), port);
        let ports = [("the agent's port", address), ("a port of routes", own)];
        let mut pingers = Vec::new();
        let mut clients = JoinSet::new();
        let mut done = Vec::new();
        for (_, address) in ports {
            let counts = Arc::new(Done::default());
            clients.spawn(read_events(address, Arc::clone(&counts)));
            clients.spawn(upload(address, Arc::clone(&counts)));
            clients.spawn(chat(address, Arc::clone(&counts)));
            done.push(counts);
            pingers.push(Pinger::start(address, Duration::from_millis(2))?);
        }
        let mut spinning = JoinSet::new();
        for _ in 0..SPINNING {
            let event = json!({ "spin_ms": self.time.as_millis() as u64 });
            spinning.spawn(async move { invoke(address, &event).await });
        }
        let began = Instant::now();
        let mut problems = Vec::new();
        while let Some(reply) = spinning.join_next().await {
            match reply.map_err(Error::other)? {
                Ok(reply) if reply.status == 200 => {}
                Ok(reply) => problems.push(format!("{reply:?}")),
                Err(error) => problems.push(error.to_string()),
            }
        }
        report.figure("until 8 handlers had spun", Millis::from(began.elapsed()));
        // What waited for a thread meanwhile goes on.
        sleep(self.time / 4).await;
        done.iter()
            .for_each(|done| done.stop.store(true, Ordering::Relaxed));
        while let Some(client) = clients.join_next().await {
            if let Err(error) = client.map_err(Error::other)? {
                problems.push(error.to_string());
            }
        }
        for (((name, _), done), pinger) in ports.iter().zip(&done).zip(&pingers) {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            report.at_least(format!("events from {name}"), of(&done.events), 1);
            report.at_least(format!("echoes by {name}"), of(&done.echoes), 1);
            report.at_least(
                format!("uploads of 100 MiB to {name}"),
                of(&done.uploads),
                1,
            );
            let seen = pinger.take();
            problems.extend(seen.failed.iter().cloned());
            report.figure(format!("pings to {name}"), seen.pings.len());
            let latencies = seen.latencies();
            report.figure(format!("ping to {name}, median"), latencies.quantile(0.5));
            report.at_most(
                format!("ping to {name}, 99th percentile"),
                latencies.quantile(0.99),
                Millis(5.0),
            );
            report.figure(format!("ping to {name}, longest"), latencies.quantile(1.0));
        }
        report.none_of("lost or wrong replies, and other problems", &problems);
        Ok(report)
    }
}

/// A port that nothing uses at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

async fn read_events(address: SocketAddr, done: Arc<Done>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    connection.send(&get("/events")).await?;
    if connection.head().await? != 200 {
        return Err(Error::other("no events"));
    }
    // A chunk may have several events, or a part of one.
    let mut text = String::new();
    while !done.stop.load(Ordering::Relaxed) {
        text += &String::from_utf8_lossy(&connection.chunk().await?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if event != "data: tick" {
                return Err(Error::other(format!("a wrong event: {event:?}")));
            }
            text = rest.to_owned();
            done.events.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn upload(address: SocketAddr, done: Arc<Done>) -> Result<()> {
    let head = format!("POST /count HTTP/1.1\r\nhost: agent\r\ncontent-length: {UPLOAD}\r\n\r\n");
    let piece = vec![b'x'; PIECE];
    let mut connection = Connection::open(address).await?;
    while !done.stop.load(Ordering::Relaxed) {
        connection.send(head.as_bytes()).await?;
        for _ in 0..UPLOAD / PIECE {
            connection.send(&piece).await?;
        }
        let reply = connection.reply().await?;
        if reply.status != 200 || reply.body != UPLOAD.to_string().as_bytes() {
            return Err(Error::other(format!("a wrong count: {reply:?}")));
        }
        done.uploads.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn chat(address: SocketAddr, done: Arc<Done>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    websocket::open(&mut connection).await?;
    while !done.stop.load(Ordering::Relaxed) {
        websocket::echo_text(&mut connection, "hello").await?;
        done.echoes.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
