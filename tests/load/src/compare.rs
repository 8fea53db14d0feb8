//! The agent beside two hand-written servers, row by row, so that readers can repeat every ratio on their own machine.
//!
//! All servers of a row are release builds with one profile, one allocator, the same number of worker threads and no delay of
//! small packets. They take turns, round by round. A ratio is taken within a round, since a machine's speed drifts, and the table
//! shows the median of the rounds' ratios with the smallest and the largest.

mod burst;
mod hello;
mod machine;
mod rows;
mod server;
mod table;

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use burst::{DISTURBED, Others};
use machine::{Cores, Machine};
use rows::{ROWS, Row};
use server::Program;
use table::Table;

use crate::agent::Lines;
use crate::files;

/// The connections of the row that has the most.
const MOST_CONNECTIONS: usize = rows::IN_FLIGHT;

/// The options of a comparison.
#[derive(Clone, Debug)]
pub struct Compare {
    /// The number of turns that each server has in a row.
    pub rounds: usize,
    /// Measures only rows whose name begins with this text. Without it, all rows but `build`.
    pub only: Option<String>,
    /// The total time for repeating turns in which other processes took much of the machine.
    pub patience: Duration,
    /// Builds the hand-written servers with the system's allocator, while the agent keeps mimalloc.
    pub system_allocator: bool,
    /// What the agent logs. The other servers log nothing.
    pub lines: Lines,
}

impl Compare {
    /// Builds the servers, measures, and prints the table.
    ///
    /// # Errors
    ///
    /// A server cannot be built or started, gives a wrong reply, or the machine does not allow as many files as are needed.
    pub fn run(&self) -> Result<()> {
        let rows: Vec<&Row> = ROWS
            .iter()
            .filter(|row| match &self.only {
                Some(wanted) => row.name.starts_with(wanted.as_str()),
                None => !row.is_slow(),
            })
            .collect();
        if rows.is_empty() {
            let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            return Err(Error::other(format!("the rows are {}", names.join(", "))));
        }
        if cfg!(debug_assertions) {
            return Err(Error::other("what measures has to be built with --release"));
        }
        files::make_room_for(MOST_CONNECTIONS)?;
        let programs = self.build()?;
        let cores = Cores::divide()?;
        let allocators = if self.system_allocator {
            "mimalloc for the agent, the system's for the others"
        } else {
            "mimalloc"
        };
        println!("{}", Machine::look(&cores, allocators)?);
        if self.lines == Lines::On {
            println!("The agent writes a line for each invocation and each task to /dev/null.");
        }
        let mut table = Table::default();
        let mut others = Others {
            shares: Vec::new(),
            patience: self.patience,
        };
        for row in rows {
            eprintln!("{} …", row.name);
            let rounds = self.rounds;
            let figures = rows::measure(row, &programs, &cores, rounds, &mut others);
            table.extend(
                figures
                    .map_err(|error| Error::new(error.kind(), format!("{}: {error}", row.name)))?,
            );
        }
        println!("{table}");
        if let Some(most) = others.shares.iter().copied().reduce(f64::max) {
            println!(
                "Other processes took {:.0} % of the machine in the median turn and {:.0} % at most; above {:.0} % rates mean little.",
                100.0 * table::median(others.shares),
                100.0 * most,
                100.0 * DISTURBED
            );
        }
        Ok(())
    }

    /// Builds the servers in the profile `release`, and finds them.
    fn build(&self) -> Result<Programs> {
        let peers = if self.system_allocator {
            "peers,system-allocator"
        } else {
            "peers"
        };
        let agent = [
            "--package",
            "agentcore-examples",
            "--example",
            "bench_agent",
        ];
        cargo_build(&agent)?;
        cargo_build(&["--package", "agentcore-load-peers", "--features", peers])?;
        let this = std::env::current_exe()?;
        let folder = this
            .parent()
            .ok_or_else(|| Error::other("this program lies in no folder"))?;
        let peer = |name: &str| Program::Peer(find(folder, name));
        Ok(Programs {
            agent: Program::Agent(find(&folder.join("examples"), "bench_agent"), self.lines),
            axum: peer("peer-axum"),
            hyper: peer("peer-hyper"),
            websockets: peer("peer-websockets"),
        })
    }
}

/// What is measured.
#[derive(Debug)]
struct Programs {
    agent: Program,
    axum: Program,
    hyper: Program,
    websockets: Program,
}

fn find(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn cargo_build(what: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let status = Command::new(cargo)
        .args(["build", "--release", "--manifest-path", manifest])
        .args(what)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::other(format!("cargo cannot build {what:?}")))
    }
}
