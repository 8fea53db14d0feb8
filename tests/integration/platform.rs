//! What a managed platform does to a process: it is PID 1, and may be restored from a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::not_tested::not_tested;
use crate::support::failed_start;
use crate::support::{Agent, signal_to, unix_now};

const BINARY: &str = env!("CARGO_BIN_EXE_agent_macros");

/// The kernel ignores a SIGTERM that PID 1 has not asked for. (`unshare` needs root, or user namespaces.)
#[test]
fn as_pid_1_it_listens_everywhere_and_obeys_a_sigterm() {
    let namespace = |command: &mut Command| {
        command.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
    };
    let mut trial = Command::new("unshare");
    namespace(&mut trial);
    if !trial
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        not_tested("`unshare` may not make namespaces");
        return;
    }
    let mut command = Command::new("unshare");
    namespace(&mut command);
    command.arg(BINARY);
    // An empty variable is none: the address is the agent's own choice.
    let agent = Agent::start_command(command, &[("AGENTCORE_HOST", "")]);
    assert!(agent.address().ip().is_unspecified(), "{}", agent.address());
    assert!(!agent.ping().busy);

    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let child = fs::read_to_string(children).expect("the children of `unshare`");
    signal_to(child.trim(), "TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("SIGTERM: stopping"), "{stderr}");
}

/// A restored process sees its wall clock jump and its monotonic clock go on. libfaketime does the same to a process.
#[test]
fn a_restored_agent_begins_its_idle_time_and_its_ids_anew() {
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
                // Every thread has its own numbers; here one thread is enough.
                ("AGENTCORE_WORKER_THREADS", "1"),
            ],
        );
        let add = || -> u64 {
            let id = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
            let completed = agent.invoke(json!({ "action": "complete", "id": id }));
            assert_eq!(completed.json(), json!({ "completed": true }));
            id.as_str().and_then(|id| id.parse().ok()).expect("an id")
        };
        // Generations are the upper bits of an id, and count from a number that is drawn at first use.
        let generation = |id: u64| id >> 28;
        let (one, two) = (add(), add());
        assert!(
            generation(one).abs_diff(generation(two)) < 100,
            "{one} {two}"
        );
        let before = agent.ping().stamp;
        assert!(unix_now() - before < 60);

        fs::write(&offset, "+7200").expect("a file");
        if first == "ping" {
            let stamp = agent.ping().stamp;
            assert!((7200..7260).contains(&(stamp - before)), "{before} {stamp}");
            assert_eq!(agent.ping().stamp, stamp, "said once");
        }
        let three = add();
        assert!(
            generation(three).abs_diff(generation(two)) > 100,
            "{two} {three}"
        );
        agent.line_with("restored from a snapshot");
        fs::remove_file(&offset).expect("the file");
    }
}

/// No reply can be dated then. A line of the log is needed to say so, and so is a panic's.
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

/// Where it steps back while the agent runs, everything goes on.
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

fn libfaketime() -> Option<PathBuf> {
    let library = |folder: &Path| folder.join("faketime/libfaketimeMT.so.1");
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders
        .map(|folder| library(&folder.path()))
        .find(|library| library.exists())
}
