//! The machine of the figures, and the processors of the servers and the load.

use std::fmt::{self, Display};
use std::io::{Error, Result};
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of both sides. On a machine with one processor, both share it.
#[derive(Debug)]
pub(super) struct Cores {
    servers: Vec<usize>,
    load: Vec<usize>,
}

impl Cores {
    /// Gives each side half of the processors that this process may use, and moves this thread to the load's half. Threads that
    /// start later run there too.
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

    /// Runs `start` on the servers' processors. A process that it starts stays there.
    pub(super) fn on_the_servers<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        move_to(&self.servers)?;
        let started = start();
        move_to(&self.load)?;
        started
    }

    /// Runs `work` on the cores of both sides.
    pub(super) fn on_all<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        move_to(&[self.servers.as_slice(), &self.load].concat())?;
        let done = work();
        move_to(&self.load)?;
        done
    }

    /// The number of worker threads of each server.
    pub(super) fn workers(&self) -> usize {
        self.servers.len()
    }

    /// The number of threads that send.
    pub(super) fn senders(&self) -> usize {
        self.load.len()
    }
}

fn move_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// The processor time so far of all processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    busy: f64,
    all: f64,
    here: f64,
}

impl Used {
    pub(super) fn look() -> Result<Self> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let here = now.tv_sec as f64 + now.tv_nsec as f64 / 1e9;
        let (busy, all) = parse(&std::fs::read_to_string("/proc/stat")?)
            .ok_or_else(|| Error::other("no processor times in /proc/stat"))?;
        Ok(Self { busy, all, here })
    }

    /// The share that processes other than this one and the server have taken since `earlier`. The server took `server` seconds.
    pub(super) fn by_others(&self, earlier: &Self, server: f64) -> f64 {
        let ours = self.here - earlier.here + server;
        let all = (self.all - earlier.all).max(f64::EPSILON);
        ((self.busy - earlier.busy - ours) / all).max(0.0)
    }
}

/// The seconds in which all cores together were busy, and all seconds, from the first line of `/proc/stat`. Time that the host of
/// a virtual machine takes counts as busy.
fn parse(stat: &str) -> Option<(f64, f64)> {
    /// The ticks in a second that Linux reports to programs.
    const TICKS: f64 = 100.0;

    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times = line.split_whitespace().take(8).map(str::parse);
    let times = times.collect::<std::result::Result<Vec<f64>, _>>().ok()?;
    let [_, _, _, idle, waiting, ..] = times[..] else {
        return None;
    };
    let all: f64 = times.iter().sum();
    Some(((all - idle - waiting) / TICKS, all / TICKS))
}

/// The facts about the machine that a reader needs to judge the figures.
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

#[cfg(test)]
mod tests {
    use super::{Used, parse};

    #[test]
    fn what_others_use_is_what_is_left() {
        let stat = "cpu  100 50 150 600 60 10 20 10 0 0\ncpu0 1 2 3\n";
        assert_eq!(parse(stat), Some((3.4, 10.0)));
        assert_eq!(parse("intr 1"), None);
        let used = |busy, all, here| Used { busy, all, here };
        let share = used(12.0, 30.0, 3.0).by_others(&used(2.0, 10.0, 1.0), 4.0);
        assert_eq!(share, 0.2);
    }
}
