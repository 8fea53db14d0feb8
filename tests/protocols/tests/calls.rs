//! Calls: their results and failures, what makes the agent busy, what becomes of a call whose client leaves.

use serde_json::{Value, json};

use crate::support::{Agent, Client, Latch, get};
use crate::{ACCEPT, BOTH_PORTS, TOOLS_ONLY, call, mcp_address, message, modern_call, send};

#[test]
fn both_eras_are_served_on_one_path() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    assert_eq!(
        address,
        agent.address(),
        "tools alone have the port for themselves"
    );
    let value = json!({ "city": "Oslo", "celsius": [4, 4] });
    let arguments = json!({ "city": "Oslo", "days": 2 });
    let session =
        format!("{ACCEPT}mcp-session-id: foreign\r\nmcp-protocol-version: 2025-06-18\r\n");
    let reply = send(address, &session, &call("forecast", &arguments)).json();
    assert_eq!(reply["result"]["structuredContent"], value);
    let (head, body) = modern_call("forecast", &arguments);
    let reply = send(address, &head, &body).json();
    assert_eq!(reply["result"]["structuredContent"], value);
    assert_eq!(reply["result"]["resultType"], "complete");
}

#[test]
fn an_agent_without_questions_and_resources_has_no_sessions() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let initialize = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": { "protocolVersion": "2025-06-18", "capabilities": { "elicitation": {} }, "clientInfo": { "name": "test", "version": "1" } },
    });
    let reply = send(address, ACCEPT, &initialize);
    assert_eq!(reply.json()["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(
        reply.json()["result"]["serverInfo"]["name"],
        "agentcore-protocol-tests"
    );
    assert_eq!(reply.header("mcp-session-id"), None);
    let delete = b"DELETE /mcp HTTP/1.1\r\nhost: agent\r\nmcp-session-id: any\r\n\r\n";
    let reply = Client::connect(address).send(delete).reply();
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[test]
fn a_failure_is_for_the_model_and_has_one_line() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    for (tool, arguments, text, line) in [
        (
            "fail",
            json!({ "text": "no such city" }),
            "no such city",
            "tool `fail` failed: no such city",
        ),
        (
            "late",
            json!({}),
            "timed out after 50ms",
            "tool `late` timed out after 50ms",
        ),
        (
            "give_up",
            json!({}),
            "Internal error of the tool",
            "tool `give_up` panicked: the secret of the panic",
        ),
        (
            "fail",
            json!({ "txet": 1 }),
            "invalid arguments: `text` is missing; unknown argument `txet`; the tool takes `text`",
            "tool `fail` answered 200",
        ),
    ] {
        let reply = send(address, ACCEPT, &call(tool, &arguments));
        let result = &reply.json()["result"];
        assert_eq!(
            (reply.status, &result["isError"]),
            (200, &json!(true)),
            "{result}"
        );
        assert_eq!(result["content"][0]["text"], text);
        let line = agent.line_with(line);
        assert!(line.contains("tool"), "{line}");
    }
    let unknown = send(address, ACCEPT, &call("nothing", &json!({}))).json();
    assert_eq!(unknown["error"]["code"], -32602);
    assert!(!agent.ping().busy);
}

#[test]
fn a_call_makes_the_agent_busy_on_both_ports_until_its_end() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let port = latch.port();
    let waiting = std::thread::spawn(move || {
        send(address, ACCEPT, &call("wait_at", &json!({ "port": port })))
    });
    let held = latch.held();
    assert!(agent.ping().busy);
    let status = Client::connect(address).send(&get("/ping")).reply();
    assert_eq!(status.json()["status"], "HealthyBusy");
    drop(held);
    assert_eq!(waiting.join().expect("a reply").status, 200);
    agent.until_idle();
}

#[test]
fn a_client_that_leaves_cancels_a_call_of_the_new_era_alone() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let arguments = json!({ "port": latch.port() });
    let (head, body) = modern_call("hang", &arguments);
    let client = Client::connect(address).send(&message("/mcp", &head, &body.to_string()));
    let mut held = latch.held();
    assert!(agent.ping().busy);
    drop(client);
    // The function is dropped, and with it its connection.
    let end = std::io::Read::read(&mut held, &mut [0]).expect("an end");
    assert_eq!(end, 0);
    agent.until_idle();

    let body = call("wait_at", &arguments).to_string();
    let client = Client::connect(address).send(&message("/mcp", ACCEPT, &body));
    let held = latch.held();
    drop(client);
    // The front reads connections in turn: after further ones it has seen the end of the first.
    for _ in 0..8 {
        assert!(agent.ping().busy);
        assert_eq!(
            send(address, ACCEPT, &call("whoami", &json!({}))).status,
            200
        );
    }
    drop(held);
    agent.line_with("tool `wait_at` answered 200");
    agent.until_idle();
}

#[test]
fn a_mounted_server_has_the_probe_and_makes_the_agent_busy() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_mounted"), &[]);
    let address = mcp_address(&agent);
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "params": null, "id": 4 });
    let reply = send(address, "accept: application/json\r\n", &ping);
    assert_eq!(
        reply.parts(),
        (200, json!({ "jsonrpc": "2.0", "id": 4, "result": {} }))
    );
    let latch = Latch::new();
    let port = latch.port();
    let waiting =
        std::thread::spawn(move || send(address, ACCEPT, &call("wait", &json!({ "port": port }))));
    let held = latch.held();
    assert!(agent.ping().busy);
    drop(held);
    let reply = waiting.join().expect("a reply").json();
    assert_eq!(reply["result"]["content"][0]["text"], "waited");
    agent.until_idle();
}

#[test]
fn sessions_are_those_of_the_platform() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let session = "s".repeat(33);
    let head = format!("{ACCEPT}x-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n");
    let reply = send(mcp_address(&agent), &head, &call("whoami", &json!({}))).json();
    assert_eq!(reply["result"]["content"][0]["text"], json!(session));
}

#[test]
fn what_is_no_message_is_refused_and_the_server_goes_on() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    for body in [
        "",
        "{",
        "[]",
        "7",
        "null",
        r#"{"jsonrpc":"2.0"}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
    ] {
        let reply = Client::connect(address)
            .send(&message("/mcp", ACCEPT, body))
            .reply();
        assert!((400..500).contains(&reply.status), "{body}: {reply:?}");
    }
    for request in [get("/mcp"), get("/")] {
        let reply = Client::connect(address).send(&request).reply();
        assert!(matches!(reply.status, 404 | 405), "{reply:?}");
    }
    let foreign = format!("{ACCEPT}origin: https://evil.example\r\n");
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(send(address, &foreign, &list).status, 403);
    let own = format!("{ACCEPT}origin: http://localhost:3000\r\n");
    assert_eq!(send(address, &own, &list).status, 200);
    let reply: Value = send(address, ACCEPT, &list).json();
    assert_eq!(reply["result"]["tools"].as_array().map(Vec::len), Some(36));
}

#[test]
fn parameters_that_do_not_fit_are_named_with_their_place() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    let (head, mut modern) = modern_call("greet", &json!({}));
    modern["params"]["arguments"] = json!([]);
    let mut legacy = call("greet", &json!({}));
    legacy["params"]["arguments"] = json!([]);
    for (head, body) in [(&*head, modern), (ACCEPT, legacy)] {
        let reply = send(address, head, &body).json();
        assert_eq!(reply["error"]["code"], -32602, "{reply}");
        let message = reply["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("params.arguments: "), "{message}");
    }
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "no/such/method", "params": {} });
    let reply = send(address, ACCEPT, &unknown).json();
    assert_eq!(reply["error"]["code"], -32601, "{reply}");
    // A method that the revision has not got stays unknown.
    let (_, mut removed) = modern_call("greet", &json!({}));
    removed["method"] = "resources/subscribe".into();
    let head =
        format!("{ACCEPT}mcp-protocol-version: 2026-07-28\r\nmcp-method: resources/subscribe\r\n");
    let reply = send(address, &head, &removed);
    assert_eq!(reply.status, 404, "{reply:?}");
    assert_eq!(reply.json()["error"]["code"], -32601);
}
