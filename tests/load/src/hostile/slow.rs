//! Clients that send heads, bodies or everything slowly.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::Scene;
use crate::client::{Connection, DEADLINE};
use crate::clock;
use crate::knowledge::{Possible, Span, Timeline, Verdict};
use crate::random::Random;
use crate::report::{Distribution, Memory, Millis, Report};

const CLIENTS: usize = 500;

/// As many as the agent takes by default, less the pinger's.
pub(super) const IDLE: usize = 9_990;

/// The limits for a connection without a request and for a slow body: the agent's defaults, and some time for a busy
/// machine.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const EARLY: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(3);

/// Checks that the time is not before the time-out, and soon after it.
fn expect_closed_in_time(
    scene: &Scene,
    report: &mut Report,
    lives: Vec<clock::Nanos>,
    timeout: Duration,
) {
    let lives: Distribution = lives.into_iter().collect();
    report.at_least(
        scene.label("connection closed after, shortest"),
        lives.quantile(0.0),
        Millis::from(timeout - EARLY),
    );
    report.at_most(
        scene.label("connection closed after, longest"),
        lives.quantile(1.0),
        Millis::from(timeout + SLACK),
    );
}

/// Connections that send a byte of a head every few seconds. A new connection replaces each that is closed.
pub(super) async fn heads(scene: &mut Scene, report: &mut Report, mut random: Random) {
    let (address, until) = (scene.address, Instant::now() + scene.time);
    let clients = (0..CLIENTS).map(|_| slow_heads(address, until, random.fork()));
    let clients: Vec<_> = clients.collect();
    let lives = scene.run_all(clients).await;
    let lives: Vec<_> = lives.into_iter().flatten().collect();
    report.figure(scene.label("connections"), lives.len());
    expect_closed_in_time(scene, report, lives, HEADER_TIMEOUT);
}

/// The time that each connection was left open.
async fn slow_heads(
    address: SocketAddr,
    until: Instant,
    mut random: Random,
) -> Result<Vec<clock::Nanos>> {
    let mut lives = Vec::new();
    while Instant::now() < until {
        let mut connection = Connection::open(address).await?;
        let began = clock::now();
        let head = b"POST /invocations HTTP/1.1\r\nhost: slow\r\n"
            .iter()
            .cycle();
        // It sends until the connection is closed.
        for byte in head {
            let pause = Duration::from_millis(random.within(1_000..4_000));
            if connection.send(&[*byte]).await.is_err() || connection.rest(pause).await.is_some() {
                break;
            }
            if clock::now() - began > DEADLINE.as_nanos() as clock::Nanos {
                return Err(Error::other("a slow head was listened to for ever"));
            }
        }
        lives.push(clock::now() - began);
    }
    Ok(lives)
}

/// Bodies that come byte by byte and would take hours: the agent is busy with them, and ends them.
pub(super) async fn bodies(scene: &mut Scene, report: &mut Report, mut random: Random) {
    let from = clock::now();
    let address = scene.address;
    let clients = (0..CLIENTS).map(|_| slow_body(address, random.fork()));
    let clients: Vec<_> = clients.collect();
    let spans = scene.run_all(clients).await;
    sleep(Duration::from_millis(500)).await;

    let lives = spans
        .iter()
        .map(|(_, possible)| possible.span.to - possible.span.from);
    expect_closed_in_time(scene, report, lives.collect(), BODY_TIMEOUT);
    let to = clock::now();
    let (certain, possible) = spans.into_iter().unzip();
    let timeline = Timeline::new(Span { from, to }, certain, possible);
    let mut verdict = Verdict::default();
    let seen = scene.pinger.take();
    timeline.judge(&seen.pings, &mut verdict);
    report.figure(scene.label("clients"), CLIENTS);
    report.figure(scene.label("pings while certainly busy"), verdict.busy);
    report.none_of(scene.label("wrong pings"), &verdict.wrong);
    scene.seen = Some(seen);
}

/// When the body was certainly being read, and when it may have been.
async fn slow_body(address: SocketAddr, mut random: Random) -> Result<(Span, Possible)> {
    let mut connection = Connection::open(address).await?;
    let began = clock::now();
    let head = b"POST /invocations HTTP/1.1\r\nhost: slow\r\nexpect: 100-continue\r\n\
        content-length: 100000\r\n\r\n";
    connection.send(head).await?;
    let status = connection.head().await?;
    let from = clock::now();
    if status != 100 {
        return Err(Error::other(format!("{status} instead of 100")));
    }
    // The times of the last byte and of the byte before. The agent may have given up before the last byte.
    let (mut last, mut to) = (from, from);
    let reply = loop {
        to = std::mem::replace(&mut last, clock::now()).max(to);
        let _ = connection.send(b" ").await;
        let pause = Duration::from_millis(random.within(200..2_000));
        if let Some(reply) = connection.rest(pause).await {
            break reply;
        }
        if clock::now() - began > 2 * DEADLINE.as_nanos() as clock::Nanos {
            return Err(Error::other("a slow body was listened to for ever"));
        }
    };
    if !reply.starts_with(b"HTTP/1.1 408 ") {
        let reply = String::from_utf8_lossy(&reply);
        return Err(Error::other(format!("a slow body was told {reply:?}")));
    }
    let possible = Possible {
        span: Span {
            from: began,
            to: clock::now(),
        },
        kind: "slow body".to_owned(),
    };
    Ok((Span { from, to }, possible))
}

/// The memory that the allocator may keep for each connection of a crowd that has left: pieces of it are in use elsewhere, and
/// the next crowd uses it again.
const KEPT_FOR_EACH: u64 = 32 << 10;

/// Connections that send nothing, twice, to see that the second crowd uses the memory that the first has left.
pub(super) async fn idle(scene: &mut Scene, report: &mut Report) -> Result<()> {
    scene.kept = Memory(KEPT_FOR_EACH * IDLE as u64);
    for crowd in ["first", "second"] {
        idle_crowd(scene, report, crowd).await?;
    }
    Ok(())
}

async fn idle_crowd(scene: &mut Scene, report: &mut Report, crowd: &str) -> Result<()> {
    let connecting = Arc::new(Semaphore::new(64));
    let address = scene.address;
    let clients = (0..IDLE).map(|_| silent(address, Arc::clone(&connecting)));
    let clients: Vec<_> = clients.collect();
    let look = scene.agent.memory_at(Instant::now() + HEADER_TIMEOUT / 2);
    let (lives, full) = tokio::join!(scene.run_all(clients), look);
    let each = full?.0.saturating_sub(scene.memory.0) / IDLE as u64;
    let label = |what: &str| scene.label(&format!("{crowd} crowd, {what}"));
    report.figure(label("connections"), lives.len());
    report.at_most(label("memory for each, in bytes"), each, KEPT_FOR_EACH);
    report.figure(label("memory afterwards"), scene.agent.memory()?);
    expect_closed_in_time(scene, report, lives, HEADER_TIMEOUT);
    Ok(())
}

/// The time that the connection was left open.
async fn silent(address: SocketAddr, connecting: Arc<Semaphore>) -> Result<clock::Nanos> {
    let place = connecting.acquire().await.map_err(Error::other)?;
    let mut connection = Connection::open(address).await?;
    let began = clock::now();
    drop(place);
    match connection.rest(DEADLINE).await {
        Some(rest) if rest.is_empty() => Ok(clock::now() - began),
        Some(rest) => Err(Error::other(format!(
            "an idle connection was told {:?}",
            String::from_utf8_lossy(&rest)
        ))),
        None => Err(Error::other("an idle connection stays open")),
    }
}
