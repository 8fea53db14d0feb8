//! Starting, and the ways in which it does not come to that.

use serde_json::Value;

use crate::support::{Agent, failed_start};

#[test]
fn the_start_line_names_the_address_the_entrypoint_and_the_tasks() {
    let (mut child, stderr) = crate::support::spawn(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    let line = stderr
        .recv_timeout(crate::support::DEADLINE)
        .expect("a line");
    child.kill().expect("the agent is stopped");
    child.wait().expect("the agent has stopped");
    let line: Value = serde_json::from_str(&line).expect("JSON where stderr is no terminal");
    let message = line["message"].as_str().expect("a message");
    assert!(
        message.starts_with("entrypoint `handler` (tests/fixtures/agent_macros.rs:"),
        "{message}"
    );
    assert!(
        message.contains("(tasks: failing, gated, panicking) is ready on http://127.0.0.1:"),
        "{message}"
    );
    assert!(message.ends_with(" ms"), "{message}");
}

#[test]
fn the_start_line_is_there_whatever_is_logged() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_LOG", "off")],
    );
    assert!(!agent.ping().busy);
}

#[test]
fn no_entrypoint_is_one_clear_line() {
    let (status, stderr) = failed_start(
        env!("CARGO_BIN_EXE_no_entrypoint"),
        &[("AGENTCORE_LOG_FORMAT", "pretty")],
    );
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        "error: cannot start: no entrypoint: annotate one function with `#[agentcore::entrypoint]`, or add it with \
         `App::entrypoint`\n"
    );
}

#[test]
fn everything_wrong_is_reported_in_one_go() {
    let (status, stderr) = failed_start(
        env!("CARGO_BIN_EXE_all_wrong"),
        &[("AGENTCORE_LOG_FORMAT", "pretty")],
    );
    assert_eq!(status.code(), Some(1));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 6, "{stderr}");
    assert!(
        lines[0].starts_with("error: cannot start: found 2 entrypoints, expected one: `first` (tests/fixtures/all_wrong.rs:"),
        "{stderr}"
    );
    assert!(
        lines[0].contains("), `second` (tests/fixtures/all_wrong.rs:"),
        "{stderr}"
    );
    assert!(
        lines[1].contains("found 2 ping handlers, expected at most one: `one` (tests/"),
        "{stderr}"
    );
    assert!(
        lines[2].contains("found 2 websocket handlers, expected at most one: `chat` (tests/"),
        "{stderr}"
    );
    assert!(
        lines[3].contains("is made twice: by `text` (tests/"),
        "{stderr}"
    );
    for (line, taker) in [
        (lines[4], "entrypoint `second`"),
        (lines[5], "websocket handler `chat`"),
    ] {
        assert!(
            line.contains(taker)
                && line.contains(
                    "takes `State<all_wrong::Missing>`, but no `#[on_start]` hook returns a"
                ),
            "{stderr}"
        );
    }
}

#[test]
fn a_failed_start_is_a_json_line_where_logs_are_json() {
    let (_, stderr) = failed_start(env!("CARGO_BIN_EXE_no_entrypoint"), &[]);
    let line: Value = serde_json::from_str(stderr.trim_end()).expect("one JSON line");
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("cannot start: no entrypoint"))
    );
}

#[test]
fn a_taken_port_is_named() {
    let first = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    let port = first.address().port().to_string();
    let (status, stderr) = failed_start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_PORT", &port)],
    );
    assert_eq!(status.code(), Some(1));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains(&format!(
            "cannot listen on 127.0.0.1:{port}: another process does; stop it"
        )),
        "{stderr}"
    );
}

#[test]
fn a_start_hook_that_fails_panics_or_hangs_stops_the_start() {
    for (how, text) in [
        ("fail", "failed: no database: connection refused"),
        ("panic", "panicked"),
        ("hang", "took longer than 2s"),
    ] {
        let (status, stderr) = failed_start(env!("CARGO_BIN_EXE_start_fails"), &[("HOW", how)]);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().expect("a line");
        assert!(
            last.contains("cannot start: start hook `prepare` (tests/fixtures/start_fails.rs:"),
            "{stderr}"
        );
        assert!(last.contains(text), "{stderr}");
        assert!(!stderr.contains("is ready"), "{stderr}");
    }
}

#[test]
fn a_signal_during_the_start_is_a_clean_stop() {
    let (mut child, stderr) =
        crate::support::spawn(env!("CARGO_BIN_EXE_start_fails"), &[("HOW", "wait")]);
    let line = stderr
        .recv_timeout(crate::support::DEADLINE)
        .expect("the hook runs");
    assert!(line.contains("the hook runs"), "{line}");
    crate::support::signal(&child, "TERM");
    assert_eq!(child.wait().expect("an exit status").code(), Some(0));
}
