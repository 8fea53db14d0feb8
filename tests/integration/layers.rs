//! Middleware: tower-http's layers work as elsewhere, and the status stays right.

use serde_json::json;

use crate::support::Agent;

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_layers"), &[])
}

#[test]
fn a_reply_goes_through_all_layers() {
    let agent = agent();
    let reply = agent.invoke(json!({}));
    assert_eq!(
        reply.parts(),
        (
            200,
            json!({ "ping_status": "Healthy", "added": "by a layer" })
        )
    );
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(!agent.ping().busy);
}

#[test]
fn a_preflight_is_answered_by_the_layer_and_is_no_work() {
    let agent = agent();
    let before = agent.ping();
    let request = "OPTIONS /invocations HTTP/1.1\r\nhost: a\r\norigin: http://localhost\r\n\
        access-control-request-method: POST\r\n\r\n";
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        (reply.status, reply.header("access-control-allow-methods")),
        (200, Some("*"))
    );
    assert_eq!(agent.ping(), before);
}

#[test]
fn a_compressed_reply_is_smaller_and_arrives_whole() {
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\ncontent-length: 18\r\n\r\n{\"action\":\"large\"}";
    let agent = agent();
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        (reply.status, reply.header("content-encoding")),
        (200, Some("gzip"))
    );
    assert!(
        reply.body.len() < 10_000 && reply.body.starts_with(b"\x1f\x8b"),
        "{} bytes",
        reply.body.len()
    );
    agent.until_idle();
}

#[test]
fn a_layers_timeout_answers_and_cancels_the_handler() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_layers"),
        &[("LAYER_TIMEOUT_MS", "2000")],
    );
    assert_eq!(agent.invoke(json!({ "action": "hang" })).status, 408);
    agent.lines_with([
        "entrypoint `handler` was cancelled: a layer answered 408 in its place",
        "the handler was dropped",
    ]);
    agent.until_idle();
    // A call that answered in time is not in the log.
    assert_eq!(agent.invoke(json!({})).status, 200);
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.matches("was cancelled").count(), 0, "{log}");
}

/// What the layers answer to an invocation is in-band as the agent's own errors are. No platform routes other paths.
#[test]
fn errors_of_layers_are_in_band() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_layers"),
        &[
            ("AGENTCORE_ERRORS", "in-band"),
            ("LAYER_TIMEOUT_MS", "2000"),
        ],
    );
    let late = agent.invoke(json!({ "action": "hang" })).parts();
    assert_eq!(
        late,
        (200, json!({ "error": "Request Timeout", "status": 408 }))
    );
    assert_eq!(agent.get("/nowhere").status, 404);
    assert_eq!(agent.get("/invocations").status, 405);
}

/// The layers' own call goes on without its client, so no layer drops anything.
#[test]
fn a_client_that_leaves_cancels_nothing_behind_layers() {
    let agent = odd("plain");
    let client = agent.connect().send_post(br#"{"action":"wait"}"#);
    agent.line_with("waiting");
    drop(client);
    assert_eq!(agent.invoke(json!({ "action": "open" })).status, 200);
    agent.line_with("waited");
    agent.until_idle();
}

#[test]
fn errors_panics_and_unknown_paths_keep_their_answers() {
    let agent = agent();
    assert_eq!(
        agent.invoke(json!({ "action": "error" })).parts(),
        (409, json!({ "error": "conflict" }))
    );
    assert_eq!(
        agent.invoke(json!({ "action": "panic" })).parts(),
        (500, json!({ "error": "Internal server error" }))
    );
    assert_eq!(agent.post("{").status, 400);
    assert_eq!(
        agent.get("/nowhere").parts(),
        (404, json!({ "error": "Not Found" }))
    );
    assert_eq!(agent.get("/invocations").status, 405);
    agent.until_idle();
}

#[test]
fn a_session_takes_its_turn_before_the_layers_are_asked() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_layers"),
        &[
            ("AGENTCORE_SESSION_POLICY", "reject"),
            // Long enough to see the session refused.
            ("LAYER_TIMEOUT_MS", "8000"),
        ],
    );
    let invoke = |event: &str| {
        let head = format!(
            "POST /invocations HTTP/1.1\r\nhost: a\r\nx-amzn-bedrock-agentcore-runtime-session-id: one\r\n\
             content-length: {}\r\n\r\n",
            event.len()
        );
        agent.connect().send((head + event).as_bytes())
    };
    let hanging = invoke(r#"{"action": "hang"}"#);
    agent.until("it hangs", |agent| agent.ping().busy);
    agent.until("the session is refused", |_| {
        invoke("{}").reply().status == 409
    });
    assert_eq!(agent.invoke(json!({})).status, 200);
    // The layer drops the handler, and the session's turn is free again.
    assert_eq!(hanging.reply().status, 408);
    agent.until("the session is free", |_| {
        invoke("{}").reply().status == 200
    });
}

fn odd(how: &str) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_layers"), &[("ODD", how)])
}

#[test]
fn a_layer_may_make_a_request_of_its_own() {
    let agent = odd("rebuilds");
    assert_eq!(
        agent.invoke(json!({})).parts(),
        (200, json!({ "ping_status": "Healthy", "added": null }))
    );
    agent.until("the agent is idle", |agent| !agent.ping().busy);
}

#[test]
fn an_agent_that_a_layer_calls_behind_its_answer_is_busy_until_it_has_ended() {
    let agent = odd("early");
    assert_eq!(agent.invoke(json!({ "action": "wait" })).status, 202);
    agent.line_with("waiting");
    assert!(agent.ping().busy);
    assert_eq!(agent.invoke(json!({ "action": "open" })).status, 202);
    agent.until("the agent is idle", |agent| !agent.ping().busy);
}

#[test]
fn a_layer_that_calls_the_agent_for_no_request_is_named_in_the_log() {
    let agent = odd("elsewhere");
    assert_eq!(agent.invoke(json!({})).status, 202);
    agent.line_with("a layer called the agent outside of a request in flight");
    agent.until("the agent is idle", |agent| !agent.ping().busy);
}
