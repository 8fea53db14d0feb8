//! Init: what PID 1 does for a container. PID 1 becomes the parent of every process whose own parent has ended, and such an
//! orphan stays in the process table until PID 1 asks for its exit status.
//!
//! The agent cannot do that itself: the kernel does not tell an orphan from a child that the program has started, and the exit
//! status of a child belongs to the code that waits for it. So PID 1 starts the agent as a child. From then on it only passes
//! signals on, asks for the status of every process that ends, and ends as the agent does.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::task::Poll;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getppid, kill_process, setsid, wait};
use tokio::signal::unix::{self, SignalKind, signal};

/// Tells the agent that its parent is this init.
const MARK: &str = "__AGENTCORE_INIT";

/// Holds the pid that a service manager passes listeners to. Without it, any process may take them.
const LISTENERS_FOR: &str = "LISTEN_PID";

/// Signals that init passes to the agent. Container engines send SIGTERM, SIGINT, or the signal that the image names; the program
/// may have its own handlers for the others.
const PASSED_ON: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
];

/// Whether this process is PID 1, or the agent that PID 1 has started.
pub(crate) fn is_pid_1() -> bool {
    std::process::id() == 1 || is_child_of_init()
}

/// Whether PID 1 has started this process. The mark alone is not enough: child processes of the agent inherit it.
fn is_child_of_init() -> bool {
    std::env::var_os(MARK).is_some() && getppid() == Some(Pid::INIT)
}

/// Runs as init if this process is PID 1, and returns the agent's exit code. Returns `None` if the process is not PID 1 and has
/// to be the agent. The program must not have done anything before.
///
/// # Errors
///
/// PID 1 cannot start the agent as another process, so it has to be the agent itself.
pub(crate) fn init() -> io::Result<Option<ExitCode>> {
    if std::process::id() == 1 {
        return serve().map(Some);
    }
    if is_child_of_init() {
        // A terminal sends Ctrl-C to all processes of a session. Init passes it on, and a second one means "stop at once".
        let _ = setsid();
    }
    Ok(None)
}

fn serve() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        // Listens before the agent starts, so that no signal is missed.
        let mut ended = signal(SignalKind::child())?;
        let mut signals = Signals::new()?;
        let agent = Pid::from_child(&start_agent()?);
        loop {
            if let Some(status) = reap(agent) {
                return Ok(exit_code(status));
            }
            tokio::select! {
                _ = ended.recv() => {}
                signal = signals.next() => {
                    // The agent may have ended already; then the next loop asks for its status.
                    let _ = kill_process(agent, signal);
                }
            }
        }
    })
}

/// Starts this program again, with its arguments, environment and open files.
fn start_agent() -> io::Result<Child> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("agent"));
    let arguments: Vec<_> = arguments.collect();
    // A service manager names PID 1 as the owner of the listeners. The agent has another pid, so the name is removed.
    let are_passed_on = std::env::var_os(LISTENERS_FOR).is_some_and(|process| process == "1");
    let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
    for path in paths(&name) {
        let mut agent = Command::new(path);
        agent.arg0(&name).args(&arguments).env(MARK, "1");
        if are_passed_on {
            agent.env_remove(LISTENERS_FOR);
        }
        result = agent.spawn();
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Where this program may be found. A root may have no `/proc`. Then the name by which the program was called is its path, unless
/// the shell looked it up.
fn paths(name: &OsString) -> impl Iterator<Item = PathBuf> {
    let called = PathBuf::from(name);
    let is_path = called.components().count() > 1;
    std::env::current_exe()
        .ok()
        .into_iter()
        .chain([PathBuf::from("/proc/self/exe")])
        .chain(is_path.then_some(called))
}

/// Asks for the status of all processes that have ended. Returns the agent's status if the agent is one of them.
fn reap(agent: Pid) -> Option<WaitStatus> {
    // One signal may stand for several processes.
    while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
        if process == agent {
            return Some(status);
        }
    }
    None
}

/// The exit code, as a shell has it: the code that the agent returned, or 128 plus the number of the signal that ended it.
fn exit_code(status: WaitStatus) -> ExitCode {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The signals that init passes on.
struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    fn new() -> io::Result<Self> {
        let listen = |passed: Signal| {
            let kind = SignalKind::from_raw(passed.as_raw());
            Ok((passed, signal(kind)?))
        };
        PASSED_ON
            .into_iter()
            .map(listen)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (passed, arrived) in &mut self.0 {
                if arrived.poll_recv(context).is_ready() {
                    return Poll::Ready(*passed);
                }
            }
            Poll::Pending
        })
        .await
    }
}
