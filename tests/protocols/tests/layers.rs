//! Layers around the port of the Model Context Protocol, and what is refused before them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, Client, Latch, Reply, get};
use crate::{ACCEPT, BOTH_PORTS, FURTHER_PORTS, call, mcp_address, message, modern_call, send};

const TOKEN: &str = "authorization: Bearer abc\r\n";

fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Reply {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: agent\r\n{headers}\r\n");
    Client::connect(address).send(request.as_bytes()).reply()
}

#[test]
fn a_layer_that_checks_a_token_guards_the_tools() {
    let hello = json!({ "text": "hello" });
    for environment in [
        &[("TOKEN", "abc")][..],
        &[("TOKEN", "abc"), ("MOUNTED", "1")],
        &[("TOKEN", "abc"), ("AGENTCORE_ERRORS", "in-band")],
    ] {
        let agent = Agent::start(FURTHER_PORTS, environment);
        let address = mcp_address(&agent);
        let is_mounted = environment.contains(&("MOUNTED", "1"));
        for (head, body) in [
            (ACCEPT.to_owned(), call("echo", &hello)),
            modern_call("echo", &hello),
            (
                ACCEPT.to_owned(),
                json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
            ),
        ] {
            let refused = send(address, &head, &body);
            assert_eq!(refused.status, 401, "{body}");
            assert_eq!(refused.body, b"who are you?");
            let let_in = send(address, &format!("{head}{TOKEN}"), &body);
            assert_eq!(let_in.status, 200, "{body}");
            let found = let_in.json();
            assert!(is_mounted || found["result"].is_object(), "{found}");
        }
        // The platform sends no token with these.
        let ping = json!({ "jsonrpc": "2.0", "method": "ping", "params": null, "id": 4 });
        let pong = json!({ "jsonrpc": "2.0", "id": 4, "result": {} });
        let accept = "accept: application/json\r\n";
        assert_eq!(send(address, accept, &ping).parts(), (200, pong));
        assert_eq!(
            Client::connect(address).send(&get("/ping")).reply().status,
            200
        );
        // Layers see the rest as well, and may answer it.
        for (method, path, status) in [("OPTIONS", "/mcp", 405), ("GET", "/elsewhere", 404)] {
            assert_eq!(ask(address, method, path, "").status, 401);
            assert_eq!(ask(address, method, path, TOKEN).status, status);
        }
    }
}

#[test]
fn a_call_within_layers_makes_the_agent_busy() {
    let agent = Agent::start(FURTHER_PORTS, &[("TOKEN", "abc")]);
    let latch = Latch::new();
    let body = call("wait", &json!({ "port": latch.port() })).to_string();
    let request = message("/mcp", &format!("{ACCEPT}{TOKEN}"), &body);
    let client = Client::connect(mcp_address(&agent)).send(&request);
    let held = latch.held();
    assert!(agent.ping().busy);
    drop(held);
    let reply = client.reply().json();
    assert_eq!(reply["result"]["content"][0]["text"], "waited");
    agent.line_with("tool `wait` answered 200");
    agent.until_idle();
}

#[test]
fn a_client_that_leaves_cancels_a_call_within_layers() {
    let agent = Agent::start(FURTHER_PORTS, &[("TOKEN", "abc")]);
    let latch = Latch::new();
    let (head, body) = modern_call("wait", &json!({ "port": latch.port() }));
    let request = message("/mcp", &format!("{head}{TOKEN}"), &body.to_string());
    let client = Client::connect(mcp_address(&agent)).send(&request);
    let mut held = latch.held();
    drop(client);
    let end = std::io::Read::read(&mut held, &mut [0]).expect("an end");
    assert_eq!(end, 0);
    agent.until_idle();
}

#[test]
fn pages_of_other_machines_are_kept_out_before_anything_is_counted() {
    let metrics = ("AGENTCORE_METRICS", "true");
    for environment in [&[metrics][..], &[metrics, ("MOUNTED", "1")]] {
        let agent = Agent::start(FURTHER_PORTS, environment);
        let foreign = format!("{ACCEPT}origin: https://evil.example\r\n");
        let body = call("echo", &json!({ "text": "hello" }));
        let refused = send(mcp_address(&agent), &foreign, &body);
        assert_eq!(refused.status, 403);
        assert_eq!(refused.json()["error"]["data"]["status"], 403);
        let metrics = String::from_utf8(agent.get("/metrics").body).expect("text");
        let calls = metrics
            .lines()
            .find(|line| !line.starts_with('#') && line.contains("tool") && !line.ends_with(" 0"));
        assert_eq!(calls, None);
    }
}

#[test]
fn values_beyond_the_limit_are_refused() {
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_MAX_JSON_NODES", "50")]);
    let address = mcp_address(&agent);
    let many = call("fail", &json!({ "text": vec![0; 100] }));
    let refused = send(address, ACCEPT, &many);
    assert_eq!(refused.status, 413);
    let error = refused.json();
    assert_eq!(
        (&error["id"], &error["error"]["data"]["status"]),
        (&json!(7), &json!(413))
    );
    let few = call("fail", &json!({ "text": "0,".repeat(100) }));
    assert_eq!(
        send(address, ACCEPT, &few).json()["result"]["isError"],
        true
    );
}

/// A call that has room has it before its body comes, if that is large. A refusal of a smaller one has its id.
#[test]
fn the_limit_of_calls_bounds_their_bodies() {
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_MAX_INVOCATIONS", "1")]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let work = call("work", &json!({ "port": latch.port(), "end": "Value" }));
    let client = Client::connect(address).send(&message("/mcp", ACCEPT, &work.to_string()));
    let held = latch.held();
    let small = call("fail", &json!({ "text": "x".repeat(10 << 10) }));
    let refused = send(address, ACCEPT, &small);
    let said = "Too many invocations";
    assert_eq!(refused.status, 503);
    let error = refused.json();
    assert_eq!(
        (&error["id"], &error["error"]["message"]),
        (&json!(7), &json!(said))
    );
    // The body does not come.
    let head = format!("{ACCEPT}expect: 100-continue\r\ncontent-length: 10000000\r\n");
    let refused = ask(address, "POST", "/mcp", &head);
    assert_eq!((refused.status, &refused.json()["id"]), (503, &Value::Null));
    drop(held);
    assert_eq!(client.reply().status, 200);
    agent.until_idle();
    // The place has been given back, and a large call is let in.
    let large = call("fail", &json!({ "text": "x".repeat(100 << 10) }));
    for _ in 0..2 {
        assert_eq!(send(address, ACCEPT, &large).status, 200);
        agent.until_idle();
    }
}

/// No client prolongs the drain with a body that it sends slowly, and the probe is answered to the end.
#[test]
fn the_drain_lets_in_nothing_but_the_probe() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let agent = Agent::start(
        BOTH_PORTS,
        &[
            ("AGENTCORE_SHUTDOWN_GRACE", "60s"),
            ("HOLD_SHUTDOWN", &port),
        ],
    );
    let address = mcp_address(&agent);
    let working = Latch::new();
    let work = call("work", &json!({ "port": working.port(), "end": "Value" }));
    let client = Client::connect(address).send(&message("/mcp", ACCEPT, &work.to_string()));
    let held = working.held();
    agent.signal("TERM");
    agent.line_with("SIGTERM");
    let large = format!("{ACCEPT}content-length: 10000000\r\n");
    let refused = ask(address, "POST", "/mcp", &large);
    assert_eq!(refused.json()["error"]["message"], "Shutting down");
    let mut slow = Client::connect(address);
    slow.write(b"POST /mcp HTTP/1.1\r\nhost: agent\r\ncontent-length: 1000\r\n\r\n{");
    drop(held);
    assert_eq!(client.reply().status, 200);
    // The drain is over, and the hook runs: the slow body is not waited for.
    let held = latch.held();
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    assert_eq!(send(address, ACCEPT, &ping).status, 200);
    drop(held);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    drop(slow);
}

#[test]
fn the_probe_is_answered_after_work_has_been_cut_off() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let agent = Agent::start(
        BOTH_PORTS,
        &[
            ("AGENTCORE_SHUTDOWN_GRACE", "100ms"),
            ("HOLD_SHUTDOWN", &port),
        ],
    );
    let address = mcp_address(&agent);
    let hanging = Latch::new();
    let hang = call("hang", &json!({ "port": hanging.port() })).to_string();
    let client = Client::connect(address).send(&message("/mcp", ACCEPT, &hang));
    let begun = hanging.held();
    agent.signal("TERM");
    let held = latch.held();
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    let pong = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    assert_eq!(send(address, ACCEPT, &ping).parts(), (200, pong));
    drop(held);
    assert_eq!(agent.wait().0.code(), Some(1));
    drop((client, begun));
}
