//! What the figures were measured on, and which processors the servers and the load have.

use std::fmt::{self, Display};
use std::io::Result;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of both sides. On a machine with one, both share it.
#[derive(Debug)]
pub(super) struct Cores {
    servers: Vec<usize>,
    load: Vec<usize>,
}

impl Cores {
    /// Gives each side half of what this process may use, and moves this thread to the load's half. Threads that are started
    /// later go there too.
    pub(super) fn divide() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|core| allowed.is_set(*core))
            .collect();
        let (servers, load) = match all.len() {
            0 | 1 => (all.clone(), all),
            count => (all[..count / 2].to_vec(), all[count / 2..].to_vec()),
        };
        let cores = Self { servers, load };
        move_to(&cores.load)?;
        Ok(cores)
    }

    /// Runs `start` on the servers' processors, where the process that it starts then stays.
    pub(super) fn on_the_servers<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        move_to(&self.servers)?;
        let started = start();
        move_to(&self.load)?;
        started
    }

    /// Worker threads of each server.
    pub(super) fn workers(&self) -> usize {
        self.servers.len()
    }

    /// Threads that send.
    pub(super) fn senders(&self) -> usize {
        self.load.len()
    }
}

fn move_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// What a reader has to know to place the figures.
#[derive(Debug)]
pub(super) struct Machine(String);

impl Machine {
    pub(super) fn look(cores: &Cores, allocators: &str) -> Result<Self> {
        let information = std::fs::read_to_string("/proc/cpuinfo")?;
        let model = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("a processor without a name", |(_, model)| model);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .arg("--version")
            .output()?;
        let compiler = String::from_utf8_lossy(&compiler.stdout);
        let Cores { servers, load } = cores;
        let all = servers.len() + load.len();
        let placing = if servers == load {
            "servers and load share one core".to_owned()
        } else {
            format!("{all} cores, servers on {servers:?}, load on {load:?}")
        };
        Ok(Self(format!(
            "{model}, {placing}; Linux {}, {}; worker threads of each server: {}; allocator: {allocators}; release builds, \
             TCP_NODELAY everywhere",
            kernel.trim(),
            compiler.trim(),
            cores.workers(),
        )))
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
