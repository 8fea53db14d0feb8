//! The Model Context Protocol over real sockets: the probe, the status, failures, limits, leaving.

#[expect(dead_code, reason = "this suite needs a part of it")]
#[path = "../../integration/support.rs"]
mod support;

mod asking;
mod begin_task;
mod calls;
mod faults;
mod layers;
#[path = "../../not_tested.rs"]
mod not_tested;
mod offers;
mod ports;
mod probe;
#[cfg(target_os = "linux")]
#[path = "../../integration/support/restorable.rs"]
mod restorable;
#[cfg(target_os = "linux")]
mod restored;
mod sessions;
mod tasks;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, Client, Reply};

const ASKING: &str = env!("CARGO_BIN_EXE_asking");
const FURTHER_PORTS: &str = env!("CARGO_BIN_EXE_further_ports");
const BOTH_PORTS: &str = env!("CARGO_BIN_EXE_both_ports");
const TOOLS_ONLY: &str = env!("CARGO_BIN_EXE_tools_only");

/// Where an agent listens for MCP.
fn mcp_address(agent: &Agent) -> SocketAddr {
    let address = agent.ready_line().split("MCP http://").nth(1);
    let address = address.and_then(|rest| rest.split('/').next()?.parse().ok());
    address.unwrap_or_else(|| panic!("no MCP in {}", agent.ready_line()))
}

/// A message as bytes, with these lines of a head.
fn message(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const ACCEPT: &str = "accept: application/json, text/event-stream\r\n";

fn send(address: SocketAddr, headers: &str, body: &Value) -> Reply {
    let request = message("/mcp", headers, &body.to_string());
    Client::connect(address).send(&request).reply()
}

/// A call of the era before 2026-07-28.
fn call(name: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": name, "arguments": arguments } })
}

/// The head and the body of a call of 2026-07-28.
fn modern_call(name: &str, arguments: &Value) -> (String, Value) {
    let head = format!(
        "{ACCEPT}mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {name}\r\n"
    );
    let mut body = call(name, arguments);
    body["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    (head, body)
}
