//! Time limits of streamed replies: the client and the log get the error, the producer is dropped, and the agent is idle again.

use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE, wait_until};

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_stream_limits"), environment)
}

fn late(error: &str) -> Value {
    json!({
        "error": error,
        "error_type": "TimedOut",
        "message": "An error occurred during streaming",
    })
}

/// Waits until the log has `why`, a worker has dropped the producer, and nothing is in progress any more.
fn is_over(agent: &Agent, why: &str) -> Value {
    let [said, dropped] = agent.lines_with([why, "the producer was dropped on "]);
    assert!(dropped.ends_with("agentcore-worker"), "{dropped}");
    agent.until_idle();
    serde_json::from_str(&said).expect("JSON")
}

/// Neither items in good time nor a producer that never waits suspend the limit of the whole invocation.
#[test]
fn a_timeout_ends_a_stream_that_goes_on_and_on() {
    let agent = agent(&[("TIMEOUT_MS", "500"), ("IDLE_TIMEOUT_MS", "60000")]);
    for kind in ["steady", "flood"] {
        // On a busy machine the limit may be over before the first item.
        wait_until(DEADLINE, &format!("{kind}: an item comes"), || {
            let reply = agent.invoke(json!(kind));
            assert_eq!(reply.status, 200);
            let mut events = reply.events();
            assert_eq!(events.pop(), Some(late("timed out after 500ms")), "{kind}");
            assert!(events.iter().all(|event| *event == 1), "{kind}");
            let line = is_over(
                &agent,
                "the stream of entrypoint `handler` failed: timed out after 500ms",
            );
            assert_eq!(line["level"], "ERROR");
            assert!(line["requestId"].is_string(), "{line}");
            !events.is_empty()
        });
    }
}

#[test]
fn a_timeout_before_the_stream_is_a_504() {
    let agent = agent(&[("TIMEOUT_MS", "300")]);
    assert_eq!(
        agent.invoke(json!("hang")).parts(),
        (504, json!({ "error": "timed out after 300ms" }))
    );
    agent.until_idle();
}

/// The attribute sets the limit.
#[test]
fn an_idle_timeout_ends_a_stream_that_stands_still() {
    let agent = agent(&[]);
    let events = agent.invoke(json!("stuck")).events();
    assert_eq!(events, [json!("one"), late("no item for 300ms")]);
    agent.lines_with([
        "the stream of entrypoint `handler` failed: no item for 300ms",
        // The task that the handler has left sees the cancellation.
        "the token is cancelled",
        "the producer was dropped on agentcore-worker",
    ]);
    agent.until_idle();
}

/// A body that the handler made has no place for an error, so it breaks off.
#[test]
fn a_body_that_is_no_stream_of_events_breaks_off() {
    let agent = agent(&[]);
    let mut client = agent.connect().send_post(b"\"body\"");
    assert_eq!(client.head().0, 200);
    assert_eq!(client.chunk(), b"one");
    assert_eq!(client.rest(), b"", "neither a piece nor an end");
    is_over(
        &agent,
        "the stream of entrypoint `handler` failed: no item for 300ms",
    );
}

#[test]
fn replies_that_are_in_time_are_left_alone() {
    let agent = agent(&[("TIMEOUT_MS", "60000"), ("IDLE_TIMEOUT_MS", "60000")]);
    let events = agent.invoke(json!("short")).events();
    assert_eq!(events, [json!("one"), json!("two")]);
    assert_eq!(agent.invoke(json!("text")).body, b"text");
    agent.until_idle();
}

#[test]
fn a_check_names_the_limits() {
    let outcome = crate::support::run(
        env!("CARGO_BIN_EXE_stream_limits"),
        &["--check"],
        &[("TIMEOUT_MS", "90000")],
    );
    assert!(
        outcome
            .stdout
            .contains("), within 1m 30s, at most 300ms between two items of a stream\n"),
        "{outcome:?}"
    );
}
