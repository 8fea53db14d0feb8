//! Every line of a request has the request's ids.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::support::resident_kib;
use crate::support::websocket::{FINAL, TEXT, handshake, masked};
use crate::support::{
    Agent, Client, DEADLINE, Latch, is_waiting_for_room, post, ready_at, signal, wait_until,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const IDS: &str = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: session-1\r\n\
                   X-Amzn-Bedrock-AgentCore-Runtime-Request-Id: request-1\r\n\
                   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_telemetry"), environment)
}

/// An invocation with `headers`.
fn send(agent: &Agent, headers: &str, event: &Value) -> Client {
    let body = event.to_string();
    let length = body.len();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    agent.connect().send(request.as_bytes())
}

/// Stops the agent. Returns all its lines, by message.
fn lines(agent: Agent) -> BTreeMap<String, Value> {
    agent.signal("TERM");
    let (_, log) = agent.wait();
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| {
            panic!("{error} in {line:?}");
        });
        (
            line["message"].as_str().expect("a message").to_owned(),
            line,
        )
    });
    lines.collect()
}

/// The line that begins with `message`.
fn line<'a>(lines: &'a BTreeMap<String, Value>, message: &str) -> &'a Value {
    let found = lines.iter().find(|(known, _)| known.starts_with(message));
    found
        .unwrap_or_else(|| panic!("no line {message:?} among {lines:#?}"))
        .1
}

fn has_ids(line: &Value) {
    let ids = ["requestId", "sessionId", "traceId"].map(|key| line[key].as_str());
    assert_eq!(
        ids,
        [Some("request-1"), Some("session-1"), Some(TRACE)],
        "{line}"
    );
}

#[test]
fn handlers_tasks_and_what_they_spawn() {
    let agent = agent(&[]);
    let reply = send(&agent, IDS, &json!({ "action": "everywhere" })).reply();
    assert_eq!(
        reply.json(),
        json!({ "request": "request-1", "session": "session-1", "trace": TRACE })
    );
    let lines = lines(agent);
    for message in [
        "from the handler",
        "from a task",
        "from a task again",
        "from a task that tokio spawned",
        "from a task that tokio spawned again",
        "from the background",
        "from a drop",
    ] {
        has_ids(&lines[message]);
    }
    let handler = &lines["from the handler"];
    assert_eq!(handler["city"], "Paris");
    assert_eq!(handler["level"], "INFO");
    assert_eq!(handler["logger"], "telemetry");
    assert_eq!(handler["field.requestId"], "forged");
    let stop = line(&lines, "SIGTERM");
    assert_eq!(stop.get("requestId"), None, "of no request: {stop}");
}

#[test]
fn streams_and_how_they_fail() {
    let agent = agent(&[]);
    send(&agent, IDS, &json!({ "action": "stream" })).reply();
    let lines = lines(agent);
    for message in [
        "from the stream",
        "from a task of the stream",
        "the stream of entrypoint `handler` failed",
    ] {
        has_ids(line(&lines, message));
    }
}

#[test]
fn what_the_library_says_about_a_request() {
    let agent = agent(&[]);
    for action in ["error", "refuse", "panic"] {
        send(&agent, IDS, &json!({ "action": action })).reply();
    }
    let lines = lines(agent);
    for message in [
        "entrypoint `handler` failed",
        "entrypoint `handler` answered 418",
        "entrypoint `handler` panicked",
    ] {
        has_ids(line(&lines, message));
    }
    let failed = line(&lines, "entrypoint `handler` failed");
    assert_eq!(failed["errorMessage"], "it is broken");
    assert_eq!(
        line(&lines, "entrypoint `handler` panicked")["errorType"],
        "panic"
    );
}

#[test]
fn a_handler_that_is_not_async() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_sync_entrypoint"), &[]);
    send(&agent, IDS, &json!({ "panic": true })).reply();
    has_ids(line(&lines(agent), "entrypoint `handler` panicked"));
}

/// The stall detector on the front writes these. The handler blocks until the warning is there.
#[test]
fn what_is_said_from_outside_the_request() {
    let agent = agent(&[
        ("AGENTCORE_WORKER_THREADS", "2"),
        ("AGENTCORE_SHUTDOWN_GRACE", "0s"),
    ]);
    let latch = Latch::new();
    let blocks = json!({ "action": "block", "port": latch.port() });
    let blocks = send(&agent, IDS, &blocks);
    let held = latch.held();
    let warning = agent.line_with("has blocked its thread");
    has_ids(&serde_json::from_str(&warning).expect("JSON"));
    drop(held);
    blocks.reply();
    send(&agent, IDS, &json!({ "action": "detach" })).reply();
    let _hangs = send(&agent, IDS, &json!({ "action": "hang" }));
    for _ in 0..2 {
        agent.line_with("it hangs");
    }
    let lines = lines(agent);
    let is_cut_off = |(message, _): &(&String, &Value)| message.starts_with("cut off: task `hang`");
    let cut_off: Vec<_> = lines.iter().filter(is_cut_off).collect();
    // The task that the invocation awaits, and the spawned task.
    assert_eq!(cut_off.len(), 2, "{lines:?}");
    cut_off.into_iter().for_each(|(_, line)| has_ids(line));
}

#[test]
fn sockets() {
    let agent = agent(&[]);
    let mut client = agent.connect().send(handshake(IDS).as_bytes());
    assert_eq!(client.head().0, 101);
    client.write(&masked(FINAL | TEXT, b"hello"));
    for message in [
        "from the socket's handler",
        "from a task of the socket",
        "websocket handler `talk` failed",
    ] {
        let line = agent.line_with(message);
        has_ids(&serde_json::from_str(&line).expect("JSON"));
    }
}

#[test]
fn an_id_is_made_up_where_none_is_sent_and_x_rays_trace_is_told_as_w3cs() {
    let agent = agent(&[]);
    let headers = "X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Sampled=1\r\n";
    let reply = send(&agent, headers, &json!({})).reply().json();
    let lines = lines(agent);
    let line = &lines["from the handler"];
    assert_eq!(line["requestId"], reply["request"]);
    assert_eq!(line["requestId"].as_str().map(str::len), Some(36));
    assert_eq!(line.get("sessionId"), None);
    assert_eq!(line["traceId"], TRACE);
}

#[test]
fn what_a_client_calls_itself_stays_short_and_on_its_line() {
    let long = "x".repeat(10_000);
    for format in ["json", "pretty"] {
        let agent = agent(&[("AGENTCORE_LOG_FORMAT", format)]);
        let headers = format!(
            "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: \"a\"\\\t{{}}\r\n\
             X-Amzn-Bedrock-AgentCore-Runtime-Request-Id: {long}\r\n"
        );
        send(&agent, &headers, &json!({})).reply();
        let line = agent.line_with("from the handler");
        assert!(line.len() < 1000, "{line}");
        if format == "json" {
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(line["sessionId"], "\"a\"\\ {}");
        } else {
            let id = "x".repeat(256);
            let session = r#"sessionId="\"a\"\\ {}""#;
            let end = format!(" city=Paris field.requestId=forged requestId={id} {session}");
            assert!(line.ends_with(&end), "{line}");
        }
    }
}

#[test]
fn pings_are_not_logged_however_much_is() {
    let agent = agent(&[("AGENTCORE_LOG", "debug")]);
    for _ in 0..100 {
        agent.ping();
    }
    let lines = lines(agent);
    assert!(
        lines
            .keys()
            .all(|line| line.starts_with("SIGTERM") || line.starts_with("stopped after")),
        "{lines:#?}"
    );
}

/// An agent whose log is read only up to its first lines, with the pipe and the address.
fn unread(binary: &str) -> (Child, BufReader<ChildStderr>, SocketAddr) {
    let mut child = Command::new(binary)
        .env_clear()
        .env("AGENTCORE_HOST", "127.0.0.1")
        .env("AGENTCORE_PORT", "0")
        .env("AGENTCORE_SHUTDOWN_GRACE", "300ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("an agent");
    let mut log = BufReader::new(child.stderr.take().expect("a piped stderr"));
    let mut ready = String::new();
    log.read_line(&mut ready).expect("a line");
    let (_, address) = ready.split_once("http://").expect("an address");
    let end = |letter: char| letter != ':' && letter != '.' && !letter.is_ascii_digit();
    let address = address.split(end).next().expect("an address");
    (child, log, address.parse().expect("an address"))
}

/// The queue of the log has a bound in bytes. A client may have sent the error's text.
#[cfg(target_os = "linux")]
#[test]
fn lines_that_nobody_reads_take_little_memory() {
    let (mut child, log, address) = unread(env!("CARGO_BIN_EXE_bounds"));
    let mut client = Client::connect(address);
    let mut fail = || {
        let event = json!({ "action": "fail", "bytes": 1_000_000 }).to_string();
        client.write(&post(event.as_bytes()));
        assert_eq!(client.next_reply().status, 500);
    };
    (0..3).for_each(|_| fail());
    let before = resident_kib(child.id());
    // Fewer lines than the queue takes, so nothing waits.
    (0..40).for_each(|_| fail());
    let grown = resident_kib(child.id()).saturating_sub(before);
    // The texts are 40 MB, and each was in its line twice.
    assert!(grown < 20 * 1024, "{grown} KiB");
    child.kill().expect("a child that runs");
    child.wait().expect("a child");
    drop(log);
}

#[cfg(target_os = "linux")]
#[test]
fn an_agent_whose_log_nobody_reads_goes_on() {
    let (mut child, log, address) = unread(env!("CARGO_BIN_EXE_bounds"));
    let mut client = Client::connect(address);
    // More lines of good invocations than the queue and the pipe take.
    for _ in 0..8_000 {
        client.write(&post(br#"{"action":"other"}"#));
        assert_eq!(client.next_reply().status, 200);
    }
    child.kill().expect("a child that runs");
    child.wait().expect("a child");
    drop(log);
}

#[test]
fn a_long_text_is_cut_in_its_line_and_stands_there_once() {
    for format in ["json", "pretty"] {
        let environment = [("AGENTCORE_LOG_FORMAT", format)];
        let agent = Agent::start(env!("CARGO_BIN_EXE_bounds"), &environment);
        agent.invoke(json!({ "action": "fail", "bytes": 1_000_000 }));
        let line = agent.line_with("xxx");
        assert!(line.len() < 70_000, "{} bytes", line.len());
        assert!(line.contains("[cut: ") && line.contains("bytes]"));
        assert_eq!(line.matches("`handler` failed").count(), 1);
    }
}

/// Standard error is a connection here, because the kernel shows when its reader has no room. The queue of the log is full then
/// or soon after, and code that waits for room in it waits for ever.
#[cfg(target_os = "linux")]
#[test]
fn the_process_ends_though_nobody_reads_its_log_and_work_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let log = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (stderr, _) = listener.accept().expect("a connection");
    let ports = [&stderr, &log].map(|end| end.local_addr().expect("an address").port());
    let mut child = Command::new(env!("CARGO_BIN_EXE_telemetry"))
        .env_clear()
        .env("AGENTCORE_HOST", "127.0.0.1")
        .env("AGENTCORE_PORT", "0")
        .env("AGENTCORE_SHUTDOWN_GRACE", "300ms")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(stderr))
        .spawn()
        .expect("an agent");
    let mut log = BufReader::new(log);
    let mut ready = String::new();
    log.read_line(&mut ready).expect("a line");
    let address = ready_at(&ready.replace('"', " ")).expect("an address");
    let _flood = Client::connect(address).send_post(br#"{"action":"flood"}"#);
    wait_until(DEADLINE, "the log is full", || {
        is_waiting_for_room(ports[0], ports[1])
    });
    signal(&child, "TERM");
    let mut ended = None;
    let is_over = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(DEADLINE, "the process has ended", || {
            ended = child.try_wait().expect("a child");
            ended.is_some()
        });
    }));
    if let Err(panic) = is_over {
        child.kill().expect("a child that runs");
        std::panic::resume_unwind(panic);
    }
    assert_eq!(ended.and_then(|status| status.code()), Some(1));
    drop(log);
}
