//! An agent that is killed again and again and restarted on the same port: it answers soon, and leaves nothing on disk.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::Launch;
use crate::client::{Connection, DEADLINE, invocation, invoke};
use crate::clock::{self, Nanos, SECOND};
use crate::ping::{self, Ping};
use crate::random::Random;
use crate::report::{Distribution, Millis, Report};

/// The clients that are at work at the time of the kill.
const CLIENTS: usize = 20;

/// Below the ports that the kernel gives to clients: such a port might connect to itself while no process listens on it.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// The options of the kills.
#[derive(Clone, Debug)]
pub struct Kill {
    /// The agent.
    pub program: PathBuf,
    /// The number of kills.
    pub times: usize,
    /// The seed of the random moments.
    pub seed: u64,
    /// The limit from the start of the process to its first good ping.
    pub limit: Millis,
}

impl Kill {
    /// The default number.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            times: 200,
            seed: 1,
            limit: Millis(50.0),
        }
    }

    /// Runs it and reports the result.
    ///
    /// # Errors
    ///
    /// The agent does not start. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        let mut report = Report::new("kill");
        report.figure("seed", self.seed);
        let mut random = Random::new(self.seed);
        let folder = std::env::temp_dir().join(format!("agentcore-load-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let result = self.lives(&mut report, &mut random, &folder).await;
        std::fs::remove_dir_all(&folder)?;
        result.map(|()| report)
    }

    async fn lives(&self, report: &mut Report, random: &mut Random, folder: &Path) -> Result<()> {
        // With an otherwise empty environment, the agent knows no other folder.
        let launch = Launch::new(&self.program).within(folder);
        let address = free_port(random)?;
        let mut starts = Vec::new();
        let mut problems = Vec::new();
        for life in 0..self.times {
            let born = clock::now();
            let mut agent = launch.spawn(address.port())?;
            let first = first_ping(address)
                .await
                .map_err(|error| Error::other(format!("life {life}: {error}\n{}", agent.log())))?;
            starts.push(first.received - born);
            let born_at = (born + first.wall_offset) / SECOND;
            if first.busy || first.stamp < born_at {
                problems.push(format!("life {life} begins with {first:?}"));
            }
            let reply = invoke(address, &json!({ "action": "echo", "text": "well" })).await?;
            if reply.json()? != json!({ "id": 0, "text": "well" }) {
                problems.push(format!("life {life} answers {reply:?}"));
            }
            let mut load = JoinSet::new();
            for _ in 0..CLIENTS {
                load.spawn(until_it_dies(address, random.fork()));
            }
            sleep(Duration::from_micros(random.within(1_000..60_000))).await;
            if !agent.is_alive() {
                problems.push(format!("life {life} ended by itself:\n{}", agent.log()));
            }
            agent.kill()?;
            problems.extend(load.join_all().await.into_iter().flatten());
        }
        let starts: Distribution = starts.into_iter().collect();
        report.figure(
            "kills, each followed by a start on the same port",
            self.times,
        );
        report.figure(
            "from exec to the first good ping, median",
            starts.quantile(0.5),
        );
        report.at_most(
            "from exec to the first good ping, longest",
            starts.quantile(1.0),
            self.limit,
        );
        report.none_of("lives that began or went on wrongly", &problems);
        let left: Vec<_> = std::fs::read_dir(folder)?
            .filter_map(|entry| Some(format!("it left {}", entry.ok()?.path().display())))
            .collect();
        report.none_of("files left behind", &left);
        Ok(())
    }
}

/// A port of loopback that no process uses.
fn free_port(random: &mut Random) -> Result<SocketAddr> {
    for _ in 0..100 {
        let port = random.within(PORTS) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::other("no free port"))
}

/// Repeats a ping until it is answered with 200.
async fn first_ping(address: SocketAddr) -> Result<Ping> {
    let began = Instant::now();
    loop {
        let attempt = async { ping::ping(&mut Connection::open(address).await?).await };
        match attempt.await {
            Ok(ping) => return Ok(ping),
            Err(error) if began.elapsed() > DEADLINE => return Err(error),
            Err(_) => sleep(Duration::from_micros(200)).await,
        }
    }
}

/// Sends operations until the connection breaks. A reply that comes has to be right all the same.
async fn until_it_dies(address: SocketAddr, mut random: Random) -> Option<String> {
    let mut connection = Connection::open(address).await.ok()?;
    let actions = ["sleep", "task", "block"];
    loop {
        let id: Nanos = random.within(1..1_000_000);
        let action = actions[random.within(0..actions.len() as u64) as usize];
        let event = json!({ "id": id, "action": action, "ms": random.within(0..10) });
        let reply = connection.ask(&invocation(&event)).await.ok()?;
        if reply.status != 200 || reply.json().ok()? != json!({ "id": id }) {
            return Some(format!("a wrong reply to {event}: {reply:?}"));
        }
    }
}
