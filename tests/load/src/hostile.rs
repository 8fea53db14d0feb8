//! Clients unlike any honest program. After each kind the agent works as before.
//!
//! Each kind has its own agent, so that it alone causes what is left behind.

mod bytes;
mod large;
mod slow;

use std::future::Future;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::{Agent, Launch};
use crate::client::{Connection, invocation, invoke};
use crate::files;
use crate::ping::{Pinger, Seen};
use crate::random::Random;
use crate::report::{Memory, Millis, Report};

/// The limit for the agent to return to its earlier state.
const RECOVERY: Duration = Duration::from_secs(20);

/// The memory that may remain, because the allocator keeps some for later.
const KEPT: Memory = Memory(64 << 20);

#[derive(Clone, Copy, Debug)]
enum Attack {
    SlowHeads,
    SlowBodies,
    Idle,
    HalfClosed,
    Resets,
    Pipelines,
    Chunks,
    LargeBodies,
}

/// All attacks, by the name that the report and the command line use.
const ATTACKS: [(&str, Attack); 8] = [
    ("slow-heads", Attack::SlowHeads),
    ("slow-bodies", Attack::SlowBodies),
    ("idle", Attack::Idle),
    ("half-closed", Attack::HalfClosed),
    ("resets", Attack::Resets),
    ("pipelines", Attack::Pipelines),
    ("chunks", Attack::Chunks),
    ("large-bodies", Attack::LargeBodies),
];

impl Attack {
    /// The limit for the 99th percentile, if the attack waits and does not make work.
    fn ping_limit(self) -> Option<Millis> {
        matches!(self, Self::SlowHeads | Self::SlowBodies).then_some(Millis(5.0))
    }
}

/// The options of the attacks.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// The agent.
    pub program: PathBuf,
    /// The time that each kind of slow client continues.
    pub time: Duration,
    /// The seed of the random pauses and places.
    pub seed: u64,
    /// The name of the only kind of client. Without it, all kinds run.
    pub only: Option<String>,
}

impl Hostile {
    /// The default options.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            time: Duration::from_secs(60),
            seed: 1,
            only: None,
        }
    }

    /// Runs the attacks one after the other and reports the results.
    ///
    /// # Errors
    ///
    /// An agent cannot be started or does not answer at all. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        files::make_room_for(slow::IDLE)?;
        if let Some(only) = &self.only {
            // An unknown name would run nothing, and nothing would fail.
            if ATTACKS.iter().all(|(name, _)| name != only) {
                return Err(Error::other(format!("there is no attack {only:?}")));
            }
        }
        let mut report = Report::new("hostile");
        report.figure("seed", self.seed);
        let mut random = Random::new(self.seed);

        for (name, attack) in ATTACKS {
            let random = random.fork();
            if self.only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let mut scene = Scene::begin(name, self).await?;
            match attack {
                Attack::SlowHeads => slow::heads(&mut scene, &mut report, random).await,
                Attack::SlowBodies => slow::bodies(&mut scene, &mut report, random).await,
                Attack::Idle => slow::idle(&mut scene, &mut report).await?,
                Attack::HalfClosed => bytes::half_closed(&mut scene, &mut report).await,
                Attack::Resets => bytes::resets(&mut scene, &mut report, random).await,
                Attack::Pipelines => bytes::pipelines(&mut scene, &mut report).await,
                Attack::Chunks => bytes::chunks(&mut scene, &mut report).await,
                Attack::LargeBodies => large::bodies(&mut scene, &mut report).await?,
            }
            scene.end(&mut report, attack.ping_limit()).await?;
        }
        Ok(report)
    }
}

/// An agent under one attack.
struct Scene {
    name: &'static str,
    time: Duration,
    agent: Agent,
    address: SocketAddr,
    pinger: Pinger,
    /// The number before the attack.
    descriptors: usize,
    memory: Memory,
    /// The memory that may remain.
    kept: Memory,
    problems: Vec<String>,
    /// Pings under attack that have already been taken from the pinger.
    seen: Option<Seen>,
}

impl Scene {
    async fn begin(name: &'static str, hostile: &Hostile) -> Result<Self> {
        let (agent, address) = Launch::new(&hostile.program).start()?;
        let pinger = Pinger::start(address, Duration::from_millis(5))?;
        // All one-time allocations are made before anything is measured.
        for _ in 0..200 {
            well(address).await?;
        }
        sleep(Duration::from_millis(200)).await;
        let _ = pinger.take();
        Ok(Self {
            name,
            time: hostile.time,
            descriptors: agent.descriptors()?,
            memory: agent.memory()?,
            kept: KEPT,
            agent,
            address,
            pinger,
            problems: Vec::new(),
            seen: None,
        })
    }

    fn label(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }

    /// Runs all `attackers` at once, and collects their complaints.
    async fn run_all<T: Send + 'static>(
        &mut self,
        attackers: impl IntoIterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
    ) -> Vec<T> {
        let attackers: JoinSet<_> = attackers.into_iter().collect();
        let mut results = Vec::new();
        for result in attackers.join_all().await {
            match result {
                Ok(result) => results.push(result),
                Err(error) => self.problems.push(error.to_string()),
            }
        }
        results
    }

    /// Compares the agent with its state before the attack.
    async fn end(mut self, report: &mut Report, ping_limit: Option<Millis>) -> Result<()> {
        let under_attack = self.seen.take().unwrap_or_else(|| self.pinger.take());
        let latencies = under_attack.latencies();
        self.problems.extend(under_attack.failed);
        report.figure(self.label("pings"), under_attack.pings.len());
        report.figure(self.label("ping, median"), latencies.quantile(0.5));
        let name = self.label("ping, 99th percentile");
        match ping_limit {
            Some(limit) => report.at_most(name, latencies.quantile(0.99), limit),
            None => report.figure(name, latencies.quantile(0.99)),
        }
        report.figure(self.label("ping, longest"), latencies.quantile(1.0));

        let began = Instant::now();
        let remains = loop {
            let remains = self.remains()?;
            if remains.is_empty() || began.elapsed() > RECOVERY {
                break remains;
            }
            sleep(Duration::from_millis(20)).await;
        };
        self.problems.extend(remains);
        if let Err(error) = well(self.address).await {
            self.problems.push(format!("afterwards: {error}"));
        }
        report.figure(self.label("as before after"), Millis::from(began.elapsed()));
        report.at_most(
            self.label("memory afterwards"),
            self.agent.memory()?,
            Memory(self.memory.0 + self.kept.0),
        );
        report.none_of(self.label("problems"), &self.problems);
        Ok(())
    }

    /// The differences from the state before the attack.
    fn remains(&self) -> Result<Vec<String>> {
        let mut remains = Vec::new();
        let open = self.agent.descriptors()?;
        if open > self.descriptors {
            remains.push(format!("{open} descriptors, {} before", self.descriptors));
        }
        if self.pinger.take().pings.last().is_none_or(|ping| ping.busy) {
            remains.push("not Healthy".to_owned());
        }
        Ok(remains)
    }
}

/// Checks that a normal invocation is answered as before.
async fn well(address: SocketAddr) -> Result<()> {
    let reply = invoke(address, &echo(1)).await?;
    expect_echo(1, &reply)
}

fn echo(id: u64) -> serde_json::Value {
    json!({ "id": id, "action": "echo", "text": "well" })
}

fn expect_echo(id: u64, reply: &crate::client::Reply) -> Result<()> {
    if reply.status == 200 && reply.json()? == json!({ "id": id, "text": "well" }) {
        Ok(())
    } else {
        Err(Error::other(format!("a wrong reply: {reply:?}")))
    }
}

/// Sends `bytes` as far as the agent takes them, closes the sending side, and reads all replies.
async fn exchange(address: SocketAddr, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    let _ = connection.send(&bytes).await;
    let _ = connection.finish_sending().await;
    let rest = connection.rest(crate::client::DEADLINE).await;
    rest.ok_or_else(|| Error::other("the connection stays open"))
}

/// The bytes of an echo.
fn echo_request(id: u64) -> Vec<u8> {
    invocation(&echo(id))
}
