//! Slow, broken and missing receivers, and none at all.

use std::net::TcpListener;

use serde_json::json;

use crate::receiver::Receiver;
use crate::restorable::Restorable;
use crate::support::{Agent, signal, spawn, wait};

fn start(url: &str, more: &[(&str, &str)]) -> Agent {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    Agent::start(env!("CARGO_BIN_EXE_traced"), &[&environment, more].concat())
}

/// An exporter that is given this waits for an answer longer than a test does.
const PATIENT: (&str, &str) = ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");

/// An answer that waited for a patient exporter would not come in time.
fn answers(agent: &Agent) {
    for _ in 0..20 {
        assert_eq!(agent.invoke(json!({ "action": "step" })).status, 200);
    }
}

/// Only the exporter's warnings. The agent writes about its own work at every level.
fn warnings(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("\"WARN\""))
        .collect()
}

#[test]
fn what_is_left_is_sent_when_the_agent_stops() {
    let receiver = Receiver::start();
    // The SDK's own delay is five seconds, so what comes is sent by the stop.
    let agent = start(&receiver.url(), &[]);
    agent.invoke(json!({ "action": "step" }));
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(0));
    // The receiver may not have read all of it yet.
    assert_eq!(receiver.spans(4).len(), 4);
}

#[test]
fn a_receiver_that_does_not_answer_holds_nothing_up() {
    // The kernel accepts the connection, and nothing reads from it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let agent = start(&url, &[("OTEL_BSP_SCHEDULE_DELAY", "20"), PATIENT]);
    answers(&agent);
    // The last traces have three seconds, and the exporter alone would wait on.
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0));
    assert!(
        log.contains("the last traces were not sent within 3s"),
        "{log}"
    );
}

#[test]
fn a_receiver_that_is_not_there_is_said_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "http://user:secret@{}",
        listener.local_addr().expect("an address")
    );
    drop(listener);
    // The stop sends all spans in one batch. It tries several times, for less than the 3 s that the stop waits.
    let agent = start(
        &url,
        &[(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20secret",
        )],
    );
    answers(&agent);
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0));
    let warnings = warnings(&log);
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(
        warnings[0].contains("traces could not be sent to http://127.0.0.1:"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_receiver_that_refuses_is_said_with_its_status_and_gets_the_headers() {
    let receiver = Receiver::answering("403 Forbidden");
    let agent = start(
        &receiver.url(),
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=k1"),
        ],
    );
    agent.invoke(json!({}));
    agent.line_with("it answers 403 Forbidden");
    assert_eq!(receiver.requests(1)[0].header("x-api-key"), Some("k1"));
}

#[test]
fn nothing_is_sent_where_it_is_switched_off() {
    let receiver = Receiver::start();
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let agent = start(&receiver.url(), &[off]);
        let reply = agent.invoke(json!({ "action": "step" })).json();
        assert_eq!(reply["outbound"], json!({}));
        agent.signal("TERM");
        agent.wait();
        assert_eq!(receiver.count(), 0);
    }
}

#[test]
fn the_sampler_is_the_environments() {
    let receiver = Receiver::start();
    let agent = start(&receiver.url(), &[("OTEL_TRACES_SAMPLER", "always_off")]);
    agent.invoke(json!({ "action": "step" }));
    agent.signal("TERM");
    agent.wait();
    assert_eq!(receiver.count(), 0);
}

#[test]
fn over_tls_to_those_that_are_trusted() {
    let (receiver, certificate) = Receiver::over_tls("trusted");
    let certificate = certificate.to_str().expect("a path");
    let quick = ("OTEL_BSP_SCHEDULE_DELAY", "20");
    let agent = start(&receiver.https_url(), &[quick]);
    agent.invoke(json!({}));
    let line = agent.line_with("traces could not be sent to https://localhost:");
    assert!(line.contains("certificate"), "{line}");
    drop(agent);
    let trust = ("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate);
    let agent = start(&receiver.https_url(), &[quick, trust]);
    agent.invoke(json!({}));
    assert_eq!(receiver.spans(1).len(), 1);
}

/// The image of a snapshot may have other certificates than the machine of the session.
#[test]
fn after_a_restore_the_certificates_are_read_again() {
    let (receiver, right) = Receiver::over_tls("restored");
    let (_, other) = Receiver::over_tls("of-another");
    let trusted = right.with_file_name("trusted-after-a-restore.pem");
    std::fs::copy(other, &trusted).expect("a file");
    let Some(mut restorable) = Restorable::start(
        env!("CARGO_BIN_EXE_traced"),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*receiver.https_url()),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                &*trusted.to_string_lossy(),
            ),
        ],
    ) else {
        return;
    };
    restorable.agent.invoke(json!({ "action": "step" }));
    let line = restorable
        .agent
        .line_with("traces could not be sent to https://localhost:");
    assert!(line.contains("certificate"), "{line}");
    std::fs::copy(right, &trusted).expect("a file");
    restorable.restore();
    restorable.agent.invoke(json!({}));
    receiver.spans(1);
}

#[test]
fn what_can_not_be_sent_is_said_by_the_start_and_by_the_check() {
    let endpoint = |value| ("OTEL_EXPORTER_OTLP_ENDPOINT", value);
    let metrics = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    for (variable, why) in [
        (endpoint("localhost:4318"), "no traces are sent: "),
        (endpoint("not a url"), "no traces are sent: "),
        (
            ("AGENT_OBSERVABILITY_ENABLED", "true"),
            "no traces are sent: ",
        ),
        ((metrics, "http://localhost:4318"), "no metrics are sent: "),
    ] {
        let traced = env!("CARGO_BIN_EXE_traced");
        let (mut child, lines) = spawn(traced, &[variable]);
        let mut before_ready = lines
            .iter()
            .take_while(|line| !line.contains(" is ready on "));
        let first = before_ready.next().expect("a line");
        assert_eq!(warnings(&first).len(), 1, "{first}");
        assert!(first.contains(why), "{first}");
        assert_eq!(before_ready.count(), 0);
        signal(&child, "TERM");
        assert_eq!(wait(&mut child, &lines).0.code(), Some(0));
        let check = std::process::Command::new(traced)
            .env_clear()
            .env(variable.0, variable.1)
            .arg("--check")
            .output()
            .expect("a check");
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(said.contains(&format!("\nwarning: {why}")), "{said}");
        assert!(check.status.success());
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_receiver() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let agent = start(&url, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")]);
    agent.invoke(json!({}));
    agent.signal("TERM");
    // The exporter has connected, so the agent waits for it.
    let flushed = listener.accept().expect("a connection");
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0));
    assert!(!log.contains("the last traces were not sent"), "{log}");
    let said = "SIGTERM again: the last traces and metrics may not have been sent";
    assert!(log.contains(said), "{log}");
    drop(flushed);
}
