//! `GET /metrics`: what has happened, in Prometheus's format.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::not_tested::not_tested;
use crate::support::websocket::handshake;
use crate::support::{Agent, Latch, Reply};

const ON: (&str, &str) = ("AGENTCORE_METRICS", "true");

fn agent(environment: &[(&str, &str)]) -> Agent {
    let environment = [&[ON], environment].concat();
    Agent::start(env!("CARGO_BIN_EXE_telemetry"), &environment)
}

fn page(agent: &Agent) -> String {
    let reply = agent.get("/metrics");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    String::from_utf8(reply.body).expect("text")
}

/// The value of a sample, given by its name with its labels.
fn value(page: &str, name: &str) -> f64 {
    find(page, name).unwrap_or_else(|| panic!("no {name} in\n{page}"))
}

fn find(page: &str, name: &str) -> Option<f64> {
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

/// Waits until a sample has a value: a reply may be read before it has been counted completely.
fn until(agent: &Agent, name: &str, wanted: f64) {
    agent.until(&format!("{name} is {wanted}"), |agent| {
        find(&page(agent), name) == Some(wanted)
    });
}

fn outcome(name: &str) -> String {
    format!("agentcore_invocations_total{{outcome=\"{name}\"}}")
}

#[test]
fn off_unless_asked_for() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_telemetry"), &[]);
    let reply: Reply = agent.get("/metrics");
    assert_eq!(reply.parts(), (404, json!({ "error": "Not Found" })));
}

#[test]
fn invocations_are_counted_by_how_they_end() {
    let agent = agent(&[]);
    for (action, name) in [
        ("", "success"),
        ("stream", "error"),
        ("error", "error"),
        ("refuse", "client_error"),
        ("panic", "panic"),
        ("late", "timeout"),
    ] {
        agent.invoke(json!({ "action": action }));
        let counted = if action == "error" { 2.0 } else { 1.0 };
        until(&agent, &outcome(name), counted);
    }
    agent.post("not JSON");
    until(&agent, &outcome("client_error"), 2.0);
    let mut leaves = agent.connect().send_post(br#"{"action": "endless"}"#);
    assert_eq!(leaves.head().0, 200);
    leaves.chunk();
    let busy = page(&agent);
    assert_eq!(value(&busy, "agentcore_invocations_in_flight"), 1.0);
    assert_eq!(value(&busy, "agentcore_streams_open"), 1.0);
    assert_eq!(value(&busy, "agentcore_busy"), 1.0);
    drop(leaves);
    until(&agent, &outcome("cancelled"), 1.0);
    until(&agent, "agentcore_invocations_in_flight", 0.0);

    let page = page(&agent);
    assert_eq!(value(&page, "agentcore_streams_open"), 0.0);
    assert_eq!(value(&page, "agentcore_streams_total"), 2.0);
    assert_eq!(value(&page, "agentcore_busy"), 0.0);
    let duration = "agentcore_invocation_duration_seconds";
    assert_eq!(value(&page, &format!("{duration}_count")), 8.0);
    // The one that was late took its three seconds, and others may have on a busy machine.
    let within = value(&page, &format!("{duration}_bucket{{le=\"2.5\"}}"));
    assert!(within <= 7.0, "{within}");
    assert!(value(&page, &format!("{duration}_sum")) >= 3.0);
    is_read_by_pythons_parser(&page);
}

#[test]
fn tasks_sockets_connections_and_bytes() {
    let agent = agent(&[]);
    let body = json!({ "action": "detach" }).to_string();
    let reply = agent.post(&body);
    let page_now = page(&agent);
    let is_of_tasks = |line: &&str| line.starts_with("agentcore_active_tasks{");
    assert_eq!(
        page_now.lines().filter(is_of_tasks).count(),
        1,
        "{page_now}"
    );
    assert_eq!(
        value(&page_now, "agentcore_active_tasks{name=\"hang\"}"),
        1.0
    );
    assert_eq!(
        value(&page_now, "agentcore_request_bytes_total"),
        body.len() as f64
    );
    assert_eq!(
        value(&page_now, "agentcore_response_bytes_total"),
        reply.body.len() as f64
    );
    let before = value(&page_now, "agentcore_connections_total");
    let mut socket = agent.connect().send(handshake("").as_bytes());
    assert_eq!(socket.head().0, 101);
    let page_now = page(&agent);
    assert_eq!(value(&page_now, "agentcore_sockets_open"), 1.0);
    assert_eq!(value(&page_now, "agentcore_connections_open"), 2.0);
    assert_eq!(
        value(&page_now, "agentcore_connections_total"),
        before + 2.0
    );
    drop(socket);
    until(&agent, "agentcore_sockets_open", 0.0);
    // A reply of the server itself is not counted as an invocation's.
    assert_eq!(
        value(&page(&agent), "agentcore_response_bytes_total"),
        reply.body.len() as f64
    );
    assert_eq!(value(&page(&agent), "agentcore_sockets_total"), 1.0);
}

#[test]
fn what_is_refused() {
    let agent = agent(&[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let hangs = agent.connect().send_post(br#"{"action": "hang"}"#);
    until(&agent, "agentcore_active_tasks{name=\"hang\"}", 1.0);
    assert_eq!(agent.invoke(json!({})).status, 503);
    assert_eq!(
        value(
            &page(&agent),
            "agentcore_refused_total{reason=\"invocations\"}"
        ),
        1.0
    );
    drop(hangs);
}

#[test]
fn a_page_waits_for_no_worker_and_stalls_are_counted() {
    let agent = agent(&[("AGENTCORE_WORKER_THREADS", "1")]);
    let latch = Latch::new();
    let blocked = agent.invoke_later(json!({ "action": "block", "port": latch.port() }));
    let held = latch.held();
    until(&agent, "agentcore_invocations_in_flight", 1.0);
    until(&agent, "agentcore_stalls_total{of=\"all_workers\"}", 1.0);
    until(&agent, "agentcore_stalls_total{of=\"thread\"}", 1.0);
    drop(held);
    blocked.join().expect("a reply");
}

/// The reference implementation of the format reads the page.
fn is_read_by_pythons_parser(page: &str) {
    let script = "import sys, json\n\
        from prometheus_client.parser import text_string_to_metric_families as read\n\
        print(json.dumps({f.name: [f.type, len(f.samples)] for f in read(sys.stdin.read())}))";
    let is_there = |python: &&str| {
        let import = Command::new(python)
            .args(["-c", "import prometheus_client"])
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(is_there) else {
        not_tested("Python has no prometheus_client");
        return;
    };
    let mut parser = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = parser.stdin.take().expect("a pipe");
    stdin.write_all(page.as_bytes()).expect("the page is taken");
    drop(stdin);
    let output = parser.wait_with_output().expect("python ends");
    assert!(output.status.success());
    let families: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Python's parser removes the suffix of counters, as OpenMetrics does.
    assert_eq!(families["agentcore_invocations"], json!(["counter", 7]));
    let histogram = &families["agentcore_invocation_duration_seconds"];
    assert_eq!(*histogram, json!(["histogram", 21]));
    assert_eq!(families["agentcore_busy"], json!(["gauge", 1]));
}
