//! After a restore from a snapshot: calls wait for the restore hooks, the health probe does not, and calls and sessions of the
//! snapshot go on.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::asking::{Asked, accepted, text};
use crate::restorable::Restorable;
use crate::sessions::Session;
use crate::support::{Client, Latch, get};
use crate::{ACCEPT, ASKING, FURTHER_PORTS, call, mcp_address, message, send};

#[test]
fn a_call_waits_for_the_restore_hooks_and_the_probe_does_not() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let Some(mut restorable) = Restorable::start(FURTHER_PORTS, &[("RESTORE", &port)]) else {
        return;
    };
    let address = mcp_address(&restorable.agent);
    restorable.restore();
    // The platform's probe is the first to come, and begins the run.
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    let probe = || send(address, "accept: application/json\r\n", &ping);
    assert_eq!(probe().json()["result"], json!({}));
    let held = latch.held();
    let begin =
        |body: &Value| Client::connect(address).send(&message("/mcp", ACCEPT, &body.to_string()));
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    let waiting = [
        begin(&call("echo", &json!({ "text": "hello" }))),
        begin(&list),
    ];
    assert_eq!(probe().json()["result"], json!({}));
    let status = Client::connect(address).send(&get("/ping")).reply();
    assert_eq!(status.status, 200);
    for client in &waiting {
        assert!(!client.has_more(), "it has to wait");
    }
    drop(held);
    let [called, listed] = waiting.map(|client| client.reply().json());
    assert_eq!(called["result"]["content"][0]["text"], "hello");
    assert_eq!(listed["result"]["tools"][0]["name"], "echo");
}

#[test]
fn a_call_is_refused_if_the_restore_hooks_fail() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    for (errors, status) in [("http", 503), ("in-band", 200)] {
        let environment = [("RESTORE", &*port), ("AGENTCORE_ERRORS", errors)];
        let Some(mut restorable) = Restorable::start(FURTHER_PORTS, &environment) else {
            return;
        };
        let address = mcp_address(&restorable.agent);
        restorable.restore();
        let begun = call("echo", &json!({ "text": "hello" })).to_string();
        let client = Client::connect(address).send(&message("/mcp", ACCEPT, &begun));
        let mut held = latch.held();
        held.write_all(b"e").expect("a hook that waits");
        let reply = client.reply();
        assert_eq!(reply.status, status);
        let error = reply.json();
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&json!(7), &json!(-32000))
        );
        assert_eq!(error["error"]["data"]["status"], 503);
        restorable.agent.until_idle();
    }
}

/// The key that sealed the state of the call is the snapshot's.
#[test]
fn a_call_that_asked_before_the_snapshot_goes_on_after_it() {
    let Some(mut restorable) = Restorable::start(ASKING, &[]) else {
        return;
    };
    let client = Asked::new(&restorable.agent);
    let goal = json!({ "goal": "dinner" });
    let asked = client.call("plan", &goal);
    // The state is good for an hour.
    restorable.clock.move_on(Duration::from_secs(600));
    let yes = json!({ "approval": accepted(&json!({ "run": true })) });
    let done = client.again("plan", &goal, &asked["result"], &yes);
    assert_eq!(text(&done), "dinner 1 in run 2");
    restorable.agent.line_with("restored from a snapshot");
}

#[test]
fn a_session_of_the_snapshot_goes_on_after_a_restore() {
    let Some(mut restorable) = Restorable::start(ASKING, &[]) else {
        return;
    };
    let session = Session::begin(&restorable.agent);
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    restorable.restore();
    session.answer(
        &question,
        &json!({ "action": "accept", "content": { "name": "Ada" } }),
    );
    let done = events.result(7);
    assert_eq!(done["result"]["content"][0]["text"], "Ada");
    restorable.agent.line_with("restored from a snapshot");
}
