//! Starts that succeed, and all ways in which a start fails.

use serde_json::Value;

use crate::support::{Agent, failed_start, run};

#[test]
fn the_start_line_names_the_agent_the_address_the_entrypoint_and_the_tasks() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    let line: Value =
        serde_json::from_str(agent.ready_line()).expect("JSON where stderr is no terminal");
    let message = line["message"].as_str().expect("a message");
    let begin = format!(
        "agentcore-tests {0} (agentcore {0}) is ready on http://{1} after ",
        env!("CARGO_PKG_VERSION"),
        agent.address()
    );
    let rest = message.strip_prefix(&begin).expect(message);
    let (time, parts) = rest.split_once(" ms: ").expect(message);
    assert!(time.parse::<f64>().is_ok(), "{message}");
    assert!(
        parts.starts_with("entrypoint `handler` (tests/fixtures/agent_macros.rs:"),
        "{message}"
    );
    assert!(
        parts.ends_with("), tasks: failing, gated, panicking"),
        "{message}"
    );
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
fn where_logs_are_json_every_problem_is_a_json_line_and_then_a_plain_one() {
    for (binary, count) in [
        (env!("CARGO_BIN_EXE_no_entrypoint"), 1),
        (env!("CARGO_BIN_EXE_all_wrong"), 6),
    ] {
        let (_, stderr) = failed_start(binary, &[]);
        let lines: Vec<_> = stderr.lines().collect();
        assert_eq!(lines.len(), 2 * count, "{stderr}");
        let (json, plain) = lines.split_at(count);
        for (json, plain) in json.iter().zip(plain) {
            let json: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(json["level"], "ERROR");
            let message = json["message"].as_str().expect("a message");
            assert!(message.starts_with("cannot start: "), "{message}");
            assert_eq!(*plain, format!("error: {message}"));
        }
    }
}

#[test]
fn wrong_parts_and_wrong_settings_are_reported_together() {
    let environment = [
        ("AGENTCORE_LOG_FORMAT", "pretty"),
        ("AGENTCORE_LOG", "loud"),
        ("AGENTCORE_PROBES", "perhaps"),
    ];
    let (status, stderr) = failed_start(env!("CARGO_BIN_EXE_all_wrong"), &environment);
    assert_eq!(status.code(), Some(1));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2 + 6, "{stderr}");
    assert_eq!(
        lines[0],
        "error: cannot start: AGENTCORE_PROBES is `perhaps`; it takes true or false, 1 or 0, yes or no, on or off"
    );
    assert!(lines[1].contains("AGENTCORE_LOG is `loud`"), "{stderr}");
    assert!(lines[2].contains("found 2 entrypoints"), "{stderr}");
}

#[test]
fn a_value_that_would_break_the_line_does_not() {
    let environment = [
        ("AGENTCORE_LOG_FORMAT", "pretty"),
        ("AGENTCORE_PORT", "80\n\u{1b}[31m80"),
    ];
    let (_, stderr) = failed_start(env!("CARGO_BIN_EXE_agent_macros"), &environment);
    assert_eq!(
        stderr,
        "error: cannot start: AGENTCORE_PORT is `80\\n\\u{1b}[31m80`; it takes a port number from 0 to 65535\n"
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
    let problem = format!(
        "cannot start: cannot listen on 127.0.0.1:{port}: another process uses the port; stop it, or set AGENTCORE_PORT to \
         another port"
    );
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    let json: Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!(json["message"], *problem);
    assert_eq!(lines[1], format!("error: {problem}"));
}

#[test]
fn a_start_hook_that_fails_panics_or_hangs_stops_the_start() {
    for (how, hook, text) in [
        ("fail", "prepare", "failed: no database: connection refused"),
        ("panic", "prepare", "panicked"),
        ("hang", "wait", "took longer than 2s"),
    ] {
        let (status, stderr) = failed_start(env!("CARGO_BIN_EXE_start_fails"), &[("HOW", how)]);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let last = stderr.lines().last().expect("a line");
        let named = format!("cannot start: start hook `{hook}` (tests/fixtures/start_fails.rs:");
        assert!(last.contains(&named), "{stderr}");
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

#[test]
fn within_a_runtime_run_says_what_to_call_instead() {
    let outcome = run(env!("CARGO_BIN_EXE_run_in_runtime"), &[], &[]);
    assert_eq!(outcome.code, Some(101));
    let said = &outcome.stderr;
    assert!(
        said.contains("tests/fixtures/run_in_runtime.rs:8:"),
        "{said}"
    );
    assert!(
        said.contains("App::from_registry().bind().await?.with_signals().serve().await"),
        "{said}"
    );
    assert!(!said.contains("Cannot start a runtime"), "{said}");
    // Flags that need no runtime work there.
    let outcome = run(env!("CARGO_BIN_EXE_run_in_runtime"), &["--check"], &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn variables_that_are_no_settings_are_one_warning() {
    let environment = [
        ("AGENTCORE_SHUTDOWN_GRASE", "a secret detail"),
        ("AGENTCORE_MEMORY_ID", "a secret detail"),
        ("AGENTCORE_RUNTIME_URL", "http://localhost"),
        ("AGENTCORE_LOG_FORMAT", "pretty"),
    ];
    let (_, stderr) = failed_start(env!("CARGO_BIN_EXE_start_fails"), &environment);
    let warnings: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains(" WARN "))
        .collect();
    let expected = "AGENTCORE_MEMORY_ID, AGENTCORE_SHUTDOWN_GRASE (did you mean AGENTCORE_SHUTDOWN_GRACE?) are set, but are not \
                    settings of agentcore";
    assert_eq!(warnings.len(), 1, "{stderr}");
    assert!(warnings[0].ends_with(expected), "{stderr}");
    assert!(!stderr.contains("a secret detail"), "{stderr}");
}
