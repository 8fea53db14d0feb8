//! User code panics in unusual places. The process stays alive, the status falls back, and every client that waits gets an
//! answer.

use serde_json::{Value, json};

use crate::support::websocket::{FINAL, Peer, TEXT, handshake, masked};
use crate::support::{Agent, failed_start};

const BINARY: &str = env!("CARGO_BIN_EXE_panics");

const FRONT: &str = "thread `agentcore-front` panicked";

fn agent(place: &str, how: &str) -> Agent {
    Agent::start(BINARY, &[("PLACE", place), ("HOW", how)])
}

/// The panic is in the log, and was not on the thread that answers pings, which may run no user code. The agent is idle, and
/// nothing is left of the code that panicked.
fn recovers(agent: &Agent, place: &str) {
    let line = agent.line_with("a secret detail");
    assert!(!line.contains(FRONT), "{place}: {line}");
    agent.until(&format!("{place}: idle again"), |agent| {
        let tasks = agent.invoke(json!({})).json();
        // The question is itself a task, and with a layer it is two. One task is the server's own, which starts requests.
        !agent.ping().busy
            && tasks["status"] == "Healthy"
            && tasks["active"] == 0
            && tasks["alive"].as_u64() <= Some(2 + u64::from(place == "layer"))
    });
}

fn internal() -> (u16, Value) {
    (500, json!({ "error": "Internal server error" }))
}

#[test]
fn in_a_handler_it_is_a_500() {
    let agent = agent("", "");
    for place in [
        "the end",
        "an unpolled task",
        "the reply",
        "the panic",
        "display",
        "source",
        "error",
    ] {
        let reply = agent.invoke(json!({ "in": place }));
        assert_eq!(reply.parts(), internal(), "{place}");
        recovers(&agent, place);
    }
}

fn arrives_all_the_same(place: &str, body: &str) {
    let agent = agent("", "");
    let reply = agent.invoke(json!({ "in": place }));
    assert_eq!((reply.status, &*reply.body), (200, body.as_bytes()));
    recovers(&agent, place);
}

#[test]
fn in_the_drop_of_a_replys_extension_the_reply_still_arrives() {
    arrives_all_the_same("an extension", "extended");
}

#[test]
fn in_an_extractor_or_a_layer_it_is_a_500() {
    for (place, header) in [("extractor", "x-extractor"), ("layer", "x-layer")] {
        let agent = agent(place, "");
        let head = format!(
            "POST /invocations HTTP/1.1\r\nhost: a\r\n{header}: 1\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let reply = agent.connect().send(head.as_bytes()).reply();
        assert_eq!(reply.parts(), internal(), "{place}");
        recovers(&agent, place);
    }
}

fn is_the_last_event(place: &str, items: usize) {
    let agent = agent("", "");
    let events = agent.invoke(json!({ "in": place })).events();
    assert_eq!(events.len(), items + 1, "{place}: {events:?}");
    let last = json!({
        "error": "Internal server error", "error_type": "panic",
        "message": "An error occurred during streaming",
    });
    assert_eq!(events[items], last, "{place}");
    recovers(&agent, place);
}

#[test]
fn in_a_stream_it_is_the_last_event() {
    is_the_last_event("an item", 1);
    is_the_last_event("a producer", 2);
}

/// A stream that no macro made. A generator drops its values while it is polled.
#[test]
fn in_the_drop_of_a_stream_it_is_the_last_event() {
    is_the_last_event("a stream", 2);
}

#[test]
fn in_a_producer_whose_reader_has_left_it_is_logged() {
    let agent = agent("", "");
    let place = "a waiting producer";
    let mut client = agent
        .connect()
        .send_post(json!({ "in": place }).to_string().as_bytes());
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk(), b"data: 1\n\n");
    drop(client);
    recovers(&agent, place);
}

#[test]
fn in_a_handler_that_is_dropped_at_its_limit_the_caller_is_told() {
    let agent = agent("limit", "");
    let reply = agent.invoke(json!({ "in": "the middle" }));
    assert_eq!(reply.status, 504, "{reply:?}");
    recovers(&agent, "the middle");
}

/// The request is cancelled before the handler is dropped. A task of the handler that waits for that would otherwise never end.
#[test]
fn in_a_handler_that_is_dropped_at_its_limit_what_it_left_behind_is_told() {
    let agent = agent("limit", "");
    agent.invoke(json!({ "in": "the middle, not alone" }));
    recovers(&agent, "the middle, not alone");
}

#[test]
fn in_a_handler_that_is_dropped_with_its_client_it_is_logged() {
    let agent = agent("disconnect", "");
    let client = agent.connect().send_post(br#"{"in":"the middle"}"#);
    agent.line_with("in the middle");
    drop(client);
    recovers(&agent, "the middle");
}

#[test]
fn in_the_drop_of_a_background_tasks_remains_it_is_logged() {
    let agent = agent("", "");
    for (place, reply) in [
        ("a result", json!("spawned")),
        ("an aborted task", json!(true)),
    ] {
        assert_eq!(agent.invoke(json!({ "in": place })).parts(), (200, reply));
        recovers(&agent, place);
    }
}

#[test]
fn in_a_result_that_is_kept_it_is_the_tasks_failure() {
    let agent = agent("", "");
    let id = agent.invoke(json!({ "in": "a kept result" })).json();
    recovers(&agent, "a kept result");
    assert_eq!(
        agent.invoke(json!({ "in": "result", "id": id })).json(),
        json!({ "status": "failed", "error": "the task panicked" })
    );
}

#[test]
fn in_a_socket_it_is_a_1011() {
    let agent = agent("", "");
    for place in ["the reply", "the panic", "display", "source", "error"] {
        let mut peer = Peer::open(&agent);
        peer.text(place);
        assert_eq!(peer.expect_close(1011), "internal error", "{place}");
        recovers(&agent, place);
    }
    let mut peer = Peer::open(&agent);
    peer.text("the end");
    assert_eq!(peer.next_text(), "dropped behind this");
    peer.text("go");
    assert_eq!(peer.expect_close(1011), "internal error");
    recovers(&agent, "the end");

    let mut peer = Peer::open(&agent);
    peer.text("the end");
    assert_eq!(peer.next_text(), "dropped behind this");
    drop(peer);
    recovers(&agent, "the end, alone");
}

/// The client resets its connection while the handler's arguments are being made. It has sent a frame already: a server that has
/// something to read does not look for the end. Closing a socket with an unread reply makes a reset.
#[test]
fn in_the_arguments_of_a_socket_whose_client_has_left_it_is_logged() {
    let agent = agent("", "");
    let mut bytes = b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    bytes.extend(handshake("x-late: 1\r\n").into_bytes());
    bytes.extend(masked(FINAL | TEXT, b"the end"));
    let client = agent.connect().send(&bytes);
    agent.line_with("the handshake waits");
    drop(client);
    agent.invoke(json!({ "in": "open" }));
    recovers(&agent, "the arguments of a socket");
}

#[test]
fn in_a_ping_handler_it_leaves_the_automatic_status() {
    for how in ["panic", "display", "source", "error"] {
        let agent = agent("ping", how);
        assert!(!agent.ping().busy);
        recovers(&agent, how);
    }
}

fn stops_the_start(how: &str) {
    let (status, stderr) = failed_start(BINARY, &[("PLACE", "start"), ("HOW", how)]);
    assert_eq!(status.code(), Some(1), "{how}: {stderr}");
    let named = stderr.contains("cannot start: start hook `on_start`");
    assert!(named, "{how}: {stderr}");
}

#[test]
fn in_a_start_hook_it_stops_the_start() {
    stops_the_start("panic");
}

#[test]
fn in_the_error_of_a_start_hook_it_stops_the_start() {
    for how in ["display", "source", "error"] {
        stops_the_start(how);
    }
}

/// All work has finished. A panic after that is logged and changes nothing.
fn is_logged_behind_the_last_work(place: &str, how: &str) {
    let agent = agent(place, how);
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert!(stderr.contains("a secret detail"), "{stderr}");
    assert!(!stderr.contains(FRONT), "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn in_a_shutdown_hook_it_is_logged() {
    is_logged_behind_the_last_work("stop", "panic");
}

#[test]
fn in_the_error_of_a_shutdown_hook_it_is_logged() {
    for how in ["display", "source", "error"] {
        is_logged_behind_the_last_work("stop", how);
    }
}

#[test]
fn in_the_drop_of_a_state_it_is_logged() {
    is_logged_behind_the_last_work("state", "");
}

/// A thread that runs tasks may not drop a runtime, and a blocking HTTP client contains one.
#[test]
fn a_state_may_hold_a_runtime_of_its_own() {
    let agent = agent("runtime", "");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}
