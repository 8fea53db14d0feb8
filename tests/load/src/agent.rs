//! The agent under load: started on loopback, observed from outside, and killed at the end.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::io::{BufRead, BufReader, Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::Memory;

/// The limit for a start.
const START: Duration = Duration::from_secs(30);

/// The number of log lines that are kept in case it fails.
const KEPT_LINES: usize = 20;

/// The log of a measured agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines {
    /// Errors only, because the servers beside it write no line for a request.
    #[default]
    Off,
    /// A line for each invocation and each task, as by default.
    On,
}

impl Lines {
    /// The environment variables for this log.
    pub(crate) fn environment(self) -> [(&'static str, &'static str); 3] {
        let (log, lines) = match self {
            Self::Off => ("error", "off"),
            Self::On => ("info", "info"),
        };
        [
            ("AGENTCORE_LOG", log),
            ("AGENTCORE_LOG_INVOCATIONS", lines),
            ("AGENTCORE_LOG_TASKS", lines),
        ]
    }
}

/// How to start an agent.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    folder: Option<PathBuf>,
}

impl Launch {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            environment: Vec::new(),
            folder: None,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// Makes `folder` the current folder, the home, and the folder for temporary files.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Starts the process without waiting for it.
    pub(crate) fn spawn(&self, port: u16) -> Result<Agent> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("AGENTCORE_HOST", "127.0.0.1")
            .env("AGENTCORE_PORT", port.to_string())
            .envs(Lines::Off.environment())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command
                .current_dir(folder)
                .env("HOME", folder)
                .env("TMPDIR", folder);
        }
        let mut child = command.spawn().map_err(|error| {
            Error::new(
                error.kind(),
                format!("cannot run {}: {error}", self.program.display()),
            )
        })?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let ready = child
            .stderr
            .take()
            .map(|stderr| watch(BufReader::new(stderr), Arc::clone(&log)));
        Ok(Agent { child, ready, log })
    }

    /// Starts the process on a free port and waits until it is ready.
    pub(crate) fn start(&self) -> Result<(Agent, SocketAddr)> {
        let agent = self.spawn(0)?;
        let address = agent.ready()?;
        Ok((agent, address))
    }
}

/// Reads the log to its end, so that the agent never blocks on it. Sends the address once.
fn watch(
    stderr: impl BufRead + Send + 'static,
    log: Arc<Mutex<VecDeque<String>>>,
) -> Receiver<SocketAddr> {
    let (sender, ready) = channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(address) = ready_at(&line) {
                // If the port was known before, the caller does not wait for the address.
                let _ = sender.send(address);
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() == KEPT_LINES {
                log.pop_front();
            }
            log.push_back(line);
        }
    });
    ready
}

/// The field names of a process's status.
pub(crate) const RESIDENT: &str = "VmRSS:";
pub(crate) const PEAK: &str = "VmHWM:";

pub(crate) fn memory_of(process: u32, field: &str) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| Memory(kibibytes << 10))
        .ok_or_else(|| Error::other(format!("no {field} in its status")))
}

/// The address in a start line.
pub(crate) fn ready_at(line: &str) -> Option<SocketAddr> {
    line.contains(" is ready on ").then_some(())?;
    let rest = line.split("http://").nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A running agent, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    ready: Option<Receiver<SocketAddr>>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Agent {
    fn ready(&self) -> Result<SocketAddr> {
        let address = self
            .ready
            .as_ref()
            .and_then(|ready| ready.recv_timeout(START).ok());
        address.ok_or_else(|| Error::other(format!("it did not become ready:\n{}", self.log())))
    }

    /// The last lines of its log.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Whether the process lives.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        memory_of(self.child.id(), RESIDENT)
    }

    /// The resident memory at a later moment. Meanwhile the agent can be used.
    pub(crate) fn memory_at(
        &self,
        moment: Instant,
    ) -> impl Future<Output = Result<Memory>> + use<> {
        let process = self.child.id();
        async move {
            tokio::time::sleep_until(moment.into()).await;
            memory_of(process, RESIDENT)
        }
    }

    /// The peak of resident memory.
    pub(crate) fn peak_memory(&self) -> Result<Memory> {
        memory_of(self.child.id(), PEAK)
    }

    /// The number of open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}
