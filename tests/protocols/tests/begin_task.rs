//! Functions that begin a task: what is asked before and after it, and every way to end before and after it.

use serde_json::{Value, json};

use crate::asking::{Asked, accepted, text};
use crate::support::{Agent, Client, Latch, all_at_once};
use crate::{ACCEPT, ASKING, call, mcp_address, message, send};

/// A client that polls.
fn polling(agent: &Agent) -> Asked<'static> {
    Asked {
        capabilities: json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }),
        ..Asked::new(agent)
    }
}

/// A call of `later` that is in progress: its client polls.
fn later(agent: &Agent, latch: &Latch, last: &str) -> Client {
    let arguments = json!({ "port": latch.port(), "last": last });
    let (head, body) = polling(agent).message(
        "tools/call",
        json!({ "name": "later", "arguments": arguments }),
    );
    Client::connect(mcp_address(agent)).send(&message("/mcp", &head, &body.to_string()))
}

/// The id of the task in the reply to a call.
fn begun(reply: Client) -> Value {
    let begun = reply.reply().json();
    assert_eq!(begun["result"]["resultType"], "task", "{begun}");
    begun["result"]["taskId"].clone()
}

fn get(agent: &Agent, id: &Value) -> Value {
    let reply = polling(agent).send("tasks/get", json!({ "taskId": id }));
    reply.json()["result"].clone()
}

#[test]
fn a_function_asks_before_and_after_it_begins_a_task() {
    let agent = Agent::start(ASKING, &[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let client = polling(&agent);
    let asked = &client.call("ask_first", &json!({}))["result"];
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert!(asked["taskId"].is_null(), "{asked}");
    // Nothing runs while the user thinks.
    agent.until_idle();
    let ada = json!({ "name": accepted(&json!({ "name": "Ada" })) });
    let begun = &client.again("ask_first", &json!({}), asked, &ada)["result"];
    assert_eq!(begun["resultType"], "task", "{begun}");
    assert!(begun["requestState"].is_null() && begun["inputRequests"].is_null());
    assert!(agent.ping().busy);
    let id = &begun["taskId"];
    let get = || client.send("tasks/get", json!({ "taskId": id })).json()["result"].clone();
    // The question from before the task is asked by its status.
    let status = get();
    assert_eq!(status["status"], "input_required", "{status}");
    let message = &status["inputRequests"]["approval"]["params"]["message"];
    assert_eq!(message, "Run?");
    let refused = || send(client.address, ACCEPT, &call("can", &json!({}))).status == 503;
    assert!(refused(), "the task has the permit");
    let yes = json!({ "approval": accepted(&json!({ "run": true })) });
    client.send(
        "tasks/update",
        json!({ "taskId": id, "inputResponses": yes }),
    );
    agent.until("the task has ended", |_| get()["status"] == "completed");
    let text = "Some(\"Ada\"), runs: true, task: true";
    assert_eq!(get()["result"]["content"][0]["text"], text);
    agent.until_idle();
    assert!(!refused(), "the permit is free");
}

#[test]
fn a_function_begins_no_task_for_a_client_that_does_not_poll() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    let asked = client.call("ask_first", &json!({}));
    let ada = json!({ "name": accepted(&json!({ "name": "Ada" })) });
    let asked = client.again("ask_first", &json!({}), &asked["result"], &ada);
    assert_eq!(
        asked["result"]["inputRequests"]["approval"]["params"]["message"], "Run?",
        "{asked}"
    );
    let no = json!({ "approval": { "action": "decline" } });
    let done = client.again("ask_first", &json!({}), &asked["result"], &no);
    assert_eq!(text(&done), "Some(\"Ada\"), runs: false, task: false");
    agent.until_idle();
}

#[test]
fn a_call_is_as_busy_as_another_until_it_is_a_task() {
    let agent = Agent::start(ASKING, &[("AGENTCORE_BUSY_WHILE", "tasks")]);
    let latch = Latch::new();
    let reply = later(&agent, &latch, "Value");
    let held = latch.held();
    assert!(!agent.ping().busy, "a call is no task");
    drop(held);
    let held = latch.held();
    let id = begun(reply);
    assert!(agent.ping().busy, "a task");
    drop(held);
    agent.until("the task has ended", |agent| {
        get(agent, &id)["status"] == "completed"
    });
    // It stays a task.
    let text = &get(&agent, &id)["result"]["content"][0]["text"];
    assert_eq!(text, "true, true");
    agent.until_idle();
}

#[test]
fn a_client_that_leaves_ends_a_call_and_no_task() {
    let agent = Agent::start(ASKING, &[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let latch = Latch::new();
    let call = later(&agent, &latch, "Value");
    let held = latch.held();
    drop(call);
    // The function has been dropped where it waited.
    agent.until_idle();
    drop(held);
    let call = later(&agent, &latch, "Value");
    drop(latch.held());
    let held = latch.held();
    let id = begun(call);
    assert!(agent.ping().busy);
    drop(held);
    agent.until("the task has ended", |agent| {
        get(agent, &id)["status"] == "completed"
    });
    agent.until_idle();
}

#[test]
fn a_task_that_has_begun_keeps_the_agent_busy_to_its_end() {
    let cells = [
        ("Value", "completed"),
        ("Error", "completed"),
        ("Panic", "failed"),
        ("cancelled", "cancelled"),
    ];
    all_at_once(&cells, |&(end, status)| {
        let agent = Agent::start(ASKING, &[("AGENTCORE_MAX_INVOCATIONS", "1")]);
        let latch = Latch::new();
        let is_cancelled = end == "cancelled";
        let call = later(&agent, &latch, if is_cancelled { "Value" } else { end });
        drop(latch.held());
        let held = latch.held();
        let id = begun(call);
        assert!(agent.ping().busy, "{end}");
        if is_cancelled {
            polling(&agent).send("tasks/cancel", json!({ "taskId": id }));
            // What the function waits for has not ended, and the function has been dropped.
            agent.until_idle();
        }
        drop(held);
        agent.until_idle();
        let found = get(&agent, &id);
        assert_eq!(found["status"], status, "{found}");
        assert_eq!(
            found["result"]["isError"] == true,
            end == "Error",
            "{found}"
        );
        assert!(!found.to_string().contains("secret"), "{found}");
        // The permit is free.
        let reply = send(mcp_address(&agent), ACCEPT, &crate::call("can", &json!({})));
        assert_eq!(reply.status, 200);
    });
}

#[test]
fn a_panic_has_a_line_of_its_own_whatever_lines_are_wanted() {
    let cells = [
        ("AGENTCORE_LOG_INVOCATIONS", "off"),
        ("AGENTCORE_LOG_INVOCATIONS", "info"),
        ("AGENTCORE_LOG", "warn"),
    ];
    all_at_once(&cells, |&setting| {
        let agent = Agent::start(ASKING, &[setting]);
        let latch = Latch::new();
        let call = later(&agent, &latch, "Panic");
        drop(latch.held());
        let held = latch.held();
        let id = begun(call);
        drop(held);
        let line = agent.line_with("tool `later` panicked: the secret of the panic");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["level"], "ERROR");
        assert!(line["requestId"].is_string(), "{line}");
        agent.until("the task has ended", |agent| {
            get(agent, &id)["status"] == "failed"
        });
        agent.until_idle();
    });
}

#[test]
fn no_task_begins_during_a_stop_and_the_reply_has_the_result() {
    let agent = Agent::start(ASKING, &[]);
    let latch = Latch::new();
    let call = later(&agent, &latch, "Value");
    let held = latch.held();
    agent.signal("TERM");
    agent.line_with("SIGTERM");
    drop(held);
    drop(latch.held());
    assert_eq!(text(&call.reply().json()), "false, false");
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_stop_ends_the_questions_of_a_task() {
    // The harness waits for less than this.
    let agent = Agent::start(ASKING, &[("AGENTCORE_SHUTDOWN_GRACE", "600s")]);
    let latch = Latch::new();
    let call = later(&agent, &latch, "Ask");
    drop(latch.held());
    let held = latch.held();
    begun(call);
    agent.signal("TERM");
    agent.line_with("SIGTERM");
    drop(held);
    agent.line_with("tool `later` failed: ");
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
}
