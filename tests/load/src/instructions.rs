//! The instructions of a request, counted by valgrind's callgrind: they repeat to a few percent where time is too
//! noisy.
//!
//! Sixty-four connections send at once and are answered at once, as under a load that the agent can only just carry. The count
//! is of the whole process without the kernel, so it can be compared with other servers and with earlier runs.

use std::io::{BufRead as _, BufReader, Error, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::agent::Lines;
use crate::report::Report;

const CONNECTIONS: usize = 64;
const WARM_UP: usize = 5;
const ROUNDS: usize = 50;

/// valgrind makes everything some fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

const PING: &str = "GET /ping HTTP/1.1\r\nhost: agent\r\n\r\n";
const INVOCATION: &str = "POST /invocations HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\n\
    x-amzn-bedrock-agentcore-runtime-session-id: a-session-of-more-than-thirty-three-characters\r\n\
    content-length: 2\r\n\r\n{}";

/// The agent to count.
#[derive(Clone, Debug)]
pub struct Instructions {
    /// An agent that answers `{}`, preferably built with `--release`.
    pub program: PathBuf,
    /// The agent's log meanwhile.
    pub lines: Lines,
}

impl Instructions {
    /// Counts and reports. A figure over its limit is a regression.
    ///
    /// # Errors
    ///
    /// valgrind is missing, or the agent does not start or answer.
    pub fn run(&self) -> Result<Report> {
        let mut report = Report::new("instructions");
        let ping = count(&self.program, PING, self.lines)?;
        report.at_most("for a ping", ping, 13_000);
        let invocation = count(&self.program, INVOCATION, self.lines)?;
        match self.lines {
            Lines::Off => report.at_most("for an invocation", invocation, 36_000),
            Lines::On => report.figure("for an invocation, with its line", invocation),
        }
        Ok(report)
    }
}

/// The instructions for each of many equal requests.
fn count(program: &Path, request: &str, lines: Lines) -> Result<u64> {
    let output = std::env::temp_dir().join(format!("callgrind.{}.out", std::process::id()));
    let mut option = std::ffi::OsString::from("--callgrind-out-file=");
    option.push(&output);
    let mut agent = Command::new("valgrind");
    agent
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg(option)
        .arg(program)
        .env("AGENTCORE_HOST", "127.0.0.1")
        .env("AGENTCORE_PORT", "0")
        .envs(lines.environment())
        .env("AGENTCORE_LOG_FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut agent = Ended(agent.spawn()?);
    let stderr = agent
        .0
        .stderr
        .take()
        .ok_or_else(|| Error::other("no stderr"))?;
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let address = lines
        .find_map(|line| crate::agent::ready_at(&line))
        .ok_or_else(|| Error::other("the agent ended before it was ready"))?;
    // The log has to be read, or the agent would wait.
    let reader = std::thread::spawn(move || lines.for_each(drop));

    send(address, request, WARM_UP)?;
    control(&agent.0, "on")?;
    send(address, request, ROUNDS)?;
    control(&agent.0, "off")?;
    agent.stop()?;
    let _ = reader.join();
    let counted = std::fs::read_to_string(&output)?;
    let _ = std::fs::remove_file(&output);
    let total = counted.lines().rev().find_map(|line| {
        let total = line.strip_prefix("totals:")?;
        total.trim().parse::<u64>().ok()
    });
    let total = total.ok_or_else(|| Error::other("callgrind counted nothing"))?;
    Ok(total / (CONNECTIONS * ROUNDS) as u64)
}

/// Sends from all connections, then reads the reply on each, `rounds` times.
fn send(address: SocketAddr, request: &str, rounds: usize) -> Result<()> {
    let mut connections = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut reply = [0; 4096];
    for _ in 0..rounds {
        for stream in &mut connections {
            stream.write_all(request.as_bytes())?;
        }
        for stream in &mut connections {
            // A reply as short as these comes in one piece.
            let read = stream.read(&mut reply)?;
            if !reply[..read].starts_with(b"HTTP/1.1 200") {
                let reply = String::from_utf8_lossy(&reply[..read]);
                return Err(Error::other(format!("not a good reply: {reply:?}")));
            }
        }
    }
    Ok(())
}

/// Turns counting on or off in callgrind.
fn control(agent: &Child, counting: &str) -> Result<()> {
    let done = Command::new("callgrind_control")
        .args(["-i", counting, &agent.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if done.success() {
        Ok(())
    } else {
        Err(Error::other("callgrind_control failed"))
    }
}

/// A process that is ended with this value.
struct Ended(Child);

impl Ended {
    /// Lets callgrind write its counts.
    fn stop(&mut self) -> Result<()> {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
