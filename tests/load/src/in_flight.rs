//! Thousands of invocations in flight at once: none is lost, and pings stay quick and right.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::Launch;
use crate::client::{Connection, DEADLINE, invocation, invoke};
use crate::clock;
use crate::files;
use crate::knowledge::{Possible, Span, Timeline, Verdict};
use crate::ping::{Pinger, Seen};
use crate::report::{Distribution, Millis, Report};

/// The handshakes at a time, because the kernel's queue of connections is not under test.
const CONNECTING: usize = 64;

/// The options of the command.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// The agent.
    pub program: PathBuf,
    /// The number of invocations at once.
    pub count: usize,
    /// The time for which all of them are held.
    pub plateau: Duration,
}

impl InFlight {
    /// As many as the agent takes by default.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            count: 10_000,
            plateau: Duration::from_secs(5),
        }
    }

    /// Runs it and reports the result.
    ///
    /// # Errors
    ///
    /// The agent cannot be started or does not answer at all. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        let mut report = Report::new("in-flight");
        files::make_room_for(self.count)?;
        // The pings and the harness's own questions come on top.
        let (agent, address) = Launch::new(&self.program)
            .with("AGENTCORE_MAX_CONNECTIONS", self.count + 100)
            .start()?;
        let pinger = Pinger::start(address, Duration::from_millis(5))?;
        invoke(address, &json!({ "action": "status" })).await?;
        let window_from = clock::now();
        sleep(Duration::from_millis(500)).await;
        let before = agent.memory()?;
        let idle = pinger.take();
        report.figure("ping while idle, median", idle.latencies().quantile(0.5));

        let began = clock::now();
        let mut held = self.begin(address);
        let first = until_held(address, 1).await?;
        let all = until_held(address, self.count).await?;
        report.figure("invocations in flight", self.count);
        report.figure("until all were in flight", Millis::of(all - began));
        let ramp = pinger.take();
        tell_latencies(&mut report, "during the ramp", &ramp);
        report.figure(
            "ping during the ramp, 99th percentile",
            ramp.latencies().quantile(0.99),
        );
        sleep(self.plateau).await;
        let full = agent.memory()?;
        let plateau = pinger.take();
        tell_latencies(&mut report, "on the plateau", &plateau);
        report.at_most(
            "ping on the plateau, 99th percentile",
            plateau.latencies().quantile(0.99),
            Millis(5.0),
        );
        let both = ramp.pings.iter().chain(&plateau.pings);
        let latencies: Distribution = both.map(|ping| ping.received - ping.sent).collect();
        report.at_most(
            "ping from the first to the last of both, 99th percentile",
            latencies.quantile(0.99),
            Millis(5.0),
        );
        report.figure("memory before", before);
        report.figure("memory on the plateau", full);
        let each = full.0.saturating_sub(before.0) / self.count.max(1) as u64;
        report.at_most("memory for each invocation, in bytes", each, 32 * 1024);

        let last_busy = clock::now();
        let release = json!({ "action": "release", "gate": "all", "count": self.count });
        invoke(address, &release).await?;
        let mut problems = Vec::new();
        while let Some(reply) = held.join_next().await {
            match reply {
                Ok(Ok(())) => {}
                Ok(Err(error)) => problems.push(error.to_string()),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let ended = clock::now();
        report.figure("until all were answered", Millis::of(ended - last_busy));
        sleep(Duration::from_millis(500)).await;

        let window = Span {
            from: window_from,
            to: clock::now(),
        };
        let certain = Span {
            from: first,
            to: last_busy,
        };
        let possible = Possible {
            span: Span {
                from: began,
                to: ended,
            },
            kind: "hold".to_owned(),
        };
        let timeline = Timeline::new(window, vec![certain], vec![possible]);
        let mut verdict = Verdict::default();
        for part in [idle, ramp, plateau, pinger.take()] {
            problems.extend(part.failed);
            timeline.judge(&part.pings, &mut verdict);
        }
        report.none_of("lost or wrong replies, and other problems", &problems);
        report.figure("pings while certainly busy", verdict.busy);
        report.figure("pings while certainly idle", verdict.idle);
        report.none_of("wrong pings", &verdict.wrong);
        Ok(report)
    }

    /// Sends all of them, each on its own connection.
    fn begin(&self, address: SocketAddr) -> JoinSet<Result<()>> {
        let connecting = Arc::new(Semaphore::new(CONNECTING));
        (0..self.count)
            .map(|_| hold(address, Arc::clone(&connecting)))
            .collect()
    }
}

/// One invocation, up to its whole reply.
async fn hold(address: SocketAddr, connecting: Arc<Semaphore>) -> Result<()> {
    let place = connecting.acquire().await.map_err(Error::other)?;
    let mut connection = Connection::open(address).await?;
    let event = json!({ "id": 0, "action": "hold", "gate": "all" });
    connection.send(&invocation(&event)).await?;
    drop(place);
    let reply = connection.reply().await?;
    connection.reset();
    if reply.status == 200 && reply.json()? == json!({ "id": 0 }) {
        Ok(())
    } else {
        Err(Error::other(format!("a wrong reply: {reply:?}")))
    }
}

/// Waits until `count` handlers wait at the gate. Returns the time at which that was known.
async fn until_held(address: SocketAddr, count: usize) -> Result<clock::Nanos> {
    let began = Instant::now();
    loop {
        let status: Value = invoke(address, &json!({ "action": "status" }))
            .await?
            .json()?;
        let held = status["held"].as_u64().unwrap_or_default();
        if held >= count as u64 {
            return Ok(clock::now());
        }
        if began.elapsed() > DEADLINE {
            return Err(Error::other(format!("only {held} of {count} in flight")));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn tell_latencies(report: &mut Report, when: &str, seen: &Seen) {
    let latencies = seen.latencies();
    report.figure(format!("pings {when}"), seen.pings.len());
    report.figure(format!("ping {when}, median"), latencies.quantile(0.5));
    report.figure(format!("ping {when}, longest"), latencies.quantile(1.0));
}
