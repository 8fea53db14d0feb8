//! The forms of entrypoints, seen from outside.

use serde_json::json;

use crate::support::{Agent, Client, post};

#[test]
fn a_sync_entrypoint_may_block_without_holding_up_others() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_sync_entrypoint"),
        &[("AGENTCORE_WORKER_THREADS", "1")],
    );
    // Each waits for all others, on a single worker.
    let running: Vec<_> = (0..4)
        .map(|_| agent.invoke_later(json!({ "meet": 4 })))
        .collect();
    for reply in running {
        assert_eq!(
            reply.join().expect("a reply").parts(),
            (200, json!({ "met": 4 }))
        );
    }
    assert!(!agent.ping().busy);
}

#[test]
fn a_sync_entrypoint_sees_its_own_status_and_survives_a_panic() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_sync_entrypoint"), &[]);
    assert_eq!(
        agent.invoke(json!({ "meet": 1 })).parts(),
        (200, json!({ "met": 1 }))
    );
    assert_eq!(
        agent.invoke(json!({ "status": true })).json(),
        json!({ "status": "Healthy" })
    );
    assert_eq!(
        agent.invoke(json!({ "panic": true })).parts(),
        (500, json!({ "error": "Internal server error" }))
    );
    assert!(!agent.ping().busy);
}

#[test]
fn a_sync_entrypoint_that_is_too_slow_is_answered_504_and_busy_until_it_ends() {
    // The second invocation has so long, too, and needs a moment.
    let limit = [("ENTRYPOINT_TIMEOUT_MS", "5000")];
    let agent = Agent::start(env!("CARGO_BIN_EXE_sync_entrypoint"), &limit);
    // It waits for a second invocation.
    let reply = agent.invoke(json!({ "meet": 2 }));
    assert_eq!(
        reply.parts(),
        (504, json!({ "error": "timed out after 5s" }))
    );
    assert!(agent.ping().busy, "the thread is still at it");
    assert_eq!(
        agent.invoke(json!({ "meet": 2 })).parts(),
        (200, json!({ "met": 2 }))
    );
    agent.until("the first has ended too", |agent| !agent.ping().busy);
}

#[test]
fn a_timeout_is_504_and_drops_the_handler() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_limits"), &[]);
    let reply = agent.invoke(json!("slow"));
    assert_eq!(
        reply.parts(),
        (504, json!({ "error": "timed out after 2s" }))
    );
    agent.line_with("the handler was dropped");
    assert!(!agent.ping().busy);
    assert_eq!(agent.invoke(json!("quick")).parts(), (200, json!("quick")));
}

#[test]
fn a_task_over_its_timeout_is_an_error_of_the_callers_type() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_limits"), &[]);
    assert_eq!(
        agent.invoke(json!("task")).parts(),
        (200, json!("the task: timed out after 20ms"))
    );
}

#[test]
fn a_task_over_its_timeout_is_504_if_its_error_leaves_the_handler() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_limits"),
        &[("AGENTCORE_METRICS", "true")],
    );
    for (what, error) in [
        ("task?", "timed out after 20ms"),
        ("task with a status?", "timed out after 20ms"),
        ("task with an error of its own?", "no answer"),
        ("spawned?", "the task timed out after 20ms"),
    ] {
        let reply = agent.invoke(json!(what));
        assert_eq!(reply.parts(), (504, json!({ "error": error })), "{what}");
    }
    // A status that the program sets has priority, and a task that ends in another way is a 500.
    for (what, status, error) in [
        ("task with another status?", 503, "Service Unavailable"),
        ("panicked?", 500, "the task panicked"),
    ] {
        let reply = agent.invoke(json!(what));
        assert_eq!(reply.parts(), (status, json!({ "error": error })), "{what}");
    }
    // An `HttpError` is counted by its status. A reply may be read before it has been counted.
    for counted in ["{outcome=\"timeout\"} 3", "{outcome=\"error\"} 3"] {
        agent.until(counted, |agent| {
            let metrics = String::from_utf8(agent.get("/metrics").body).expect("text");
            metrics.contains(&format!("agentcore_invocations_total{counted}"))
        });
    }
}

#[test]
fn cancel_on_disconnect_drops_the_handler_with_its_client() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_cancels"), &[]);
    let client = Client::connect(agent.address()).send_post(b"null");
    agent.line_with("the handler runs");
    assert!(agent.ping().busy);
    drop(client);
    agent.line_with("the handler was dropped");
    agent.until_idle();
}

#[test]
fn cancel_on_disconnect_does_so_whatever_the_client_has_sent_behind_its_request() {
    for behind in [
        &b"\r\n"[..],
        b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n",
        &[b'x'; 10_000],
    ] {
        for at_once in [true, false] {
            let agent = Agent::start(env!("CARGO_BIN_EXE_cancels"), &[]);
            let mut request = post(b"null");
            if at_once {
                request.extend(behind);
            }
            let mut client = agent.connect().send(&request);
            agent.line_with("the handler runs");
            if !at_once {
                client.write(behind);
            }
            drop(client);
            agent.line_with("the handler was dropped");
            agent.until_idle();
        }
    }
}

#[test]
fn arguments_are_recognised_by_type_in_any_order() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_arguments"), &[]);
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\nx-tenant: acme\r\ncontent-length: 14\r\n\r\n{\"count\": 4.0}";
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        reply.parts(),
        (
            422,
            json!({
                "error": "Invalid payload",
                "details": "invalid type: floating point `4.0`, expected u32 at line 1 column 13",
                "path": "count",
            })
        )
    );
    let request = request.replace("4.0", " 42");
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(
        reply.parts(),
        (
            201,
            json!({ "tenant": "acme", "count": 42, "bytes": 14, "host": "a" })
        )
    );
    assert_eq!(reply.header("x-made-by"), Some("hand"));
    let reply = agent.invoke(json!({ "count": 1 }));
    assert_eq!(reply.parts(), (400, json!({ "error": "no tenant" })));
}

#[test]
fn an_entrypoint_without_a_payload_ignores_the_body() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_hooks"), &[]);
    for body in [&b""[..], b"{", b"\xff"] {
        assert_eq!(agent.post(body).parts(), (200, json!("made by a hook")));
    }
}
