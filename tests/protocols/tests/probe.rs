//! The platform's health probe, in the shapes that it has been seen in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, Client, Latch, get};
use crate::{ACCEPT, BOTH_PORTS, TOOLS_ONLY, call, mcp_address, message, send};

#[test]
fn the_probe_is_answered_in_every_shape() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    for path in ["/mcp", "/mcp/"] {
        for (headers, params) in [
            ("accept: application/json\r\n", r#""params":null,"#),
            ("accept: application/json\r\n", ""),
            ("", r#""params":{},"#),
            (ACCEPT, ""),
            (
                "mcp-session-id: never-given-out\r\naccept: application/json\r\n",
                r#""params":null,"#,
            ),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","method":"ping",{params}"id":4}}"#);
            let request = message(path, headers, &body);
            let reply = Client::connect(mcp_address(&agent)).send(&request).reply();
            assert_eq!(
                reply.parts(),
                (200, json!({ "jsonrpc": "2.0", "id": 4, "result": {} })),
                "{body}"
            );
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
    }
    assert!(!agent.ping().busy);
}

#[test]
fn the_probe_is_answered_while_every_worker_is_blocked() {
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_WORKER_THREADS", "1")]);
    let latch = Latch::new();
    let address = mcp_address(&agent);
    let port = latch.port();
    let blocking =
        std::thread::spawn(move || send(address, ACCEPT, &call("block", &json!({ "port": port }))));
    let held = latch.held();
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    assert_eq!(
        send(address, "accept: application/json\r\n", &ping).status,
        200
    );
    let status = Client::connect(address).send(&get("/ping")).reply();
    assert_eq!(status.json()["status"], "HealthyBusy");
    drop(held);
    let reply = blocking.join().expect("a reply").json();
    assert_eq!(reply["result"]["content"][0]["text"], "blocked");
    agent.until_idle();
}

/// The probe is fast enough for a monitor with a limit. `tests/protocols/run` runs this test, because nothing else may run beside it.
/// The best of three rounds counts: a machine may be busy for a moment.
#[test]
#[ignore = "it measures, and has to be alone on the machine"]
fn the_probe_takes_less_than_5_ms_while_every_worker_is_blocked() {
    const WORKERS: usize = 2;
    const PROBES: usize = 2000;

    let workers = WORKERS.to_string();
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_WORKER_THREADS", &workers)]);
    let address = mcp_address(&agent);
    let latch = Latch::new();
    let body = call("block", &json!({ "port": latch.port() })).to_string();
    let blocking: Vec<_> = (0..WORKERS)
        .map(|_| Client::connect(address).send(&message("/mcp", ACCEPT, &body)))
        .collect();
    let held: Vec<_> = (0..WORKERS).map(|_| latch.held()).collect();
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "params": null, "id": 4 });
    let ping = message("/mcp", "accept: application/json\r\n", &ping.to_string());
    let round = || {
        let mut client = Client::connect(address);
        let mut took: Vec<_> = (0..PROBES)
            .map(|_| {
                let began = Instant::now();
                client.write(&ping);
                assert_eq!(client.next_reply().status, 200);
                began.elapsed()
            })
            .collect();
        took.sort_unstable();
        took[PROBES * 99 / 100]
    };
    let p99 = [round(), round(), round()];
    println!("p99 of {PROBES} probes, {WORKERS} of {WORKERS} workers blocked: {p99:?}");
    assert!(
        p99.iter().min() < Some(&Duration::from_millis(5)),
        "{p99:?}"
    );
    drop(held);
    for client in blocking {
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn the_probe_is_refused_while_start_hooks_run() {
    use std::process::Command;

    let latch = Latch::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a free port");
    let hold = latch.port().to_string();
    let mcp = port.port().to_string();
    let environment = [
        ("HOLD_START", hold.as_str()),
        ("AGENTCORE_MCP_PORT", mcp.as_str()),
    ];
    let agent = std::thread::spawn({
        let environment = environment.map(|(name, value)| (name, value.to_owned()));
        move || {
            let environment: Vec<_> = environment
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            Agent::start_command(Command::new(BOTH_PORTS), &environment)
        }
    });
    let held = latch.held();
    let ping: Value = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    assert_eq!(send(port, "", &ping).status, 503);
    assert_eq!(
        Client::connect(port).send(&get("/ping")).reply().status,
        503
    );
    drop(held);
    let agent = agent.join().expect("a start");
    assert_eq!(send(mcp_address(&agent), "", &ping).status, 200);
}
