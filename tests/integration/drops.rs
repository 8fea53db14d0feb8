//! The thread that answers pings runs no user code: no drop, no waker, no layer, no subscriber. Every value of the fixture
//! prints the thread that it is on, and may block that thread.

use serde_json::{Value, json};

use crate::support::websocket::{CLOSE, FINAL, Peer, close, handshake};
use crate::support::{Agent, failed_start};

const BINARY: &str = env!("CARGO_BIN_EXE_drops");

const FRONT: &str = "agentcore-front";

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(BINARY, environment)
}

/// Checks that the next line about `what` names another thread than the one that answers pings.
fn elsewhere(agent: &Agent, what: &str) {
    all_elsewhere(agent, [what]);
}

/// The next lines, one about each of these, in any order.
fn all_elsewhere<const N: usize>(agent: &Agent, all: [&str; N]) {
    let begins = all.map(|what| format!("{what} on "));
    for line in agent.lines_with(begins.each_ref().map(String::as_str)) {
        assert!(!line.contains(FRONT), "{line}");
    }
}

fn invoke_with(agent: &Agent, header: &str, event: &Value) -> u16 {
    let body = event.to_string();
    let length = body.len();
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{header}: 1\r\ncontent-length: {length}\r\n\r\n"
    );
    agent
        .connect()
        .send((head + &body).as_bytes())
        .reply()
        .status
}

#[test]
fn what_a_reply_is_made_of_is_dropped_on_the_workers() {
    let agent = agent(&[]);
    for (place, status, dropped) in [
        ("small body", 200, &["dropped the small body"][..]),
        ("large body", 200, &["dropped the large body"]),
        ("half of a large body", 200, &["dropped the whole"]),
        ("header", 200, &["dropped the header"]),
        ("extension", 200, &["dropped the extension"]),
        ("an error", 500, &["dropped the error"]),
        ("a cause", 500, &["dropped the cause"]),
    ] {
        assert_eq!(
            agent.invoke(json!({ "in": place })).status,
            status,
            "{place}"
        );
        for what in dropped {
            elsewhere(&agent, what);
        }
    }
}

#[test]
fn the_frames_of_a_streamed_reply_are_dropped_on_the_workers() {
    let agent = agent(&[]);
    let reply = agent.invoke(json!({ "in": "frames" }));
    assert_eq!(reply.body.len(), 102_000);
    let mut lines: Vec<_> = (0..4).map(|_| agent.line_with("dropped")).collect();
    lines.sort();
    for (line, what) in lines.iter().zip([
        "the body",
        "the large frame",
        "the small frame",
        "the trailer",
    ]) {
        assert!(line.contains(what) && !line.contains(FRONT), "{line}");
    }
}

/// The client leaves before anything of the reply has been sent, and while most of it is still to be sent.
#[test]
fn what_a_client_does_not_take_is_dropped_on_the_workers() {
    let agent = agent(&[]);
    for place in ["large body", "frames"] {
        let event = json!({ "in": place }).to_string();
        let mut client = agent.connect().send_post(event.as_bytes());
        assert_eq!(client.head().0, 200);
        drop(client);
        let what = if place == "frames" {
            "dropped the large frame"
        } else {
            "dropped the large body"
        };
        elsewhere(&agent, what);
    }
    let mut client = agent
        .connect()
        .send_post(json!({ "in": "a stream" }).to_string().as_bytes());
    assert_eq!(client.head().0, 200);
    drop(client);
    elsewhere(&agent, "dropped the stream");
    agent.until("the agent is idle", |agent| !agent.ping().busy);
}

#[test]
fn a_drop_that_does_not_return_holds_up_neither_pings_nor_the_stop() {
    // The drop keeps one of them.
    let workers = [("AGENTCORE_WORKER_THREADS", "2")];
    for place in ["large body", "header"] {
        let agent = agent(&workers);
        // A header is dropped before the reply is sent.
        let invoked = agent.invoke_later(json!({ "in": place, "hold": true }));
        elsewhere(&agent, &format!("dropped the {place}"));
        assert!(agent.ping().busy, "{place}");
        agent.invoke(json!({ "in": "open" }));
        assert_eq!(invoked.join().expect("a reply").status, 200);
        agent.until("the agent is idle", |agent| !agent.ping().busy);
    }
    let agent = Agent::start(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "100ms")]);
    assert_eq!(
        agent
            .invoke(json!({ "in": "large body", "hold": true }))
            .status,
        200
    );
    elsewhere(&agent, "dropped the large body");
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cut off: invocation"), "{log}");
}

#[test]
fn a_waker_of_the_users_is_woken_on_the_workers() {
    let agent = agent(&[]);
    let event = json!({ "in": "a waker" }).to_string();
    let client = agent.connect().send_post(event.as_bytes());
    agent.line_with("waiting");
    drop(client);
    elsewhere(&agent, "woke the waker");
    elsewhere(&agent, "dropped the cancelled future");

    let _client = agent.connect().send_post(event.as_bytes());
    agent.line_with("waiting");
    agent.signal("TERM");
    elsewhere(&agent, "woke the waker");
    elsewhere(&agent, "dropped the cancelled future");
    assert!(agent.wait().0.success());
}

#[test]
fn a_socket_is_dropped_on_the_workers() {
    let agent = agent(&[]);
    let mut peer = Peer::open(&agent);
    peer.text("more");
    assert_eq!(peer.message().0.len(), 100_000);
    elsewhere(&agent, "dropped the message");
    peer.send(CLOSE | FINAL, close(1000, ""));
    all_elsewhere(
        &agent,
        ["dropped the socket's handler", "dropped the argument"],
    );

    let refused = agent
        .connect()
        .send(handshake("x-refuse: 1\r\n").as_bytes())
        .reply();
    assert_eq!(refused.status, 200, "what the user's response says");
    all_elsewhere(
        &agent,
        ["dropped the refusal's header", "dropped the large frame"],
    );
}

#[test]
fn layers_are_built_called_and_dropped_on_the_workers() {
    let agent = agent(&[("LAYER", "replaces")]);
    for what in ["built the layer on ", "dropped the layer on "] {
        let log = agent.log_of_start();
        let line = log.lines().find(|line| line.starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no line with {what:?}: {log}"));
        assert!(!line.contains(FRONT), "{line}");
    }
    assert_eq!(agent.invoke(json!({})).status, 200);
    all_elsewhere(
        &agent,
        [
            "called the layer",
            "dropped the request's header",
            "dropped the request's extension",
            "dropped the layer's extension",
            "dropped the layer's header",
        ],
    );
    assert_eq!(invoke_with(&agent, "x-fails", &json!({})), 500);
    elsewhere(&agent, "dropped the layer's error");
    agent.until("the agent is idle", |agent| !agent.ping().busy);
    agent.signal("TERM");
    all_elsewhere(&agent, ["dropped the state", "dropped the layer's service"]);
    assert!(agent.wait().0.success());
}

#[test]
fn routes_are_built_polled_woken_and_dropped_on_the_workers() {
    let agent = agent(&[("ROUTES", "1")]);
    let log = agent.log_of_start();
    let line = log
        .lines()
        .find(|line| line.starts_with("built the router on "));
    assert!(line.is_some_and(|line| !line.contains(FRONT)), "{log}");
    let reply = agent.get("/reply");
    assert_eq!(reply.status, 200);
    all_elsewhere(
        &agent,
        [
            "dropped the header",
            "dropped the extension",
            "dropped the small frame",
            "dropped the large frame",
            "dropped the trailer",
            "dropped the body",
        ],
    );
    let head = "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n";
    for leaves in [false, true] {
        let mut client = agent.connect().send(head.as_bytes());
        agent.line_with("waiting");
        client.write(b"abc");
        elsewhere(&agent, "woke the waker");
        agent.line_with("waiting");
        if leaves {
            drop(client);
        } else {
            client.write(b"def");
            assert_eq!(client.reply().body, b"6");
        }
        all_elsewhere(&agent, ["woke the waker", "dropped the reader"]);
    }
    // A reader that waits when the stop begins, and one of a connection that was upgraded.
    let request = handshake("").replace("/ws", "/socket");
    let mut client = agent.connect().send(request.as_bytes());
    assert_eq!(client.next_reply().status, 101);
    let mut peer = Peer::upgraded(client);
    agent.line_with("waiting");
    peer.echoes("hello");
    elsewhere(&agent, "woke the waker");
    agent.line_with("waiting");
    agent.signal("TERM");
    all_elsewhere(
        &agent,
        [
            "woke the waker",
            "dropped the upgraded socket",
            "dropped the router's service",
        ],
    );
    assert!(agent.wait().0.success());
}

#[test]
fn hooks_of_the_platform_are_run_and_dropped_on_the_workers() {
    // It ends the second run.
    let agent = agent(&[("HOOKS", "1"), ("AGENTCORE_WARMUP_TIMEOUT", "1s")]);
    let warmup = b"POST /warmup HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(agent.connect().send(warmup).reply().status, 500);
    all_elsewhere(
        &agent,
        ["dropped the warm-up", "dropped the warm-up's error"],
    );
    let client = agent.connect().send(warmup);
    agent.line_with("waiting");
    assert_eq!(client.reply().status, 504);
    elsewhere(&agent, "dropped the warm-up");
    agent.until("the agent is idle", |agent| !agent.ping().busy);
    agent.signal("TERM");
    all_elsewhere(
        &agent,
        ["dropped the warm-up hook", "dropped the restore hook"],
    );
    assert!(agent.wait().0.success());
}

#[test]
fn a_layer_that_cannot_be_built_stops_the_start_by_name() {
    let (status, log) = failed_start(BINARY, &[("LAYER", "unbuildable")]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("layer `drops::Unbuildable` panicked: no rules"),
        "{log}"
    );
    assert!(!log.contains(FRONT), "{log}");
}

/// As `tracing_subscriber::fmt` does when stderr is not read.
#[test]
fn a_subscriber_that_blocks_holds_up_neither_pings_nor_the_stop() {
    let agent = agent(&[("SUBSCRIBER", "1")]);
    agent.invoke(json!({}));
    assert!(!agent.ping().busy);
    agent.signal("TERM");
    // The subscriber blocks in the first event of the stop.
    let line = agent.line_with("an event of the server's");
    assert!(!line.contains(FRONT), "{line}");
    let (status, log) = agent.wait();
    assert!(status.success(), "{status:?}: {log}");
    assert!(!log.contains(FRONT), "{log}");
}
