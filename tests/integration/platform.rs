//! The effects of a managed platform on a process: it is PID 1, and may be restored from a snapshot.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::not_tested::not_tested;
use crate::restorable::libfaketime;
use crate::support::{Agent, Client, failed_start, ready_at, signal_to, unix_now};

const BINARY: &str = env!("CARGO_BIN_EXE_agent_macros");
const ORPHANS: &str = env!("CARGO_BIN_EXE_orphans");

/// Starts an agent as PID 1 through `unshare`. This needs root or user namespaces; without them it returns `None`.
fn as_pid_1(binary: &str, environment: &[(&str, &str)]) -> Option<Agent> {
    if !may_unshare() {
        return None;
    }
    let mut command = unshare();
    command.arg(binary);
    Some(Agent::start_command(command, environment))
}

/// A command that starts its argument as PID 1, if this machine allows that.
pub(crate) fn unshare_if_allowed() -> Option<Command> {
    may_unshare().then(unshare)
}

fn may_unshare() -> bool {
    let may = unshare()
        .arg("true")
        .status()
        .is_ok_and(|status| status.success());
    if !may {
        not_tested("`unshare` may not make namespaces");
    }
    may
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command
}

/// The processes whose parent is `process`, including zombies.
fn children(process: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.expect("the children of a process");
    children.split_whitespace().map(str::to_owned).collect()
}

/// The number of PID 1 outside of its namespace.
pub(crate) fn pid_1(agent: &Agent) -> String {
    let [pid_1] = <[String; 1]>::try_from(children(&agent.pid().to_string())).expect("one child");
    pid_1
}

/// The kernel ignores a SIGTERM to PID 1 without a handler.
#[test]
fn as_pid_1_it_listens_everywhere_and_obeys_a_signal() {
    for signal in ["TERM", "INT"] {
        // An empty variable counts as not set: the address is the agent's own choice.
        let Some(agent) = as_pid_1(BINARY, &[("AGENTCORE_HOST", "")]) else {
            return;
        };
        assert!(agent.address().ip().is_unspecified(), "{}", agent.address());
        assert!(!agent.ping().busy);
        signal_to(&pid_1(&agent), signal);
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(
            stderr.contains(&format!("SIG{signal}: stopping")),
            "{stderr}"
        );
    }
}

#[test]
fn as_pid_1_it_passes_on_a_second_signal_and_the_exit_code() {
    let Some(agent) = as_pid_1(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "10min")]) else {
        return;
    };
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    let pid_1 = pid_1(&agent);
    signal_to(&pid_1, "TERM");
    agent.line_with("SIGTERM: stopping");
    signal_to(&pid_1, "TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("again: stopping at once"), "{stderr}");
}

/// Orphans become children of PID 1. The program gets the status of its own children.
#[test]
fn as_pid_1_it_reaps_orphans_and_leaves_the_programs_children_alone() {
    let Some(agent) = as_pid_1(ORPHANS, &[]) else {
        return;
    };
    let pid_1 = pid_1(&agent);
    for _ in 0..20 {
        let reply = agent.invoke(json!({ "action": "orphan" }));
        assert_eq!(reply.json(), json!({ "code": 3 }));
    }
    agent.until("only the agent is left", |_| children(&pid_1).len() == 1);
    let [process] = <[String; 1]>::try_from(children(&pid_1)).expect("the agent");
    assert_eq!(children(&process), Vec::<String>::new());
    signal_to(&pid_1, "TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn as_pid_1_it_ends_as_the_agent_does() {
    let Some(agent) = as_pid_1(ORPHANS, &[]) else {
        return;
    };
    drop(agent.connect().send_post(br#"{"action":"exit"}"#));
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(7), "{stderr}");

    let agent = as_pid_1(ORPHANS, &[]).expect("as before");
    // The kernel does this when memory runs out.
    let process = children(&pid_1(&agent)).concat();
    signal_to(&process, "KILL");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(128 + 9), "{stderr}");
}

/// The code of a `main` before its call of the agent must not run twice.
#[test]
fn as_pid_1_a_main_of_the_programs_own_is_one_process() {
    let Some(agent) = as_pid_1(env!("CARGO_BIN_EXE_faults"), &[]) else {
        return;
    };
    let pid_1 = pid_1(&agent);
    assert_eq!(children(&pid_1), Vec::<String>::new());
    signal_to(&pid_1, "TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

/// A terminal sends Ctrl-C to all processes of its session. The agent must get it from init alone, because a second signal means
/// "at once". `script` makes the terminal.
#[test]
fn as_pid_1_it_hears_ctrl_c_from_init_alone() {
    if Command::new("script").arg("--version").output().is_err() {
        not_tested("`script`, of util-linux, is not installed");
        return;
    }
    if !may_unshare() {
        return;
    }
    let namespace = format!("exec {:?} {BINARY}", unshare());
    let terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &namespace, "/dev/null"])
        .env("AGENTCORE_HOST", "127.0.0.1")
        .env("AGENTCORE_PORT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script");
    let mut running = Running {
        terminal,
        pid_1: None,
    };
    let terminal = &mut running.terminal;
    let mut keyboard = terminal.stdin.take().expect("a pipe");
    let mut screen = BufReader::new(terminal.stdout.take().expect("a pipe")).bytes();
    let mut until = |text: &str| {
        let mut seen = String::new();
        while !seen.contains(text) {
            let byte = screen.next().and_then(Result::ok);
            seen.push(
                byte.unwrap_or_else(|| panic!("no {text:?} in {seen}"))
                    .into(),
            );
        }
        seen
    };
    let ready = until(": entrypoint");
    let address = ready.lines().find_map(ready_at).expect("an address");

    let pid_1 = first_pid_1_below(&terminal.id().to_string());
    running.pid_1 = Some(pid_1.clone());
    signal_to(&pid_1, "STOP");
    keyboard.write_all(b"\x03").expect("a key");
    // The terminal shows the key after it has sent the signals.
    until("^C");
    let reply = Client::connect(address)
        .send_post(br#"{"action":"drop"}"#)
        .reply();
    assert_eq!(reply.parts(), (200, json!({ "dropped": true })));

    signal_to(&pid_1, "CONT");
    until("SIGINT: stopping");
    let status = running.terminal.wait().expect("an exit status");
    assert_eq!(status.code(), Some(0));
    running.pid_1 = None;
}

/// Kills its processes when the test ends early: a stopped process would stay, and keep the harness's own output open.
struct Running {
    terminal: Child,
    pid_1: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid_1) = &self.pid_1 {
            let _ = Command::new("kill").args(["-s", "KILL", pid_1]).status();
        }
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

/// The number, outside of its namespace, of the first descendant of `process` that is PID 1 in a namespace.
fn first_pid_1_below(process: &str) -> String {
    let [child] = <[String; 1]>::try_from(children(process)).expect("one child");
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("a process");
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .expect("its numbers in all namespaces");
    if numbers.split_whitespace().next_back() == Some("1") {
        child
    } else {
        first_pid_1_below(&child)
    }
}

/// In a restored process the wall clock jumps and the monotonic clock continues. libfaketime does that to a process.
#[test]
fn a_restored_agent_begins_its_idle_time_anew() {
    let Some(library) = libfaketime() else {
        not_tested("libfaketime is not installed");
        return;
    };
    for first in ["ping", "invocation"] {
        let offset = std::env::temp_dir().join(format!("agentcore-{}-{first}", std::process::id()));
        fs::write(&offset, "+0").expect("a file");
        let agent = Agent::start(
            BINARY,
            &[
                ("LD_PRELOAD", &library.to_string_lossy()),
                ("FAKETIME_TIMESTAMP_FILE", &offset.to_string_lossy()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("FAKETIME_NO_CACHE", "1"),
            ],
        );
        // A task that began before the snapshot is there after it.
        let id = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
        let before = agent.ping().stamp;
        assert!(unix_now() - before < 60);

        fs::write(&offset, "+7200").expect("a file");
        if first == "ping" {
            let stamp = agent.ping().stamp;
            assert!((7200..7260).contains(&(stamp - before)), "{before} {stamp}");
            assert_eq!(agent.ping().stamp, stamp, "said once");
        }
        let completed = agent.invoke(json!({ "action": "complete", "id": id }));
        assert_eq!(completed.json(), json!({ "completed": true }));
        agent.line_with("restored from a snapshot");
        fs::remove_file(&offset).expect("the file");
    }
}

/// Such a clock cannot date a reply. Log lines have to work all the same, to say so and for a panic.
#[test]
fn a_clock_that_stands_before_1970_is_named_and_stops_the_start() {
    let Some(library) = libfaketime() else {
        not_tested("libfaketime is not installed");
        return;
    };
    let before_1970 = [
        ("LD_PRELOAD", &*library.to_string_lossy()),
        ("FAKETIME", "@1960-01-01 00:00:00"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let (status, stderr) = failed_start(BINARY, &before_1970);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the clock stands before 1970"), "{stderr}");
    assert!(
        stderr.contains(r#""timestamp":"1970-01-01T00:00:00.000Z""#),
        "{stderr}"
    );
}

/// If the clock steps back while the agent runs, the agent keeps working.
#[test]
fn an_agent_whose_clock_steps_back_before_1970_answers_and_logs() {
    let Some(library) = libfaketime() else {
        not_tested("libfaketime is not installed");
        return;
    };
    let offset = std::env::temp_dir().join(format!("agentcore-{}-1970", std::process::id()));
    fs::write(&offset, "+0").expect("a file");
    let agent = Agent::start(
        BINARY,
        &[
            ("LD_PRELOAD", &*library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", &*offset.to_string_lossy()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ],
    );
    let before = agent.ping();
    fs::write(&offset, "@1960-01-01 00:00:00").expect("a file");
    assert_eq!(agent.ping(), before);
    assert_eq!(agent.invoke(json!({ "action": "panic" })).status, 500);
    let line = agent.line_with("a secret detail");
    assert!(
        line.contains(r#""timestamp":"1970-01-01T00:00:00.000Z""#),
        "{line}"
    );
    assert!(!agent.ping().busy);
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(0));
    fs::remove_file(&offset).expect("the file");
}
