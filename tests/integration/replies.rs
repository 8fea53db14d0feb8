//! Replies that a handler builds itself: sent as they are, as far as HTTP allows.

use serde_json::json;

use crate::support::{Agent, DEADLINE, wait_until};

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_replies"), &[])
}

#[test]
fn a_body_of_the_users_own_arrives_whole() {
    let reply = agent().invoke(json!("chunks"));
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, &b"chunkchunkchunk"[..])
    );
}

#[test]
fn a_body_that_breaks_is_cut_off_and_not_ended() {
    for (what, logged) in [
        (
            "panic in the body",
            "the stream of entrypoint `handler` panicked: the body broke",
        ),
        (
            "error in the body",
            "the stream of entrypoint `handler` failed: the source dried up",
        ),
    ] {
        let agent = agent();
        let text = agent
            .connect()
            .send_post(json!(what).to_string().as_bytes())
            .rest();
        let text = String::from_utf8(text).expect("text");
        // How much of it had left by then is a matter of timing.
        assert!(!text.ends_with("0\r\n\r\n"), "{what}: {text}");
        agent.line_with(logged);
        agent.until_idle();
    }
}

#[test]
fn a_lie_about_the_length_does_not_run_into_the_next_reply() {
    let agent = agent();
    let mut client = agent
        .connect()
        .send_post(br#""a lie about the length""#)
        .send_post(br#""next""#);
    assert_eq!(client.next_reply().body, b"twelve bytes");
    assert_eq!(client.next_reply().body, b"next");
}

#[test]
fn an_informational_status_is_no_reply() {
    let agent = agent();
    assert_eq!(
        agent.invoke(json!("no reply")).parts(),
        (500, json!({ "error": "Internal server error" }))
    );
    agent.line_with("a reply cannot have the status 101");
}

/// The kernel's buffers take a few megabytes of it; the rest waits for the reader.
#[test]
fn a_large_reply_is_busy_until_it_has_been_taken() {
    let agent = agent();
    let mut client = agent.connect().send_post(br#""large""#);
    assert_eq!(client.head().0, 200);
    assert!(agent.ping().busy);
    agent.signal("TERM");
    agent.line_with("stopping; 1 in progress");
    assert_eq!(client.rest().len(), 40_000_000);
    assert_eq!(agent.wait().0.code(), Some(0));
}

#[cfg(target_os = "linux")]
/// The end of what the client sends is there long before the end of what it is sent.
#[test]
fn a_client_that_has_sent_all_gets_a_large_reply_whole_however_late_it_reads() {
    let agent = agent();
    let mut client = agent.connect().send_post(br#""large""#).finish_sending();
    wait_until(DEADLINE, "what has room is sent", || client.is_full());
    assert!(agent.ping().busy);
    assert_eq!(client.next_reply().body.len(), 40_000_000);
    agent.until_idle();
}

#[test]
fn a_slow_reader_of_a_large_reply_is_not_late_with_its_next_request() {
    let environment = [("AGENTCORE_HEADER_TIMEOUT", "100ms")];
    let agent = Agent::start(env!("CARGO_BIN_EXE_replies"), &environment);
    let mut slow = agent.connect().send_post(b"\"large\"");
    assert_eq!(slow.head().0, 200);
    for _ in 0..2 {
        // One that sends nothing is given up meanwhile.
        assert_eq!(agent.connect().rest(), b"");
    }
    agent.signal("TERM");
    assert_eq!(slow.rest().len(), 40_000_000);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn a_client_that_leaves_its_reply_unread_is_counted_as_cancelled() {
    let environment = [("AGENTCORE_METRICS", "true")];
    let agent = Agent::start(env!("CARGO_BIN_EXE_replies"), &environment);
    let mut client = agent.connect().send_post(b"\"large\"");
    assert_eq!(client.head().0, 200);
    drop(client);
    agent.until("the invocation is over", |agent| !agent.ping().busy);
    let metrics = String::from_utf8(agent.get("/metrics").body).expect("text");
    let counted = |line: &&str| line.contains("invocations") && line.contains("\"cancelled\"");
    assert!(
        metrics
            .lines()
            .any(|line| counted(&line) && line.ends_with(" 1")),
        "{metrics}"
    );
}

/// HTTP/1.0 has no chunks: the connection's end is that of the reply.
#[test]
fn an_old_clients_body_that_breaks_does_not_look_whole() {
    let agent = agent();
    for (what, is_whole) in [
        ("chunks", true),
        ("error in the body", false),
        ("panic in the body", false),
    ] {
        let event = json!(what).to_string();
        let length = event.len();
        let request =
            format!("POST /invocations HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{event}");
        let read = agent.connect().send(request.as_bytes()).try_rest();
        assert_eq!(read.is_ok(), is_whole, "{what}: {read:?}");
    }
}

/// Sent as they are, these would be a 200 that says `{"Err":"the model is gone"}`.
#[test]
fn a_result_in_place_of_a_value_is_a_500_and_the_log_names_the_line_and_the_cure() {
    let agent = agent();
    for (what, names_the_line) in [
        ("a result", true),
        ("a result in a wrapper", false),
        ("a stream of results", true),
    ] {
        assert_eq!(
            agent.invoke(json!(what)).parts(),
            (
                500,
                json!({ "error": "the reply cannot be serialised to JSON" })
            ),
            "{what}"
        );
        let line = agent.line_with("a `Result` cannot be sent");
        assert!(line.contains("`Response::try_stream`"), "{what}: {line}");
        assert_eq!(
            line.contains("(at tests/fixtures/replies.rs:"),
            names_the_line,
            "{what}: {line}"
        );
    }
}

/// What only shows in the item itself.
#[test]
fn a_result_in_place_of_an_item_is_the_error_event() {
    let agent = agent();
    for (what, names_the_line) in [
        ("a stream of boxed results", false),
        ("an event of a result", true),
    ] {
        let reply = agent.invoke(json!(what));
        assert_eq!(reply.status, 200);
        let text = String::from_utf8(reply.body).expect("text");
        assert!(
            text.starts_with(r#"data: {"error":"a `Result` cannot be sent"#),
            "{what}: {text}"
        );
        assert!(
            text.contains(r#""error_type":"SerializationError""#),
            "{what}: {text}"
        );
        let line =
            agent.line_with("the stream of entrypoint `handler` failed: a `Result` cannot be sent");
        assert_eq!(
            line.contains("fixtures/replies.rs:"),
            names_the_line,
            "{what}: {line}"
        );
    }
}

#[test]
fn a_header_that_is_not_valid_is_a_500_and_no_panic() {
    let agent = agent();
    assert_eq!(
        agent.invoke(json!("a title of the user's")).parts(),
        (500, json!({ "error": "Internal server error" }))
    );
    let line = agent.line_with("the value of a reply's header `x-title` is not valid");
    assert!(line.contains("fixtures/replies.rs:"), "{line}");
}
