//! Requests that arrive after a restore from a snapshot wait for the restore hook, and pings do not.
//!
//! libfaketime moves the wall clock of the agent ahead and leaves the monotonic clock, as a restore does.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::Launch;
use crate::client::invoke;
use crate::ping::Pinger;
use crate::report::{Distribution, Millis, Report};

const CLIENTS: usize = 64;

/// For so long libfaketime may use an old offset: its cache counts whole seconds.
const CACHED: Duration = Duration::from_millis(2100);

/// The options of the command.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The agent.
    pub program: PathBuf,
    /// The number of restores.
    pub times: usize,
}

impl Restore {
    /// Five restores.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            times: 5,
        }
    }

    /// Runs it and reports the result.
    ///
    /// # Errors
    ///
    /// libfaketime is not installed, or the agent does not start or answer. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        let mut report = Report::new("restore");
        let clock = Clock::new()?;
        let (_agent, address) = Launch::new(&self.program)
            .with("LD_PRELOAD", library()?)
            .with("FAKETIME_TIMESTAMP_FILE", clock.file.display())
            .with("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            // Without a cache, libfaketime reads its file whenever the agent reads a clock.
            .with("FAKETIME_CACHE_DURATION", 1)
            .start()?;
        let pinger = Pinger::start(address, Duration::from_millis(1))?;
        let mut problems = Vec::new();
        let mut pings = Vec::new();
        for round in 1..=self.times {
            // Pings of an idle agent are not counted.
            problems.extend(pinger.take().failed);
            clock.set(round)?;
            sleep(CACHED).await;
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                clients.spawn(async move { invoke(address, &json!({})).await });
            }
            while let Some(reply) = clients.join_next().await {
                let reply = reply.map_err(Error::other)??;
                let value: Value = reply.json()?;
                if reply.status != 200 || value["restores"] != round {
                    problems.push(format!("restore {round}: {} {value}", reply.status));
                }
            }
            let seen = pinger.take();
            problems.extend(seen.failed.iter().cloned());
            pings.extend(seen.pings);
            // The pinger moves on, so that the next restore does not meet a ping of this one.
            sleep(Duration::from_millis(20)).await;
        }
        report.figure("restores with 64 requests each", self.times);
        report.none_of(
            "requests before the hook, further runs of it, and other problems",
            &problems,
        );
        let latencies: Distribution = pings.iter().map(|ping| ping.received - ping.sent).collect();
        report.figure("pings while they waited", pings.len());
        report.figure("ping, median", latencies.quantile(0.5));
        report.figure("ping, 99th percentile", latencies.quantile(0.99));
        report.at_most("ping, longest", latencies.quantile(1.0), Millis(5.0));
        Ok(report)
    }
}

/// The file with the offset of the agent's wall clock, removed when this is dropped.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn new() -> Result<Self> {
        let name = format!("agentcore-load-clock-{}", std::process::id());
        let clock = Self {
            file: std::env::temp_dir().join(name),
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets the clock ahead by two hours for each restore. The file changes in one step, so that the agent never reads half a
    /// number.
    fn set(&self, restores: usize) -> Result<()> {
        let written = self.file.with_extension("new");
        std::fs::write(&written, format!("+{}", restores * 7200))?;
        std::fs::rename(&written, &self.file)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // It is a temporary file.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The library in one of the folders of the architectures.
fn library() -> Result<String> {
    std::fs::read_dir("/usr/lib")?
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .map(|library| library.display().to_string())
        .ok_or_else(|| Error::other("libfaketime is not installed: apt install faketime"))
}
