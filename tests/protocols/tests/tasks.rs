//! Calls that become tasks: what they answer, until when they keep the agent busy, and whose they are.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, Latch};
use crate::{ACCEPT, BOTH_PORTS, call, mcp_address, modern_call, send};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// A request of a client that can poll, in a session.
pub(crate) fn ask(address: SocketAddr, session: &str, method: &str, params: &Value) -> Value {
    let name = params["name"]
        .as_str()
        .or(params["taskId"].as_str())
        .expect("a name");
    let head = format!(
        "{ACCEPT}mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {name}\r\n{SESSION}: {session}\r\n"
    );
    let mut body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    body["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
    });
    send(address, &head, &body).json()
}

fn begin(address: SocketAddr, session: &str, latch: &Latch) -> Value {
    let params = json!({ "name": "job", "arguments": { "port": latch.port() } });
    let begun = ask(address, session, "tools/call", &params);
    assert_eq!(begun["result"]["resultType"], "task", "{begun}");
    begun["result"]["taskId"].clone()
}

#[test]
fn a_task_keeps_the_agent_busy_to_its_end_and_its_result_is_its_sessions() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let (own, other) = ("a".repeat(33), "b".repeat(33));
    let id = begin(address, &own, &latch);
    let held = latch.held();
    assert!(agent.ping().busy);
    let get = |session: &str| ask(address, session, "tasks/get", &json!({ "taskId": id }));
    assert_eq!(get(&own)["result"]["status"], "working");
    assert_eq!(get(&other)["error"]["code"], -32602);
    drop(held);
    agent.until("the task has ended", |_| {
        get(&own)["result"]["status"] == "completed"
    });
    agent.until_idle();
    let task = &get(&own)["result"];
    assert_eq!(task["result"]["content"][0]["text"], "done");
    assert_eq!(task["ttlMs"], 3_600_000);
    assert_eq!(get(&other)["error"]["code"], -32602);
}

#[test]
fn a_task_is_cancelled_by_its_session_alone() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let (own, other) = ("a".repeat(33), "b".repeat(33));
    let id = begin(address, &own, &latch);
    let _held = latch.held();
    let params = || json!({ "taskId": id });
    assert_eq!(
        ask(address, &other, "tasks/cancel", &params())["error"]["code"],
        -32602
    );
    assert!(agent.ping().busy);
    assert!(ask(address, &own, "tasks/cancel", &params())["error"].is_null());
    let get = || ask(address, &own, "tasks/get", &params());
    agent.until("the task has ended", |_| {
        get()["result"]["status"] == "cancelled"
    });
    agent.until_idle();
}

#[test]
fn a_function_that_is_not_async_is_told_of_the_cancellation_and_counts_until_it_returns() {
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let session = "a".repeat(33);
    let params = json!({ "name": "stubborn", "arguments": { "port": latch.port() } });
    let begun = ask(address, &session, "tools/call", &params);
    assert_eq!(begun["result"]["resultType"], "task", "{begun}");
    let params = || json!({ "taskId": begun["result"]["taskId"] });
    let refused = || send(address, ACCEPT, &call("whoami", &json!({}))).status == 503;
    assert!(agent.ping().busy);
    assert!(refused(), "the task has the permit");
    assert!(ask(address, &session, "tasks/cancel", &params())["error"].is_null());
    // It has seen the token.
    let held = latch.held();
    agent.until("the task has ended", |_| {
        ask(address, &session, "tasks/get", &params())["result"]["status"] == "cancelled"
    });
    assert!(agent.ping().busy);
    assert!(refused(), "the thread works");
    drop(held);
    agent.until_idle();
    assert_eq!(
        send(address, ACCEPT, &call("whoami", &json!({}))).status,
        200
    );
}

#[test]
fn a_client_that_cannot_poll_is_told_what_it_needs() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let (head, body) = modern_call("job", &json!({ "port": 1 }));
    let reply = send(mcp_address(&agent), &head, &body);
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (400, &json!(-32021))
    );
}
