//! The effects of environment variables.

use serde_json::json;

use crate::support::{Agent, Latch, failed_start, said};

#[test]
fn wrong_values_are_all_reported_and_nothing_is_served() {
    let (status, stderr) = failed_start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[
            ("AGENTCORE_LOG_FORMAT", "pretty"),
            ("AGENTCORE_PORT", "eighty"),
            ("AGENTCORE_WORKER_THREADS", "0"),
            ("AGENTCORE_SHUTDOWN_GRACE", "10"),
        ],
    );
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        "error: cannot start: AGENTCORE_PORT is `eighty`; it takes a port number from 0 to 65535\n\
         error: cannot start: AGENTCORE_WORKER_THREADS is `0`; it takes a number from 1 to 1024\n\
         error: cannot start: AGENTCORE_SHUTDOWN_GRACE is `10`; it takes a duration with its unit, such as 500ms, 10s \
         or 2h, up to a year\n"
    );
}

#[test]
fn errors_in_band_are_200_with_the_status_in_the_body() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_ERRORS", "in-band")],
    );
    let invoke = |event| agent.invoke(event).parts();
    assert_eq!(
        invoke(json!({ "action": "error" })),
        (200, json!({ "error": "it is broken", "status": 500 }))
    );
    assert_eq!(
        invoke(json!({ "action": "http_error", "status": 404 })),
        (200, json!({ "error": "on purpose", "status": 404 }))
    );
    assert_eq!(
        invoke(json!({ "action": "panic" })),
        (
            200,
            json!({ "error": "Internal server error", "status": 500 })
        )
    );
    let (status, body) = agent.post("{").parts();
    assert_eq!(
        (status, &body["error"], &body["status"]),
        (200, &json!("Invalid JSON"), &json!(400))
    );
    assert_eq!(
        invoke(json!({ "fine": true })),
        (200, json!({ "fine": true }))
    );
    // An error about a path keeps its status, because no platform routes other paths.
    assert_eq!(agent.get("/nowhere").status, 404);
}

#[test]
fn busy_while_tasks_leaves_invocations_out() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_BUSY_WHILE", "tasks")],
    );
    let latch = Latch::new();
    let blocked = agent.invoke_later(json!({ "action": "block", "port": latch.port() }));
    let held = latch.held();
    assert!(!agent.ping().busy);
    drop(held);
    assert_eq!(blocked.join().expect("a reply").status, 200);
    agent.invoke(json!({ "action": "spawn", "gate": "g" }));
    assert!(agent.ping().busy);
    assert_eq!(agent.tasks()["ping_status"], "HealthyBusy");
    agent.invoke(json!({ "action": "open", "gate": "g" }));
    agent.until_idle();
    assert_eq!(agent.tasks()["ping_status"], "Healthy");
}

#[test]
fn busy_while_tasks_still_finishes_invocations_before_a_stop() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_BUSY_WHILE", "tasks")],
    );
    let latch = Latch::new();
    let blocked = agent.invoke_later(json!({ "action": "block", "port": latch.port() }));
    let held = latch.held();
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    drop(held);
    assert_eq!(
        blocked.join().expect("a reply").parts(),
        (200, json!({ "blocked": true }))
    );
    assert_eq!(agent.wait().0.code(), Some(0));
}

#[test]
fn a_stamp_that_refreshes_does_so_only_while_busy() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_STAMP_WHILE_BUSY", "refresh")],
    );
    agent.invoke(json!({ "action": "spawn", "gate": "g" }));
    let began = agent.ping().stamp;
    agent.until("the stamp moves on", |agent| agent.ping().stamp > began);
    agent.invoke(json!({ "action": "open", "gate": "g" }));
    agent.until_idle();
    let idle = agent.ping();
    idle.until_its_second_is_over();
    assert_eq!(agent.ping(), idle);
}

#[test]
fn a_panic_is_one_log_line_with_place_and_backtrace() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    agent.invoke(json!({ "action": "panic" }));
    let line: serde_json::Value =
        serde_json::from_str(&agent.line_with("a secret detail")).expect("JSON");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["message"], "entrypoint `handler` panicked");
    assert_eq!(line["errorMessage"], "a secret detail");
    assert!(
        line["location"]
            .as_str()
            .is_some_and(|place| place.starts_with("tests/fixtures/common.rs:")),
        "{line}"
    );
    // The frames of the task's function and of the handler.
    let stack = line["stackTrace"].as_array().cloned().unwrap_or_default();
    let frame = |line: &serde_json::Value, what: &str| {
        line.as_str().is_some_and(|line| line.contains(what))
    };
    assert!(frame(&stack[0], "agent_macros::common::"), "{line}");
    assert!(frame(&stack[1], "common.rs:"), "{line}");
    assert!(stack.len() < 20, "{line}");
}

#[test]
fn a_panic_in_a_sync_entrypoint_is_one_line_too() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_sync_entrypoint"), &[]);
    agent.invoke(json!({ "panic": true }));
    agent.signal("TERM");
    let (_, stderr) = agent.wait();
    let lines: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("in the blocking pool"))
        .collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(
        lines[0].contains("entrypoint `handler` panicked")
            && lines[0].contains("sync_entrypoint.rs:"),
        "{stderr}"
    );
}

#[test]
fn a_typo_in_the_log_level_does_not_silence_the_log() {
    let (status, stderr) = failed_start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_LOG", "wraning")],
    );
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("AGENTCORE_LOG is `wraning`; it takes a level"),
        "{stderr}"
    );
}

#[test]
fn a_panic_in_a_spawned_task_is_logged_too() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    agent.invoke(json!({ "action": "task_panic" }));
    let line = agent.line_with("the task panicked");
    assert!(
        said(&line).contains("task `panicking` panicked: the task panicked"),
        "{line}"
    );
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    agent.invoke(json!({ "action": "error" }));
    let line = agent.line_with("it is broken");
    assert!(
        said(&line).contains("entrypoint `handler` failed: it is broken"),
        "{line}"
    );
}

#[test]
fn the_largest_head_of_a_request_is_a_setting() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_MAX_HEADER_BYTES", "2048")],
    );
    let ask = |filling: usize| {
        let request = format!(
            "GET /ping HTTP/1.1\r\nhost: agent\r\nx-filling: {}\r\n\r\n",
            "x".repeat(filling)
        );
        agent.connect().send(request.as_bytes()).head().0
    };
    assert_eq!(ask(1900), 200);
    assert_eq!(ask(2100), 431);
}
