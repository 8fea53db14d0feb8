//! The column "tool" of the fault matrix: a call in every way to end. The agent is busy until the end of the work and idle after
//! it, and nothing is left.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Agent, Client, Latch, all_at_once, was_cut_off};
use crate::tasks::ask;
use crate::{ACCEPT, BOTH_PORTS, call, mcp_address, message, modern_call};

/// The number of calls in one round of a cell, all at once. There are two rounds: in the first a process makes its one-time
/// allocations and opens its descriptors.
const CALLS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Legacy,
    Modern,
}

use Era::{Legacy, Modern};

fn begin(address: SocketAddr, era: Era, tool: &str, arguments: &Value) -> Client {
    let (head, body) = match era {
        Legacy => (ACCEPT.to_owned(), call(tool, arguments)),
        Modern => modern_call(tool, arguments),
    };
    Client::connect(address).send(&message("/mcp", &head, &body.to_string()))
}

/// The result of a call, from JSON or from the last event of a stream.
fn result(client: Client) -> Value {
    let reply = client.reply();
    assert_eq!(reply.status, 200);
    let is_stream = reply.header("content-type") == Some("text/event-stream");
    let mut message = if is_stream {
        reply.events().pop().expect("an event")
    } else {
        reply.json()
    };
    message["result"].take()
}

/// Runs two rounds of calls, each of which waits at its latch, and ends them with `end`.
fn rounds(
    agent: &Agent,
    era: Era,
    tool: &str,
    arguments: &Value,
    end: impl Fn(Vec<Client>, Vec<std::net::TcpStream>),
) {
    let address = mcp_address(agent);
    let before = agent.descriptors();
    for _ in 0..2 {
        let latch = Latch::new();
        let mut arguments = arguments.clone();
        arguments["port"] = latch.port().into();
        let begun = || begin(address, era, tool, &arguments);
        let clients: Vec<_> = (0..CALLS).map(|_| begun()).collect();
        let held: Vec<_> = (0..CALLS).map(|_| latch.held()).collect();
        assert!(agent.ping().busy, "{era:?} {tool}");
        end(clients, held);
        agent.until_idle();
        // The agent may be idle before it has closed its side of the connections.
        agent.until("the connections of the round are closed", |agent| {
            agent.descriptors() <= before + CALLS / 2
        });
    }
}

#[test]
fn every_end_is_the_result_of_the_call() {
    let cells = [
        ("Value", false, "done"),
        ("Error", true, "no luck"),
        ("Panic", true, "Internal error of the tool"),
        ("Abort", true, ""),
    ];
    let cells = cells.map(|cell| [(Legacy, cell), (Modern, cell)]).concat();
    all_at_once(&cells, |&(era, (end, fails, text))| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        rounds(
            &agent,
            era,
            "work",
            &json!({ "end": end }),
            |clients, held| {
                drop(held);
                for client in clients {
                    let result = result(client);
                    let said = result["content"][0]["text"].as_str().unwrap_or_default();
                    assert_eq!(result["isError"] == true, fails, "{result}");
                    assert!(said.starts_with(text), "{result}");
                    assert!(!said.contains("secret"), "{result}");
                }
            },
        );
    });
}

#[test]
fn the_last_item_of_a_stream_is_the_result() {
    all_at_once(&[Legacy, Modern], |&era| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        rounds(&agent, era, "steps", &json!({}), |clients, held| {
            drop(held);
            for client in clients {
                assert_eq!(result(client)["content"][0]["text"], "two");
            }
        });
    });
}

#[test]
fn a_limit_is_an_error_and_drops_the_function() {
    all_at_once(&[Legacy, Modern], |&era| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        rounds(&agent, era, "limited", &json!({}), |clients, held| {
            for mut latch in held {
                assert_eq!(latch.read(&mut [0]).expect("an end"), 0);
            }
            for client in clients {
                let result = result(client);
                assert_eq!(result["content"][0]["text"], "timed out after 1s");
            }
        });
    });
}

#[test]
fn a_client_that_leaves_drops_the_function_of_the_new_era_and_no_other() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    rounds(&agent, Modern, "hang", &json!({}), |clients, held| {
        drop(clients);
        for mut latch in held {
            assert_eq!(latch.read(&mut [0]).expect("an end"), 0);
        }
    });
    let agent = Agent::start(BOTH_PORTS, &[]);
    let work = json!({ "end": "Value" });
    rounds(&agent, Legacy, "work", &work, |clients, held| {
        drop(clients);
        assert!(agent.ping().busy);
        drop(held);
        for _ in 0..CALLS {
            agent.line_with("tool `work` answered 200");
        }
    });
}

#[test]
fn a_stop_lets_a_call_finish_and_names_one_that_does_not() {
    all_at_once(&[Legacy, Modern], |&era| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        let latch = Latch::new();
        let work = json!({ "end": "Value", "port": latch.port() });
        let client = begin(mcp_address(&agent), era, "work", &work);
        let held = latch.held();
        agent.signal("TERM");
        agent.line_with("SIGTERM");
        drop(held);
        assert_eq!(result(client)["content"][0]["text"], "done");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");

        let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_SHUTDOWN_GRACE", "100ms")]);
        let latch = Latch::new();
        let hang = json!({ "port": latch.port() });
        let client = begin(mcp_address(&agent), era, "hang", &hang);
        let held = latch.held();
        agent.signal("TERM");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(was_cut_off(&stderr, "call"), "{stderr}");
        drop((client, held));
    });
}

/// While the agent drains, it answers the probe, and refuses calls with an error of JSON-RPC.
#[test]
fn a_refusal_is_an_error_of_json_rpc_whose_status_may_be_in_band() {
    for (errors, expected) in [("http", 503), ("in-band", 200)] {
        let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_ERRORS", errors)]);
        let address = mcp_address(&agent);
        let latch = Latch::new();
        let work = json!({ "end": "Value", "port": latch.port() });
        let in_progress = begin(address, Modern, "work", &work);
        let held = latch.held();
        agent.signal("TERM");
        agent.line_with("SIGTERM");
        let ping = r#"{"jsonrpc":"2.0","method":"ping","params":null,"id":4}"#;
        let probe = Client::connect(address).send(&message("/mcp/", "", ping));
        let pong = json!({ "jsonrpc": "2.0", "id": 4, "result": {} });
        assert_eq!(probe.reply().parts(), (200, pong));
        let refused = begin(address, Legacy, "whoami", &json!({})).reply();
        let error =
            json!({ "code": -32000, "message": "Shutting down", "data": { "status": 503 } });
        assert_eq!(
            refused.parts(),
            (
                expected,
                json!({ "jsonrpc": "2.0", "id": 7, "error": error })
            )
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
        drop(held);
        assert_eq!(result(in_progress)["content"][0]["text"], "done");
        assert_eq!(agent.wait().0.code(), Some(0));
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused_with_an_error_of_json_rpc() {
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_MAX_BODY_BYTES", "1000")]);
    let text = "x".repeat(2000);
    let reply = begin(
        mcp_address(&agent),
        Legacy,
        "fail",
        &json!({ "text": text }),
    )
    .reply();
    assert_eq!(reply.status, 413);
    let body = reply.json();
    assert_eq!(body["error"]["data"]["status"], 413, "{body}");
    assert_eq!(body["id"], Value::Null);
}

/// The agent is busy until the last byte of a result has left, not until the function has returned.
#[cfg(target_os = "linux")]
#[test]
fn the_agent_is_busy_until_the_last_byte() {
    const BYTES: usize = 32 << 20;

    all_at_once(&[Legacy, Modern], |&era| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        let client = begin(
            mcp_address(&agent),
            era,
            "large",
            &json!({ "bytes": BYTES }),
        );
        agent.until("what has room is sent", |_| client.is_full());
        assert!(agent.ping().busy, "{era:?}");
        let result = result(client.patient(Duration::from_secs(60)));
        let text = result["content"][0]["text"].as_str().expect("a text");
        assert_eq!(text.len(), BYTES);
        agent.until_idle();
    });
}

/// A call that has become a task keeps the agent busy until the function has ended, in every way.
#[test]
fn a_task_keeps_the_agent_busy_to_its_end() {
    let cells = [
        ("Value", "completed"),
        ("Error", "completed"),
        ("Panic", "failed"),
        ("Abort", "completed"),
        ("cancelled", "cancelled"),
    ];
    all_at_once(&cells, |&(end, status)| {
        let agent = Agent::start(BOTH_PORTS, &[]);
        let address = mcp_address(&agent);
        let session = "s".repeat(33);
        let latch = Latch::new();
        let is_cancelled = end == "cancelled";
        let how = if is_cancelled { "Value" } else { end };
        let arguments = json!({ "port": latch.port(), "end": how });
        let params = json!({ "name": "background", "arguments": arguments });
        let begun: Vec<_> = (0..CALLS)
            .map(|_| {
                let begun = ask(address, &session, "tools/call", &params);
                assert_eq!(begun["result"]["resultType"], "task", "{begun}");
                json!({ "taskId": begun["result"]["taskId"] })
            })
            .collect();
        let held: Vec<_> = (0..CALLS).map(|_| latch.held()).collect();
        assert!(agent.ping().busy, "{end}");
        if is_cancelled {
            for task in &begun {
                ask(address, &session, "tasks/cancel", task);
            }
            // What the function waits for has not ended, and the function has been dropped.
            agent.until_idle();
        }
        drop(held);
        agent.until_idle();
        for task in &begun {
            let found = ask(address, &session, "tasks/get", task);
            assert_eq!(found["result"]["status"], status, "{end}: {found}");
            // A panic is no result that a model may learn from.
            let is_error = found["result"]["result"]["isError"] == true;
            assert_eq!(is_error, matches!(end, "Error" | "Abort"), "{found}");
            assert_eq!(
                found["result"]["error"].is_object(),
                end == "Panic",
                "{found}"
            );
            assert!(!found.to_string().contains("secret"), "{found}");
        }
    });
}
