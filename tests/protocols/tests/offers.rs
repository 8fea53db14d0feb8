//! Resources and prompts: their lists, their arguments, their failures, and that they never make the agent busy.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, run};
use crate::{ACCEPT, BOTH_PORTS, TOOLS_ONLY, mcp_address, send};

/// A request of the era before 2026-07-28.
fn ask(address: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    send(address, ACCEPT, &body).json()
}

fn read(address: SocketAddr, uri: &str) -> Value {
    ask(address, "resources/read", &json!({ "uri": uri }))
}

fn get(address: SocketAddr, name: &str, arguments: &Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    ask(address, "prompts/get", &params)
}

/// The code and the message of an error.
fn error(reply: &Value) -> (i64, &str) {
    let error = &reply["error"];
    (
        error["code"].as_i64().unwrap_or_default(),
        error["message"].as_str().unwrap_or_default(),
    )
}

#[test]
fn resources_are_listed_and_read() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    let listed = ask(address, "resources/list", &json!({}));
    assert_eq!(
        listed["result"]["resources"][1],
        json!({
            "uri": "test://static-text",
            "name": "static_text",
            "title": "A text",
            "description": "A text.",
            "mimeType": "text/plain",
        })
    );
    assert_eq!(
        listed["result"]["resources"].as_array().map(Vec::len),
        Some(2)
    );
    let templates = ask(address, "resources/templates/list", &json!({}));
    let templates = &templates["result"]["resourceTemplates"];
    assert_eq!(templates[1]["uriTemplate"], "test://template/{id}/data");
    let text = read(address, "test://static-text");
    assert_eq!(
        text["result"]["contents"],
        json!([{
            "uri": "test://static-text",
            "mimeType": "text/plain",
            "text": "This is the content of the static text resource.",
        }])
    );
    let binary = &read(address, "test://static-binary")["result"]["contents"][0];
    assert_eq!(binary["mimeType"], "image/png");
    assert!(binary["blob"].is_string(), "{binary}");
    let data = &read(address, "test://template/a%20b/data")["result"]["contents"][0];
    assert_eq!(data["mimeType"], "application/json");
    let data: Value = serde_json::from_str(data["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(data["id"], "a b");
    assert!(!agent.ping().busy);
}

#[test]
fn a_read_that_fails_says_why_and_the_log_has_more() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    let sized = read(address, "test://sized/3");
    assert_eq!(sized["result"]["contents"][0]["text"], "nobody:aaa");
    let unfit = read(address, "test://sized/many");
    let (code, message) = error(&unfit);
    assert_eq!(code, -32602);
    assert!(
        message.starts_with("invalid arguments: `length`: invalid type"),
        "{message}"
    );
    let failed = read(address, "test://sized/0");
    assert_eq!(error(&failed), (-32603, "nothing to read"));
    agent.line_with("resource `sized` failed: nothing to read");
    let panicked = read(address, "test://sized/13");
    assert_eq!(error(&panicked), (-32603, "Internal error of the resource"));
    agent.line_with("resource `sized` panicked: a secret");
    let unknown = read(address, "test://nothing");
    assert_eq!(
        error(&unknown),
        (-32002, "there is no resource `test://nothing`")
    );
    assert!(!agent.ping().busy);
}

#[test]
fn prompts_are_listed_and_take_texts() {
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let address = mcp_address(&agent);
    let listed = ask(address, "prompts/list", &json!({}));
    let listed = &listed["result"]["prompts"];
    assert_eq!(
        listed[0],
        json!({
            "name": "conversation",
            "title": "Conversation",
            "description": "A conversation.",
            "arguments": [
                { "name": "turns", "required": true },
                { "name": "polite", "required": false },
            ],
        })
    );
    let mut all = listed.as_array().expect("a list").iter();
    let with_arguments = all.find(|prompt| prompt["name"] == "test_prompt_with_arguments");
    assert_eq!(
        with_arguments.expect("a prompt")["arguments"][0],
        json!({ "name": "arg1", "description": "The first one.", "required": true })
    );
    let made = get(
        address,
        "conversation",
        &json!({ "turns": "1", "polite": "true" }),
    );
    assert_eq!(
        made["result"]["messages"],
        json!([
            { "role": "user", "content": { "type": "text", "text": "Question 0?" } },
            { "role": "assistant", "content": { "type": "text", "text": "Thank you. Answer 0." } },
        ])
    );
    let refused = get(address, "conversation", &json!({ "turn": "1" }));
    assert_eq!(
        error(&refused),
        (
            -32602,
            "invalid arguments: `turns` is missing; unknown argument `turn`; the prompt takes `turns`, `polite`"
        )
    );
    let failed = get(address, "conversation", &json!({ "turns": "0" }));
    assert_eq!(error(&failed), (-32603, "a conversation has turns"));
    let unknown = get(address, "nothing", &json!({}));
    assert_eq!(error(&unknown), (-32602, "there is no prompt `nothing`"));
    assert!(!agent.ping().busy);
}

#[test]
fn what_an_agent_has_not_got_it_does_not_offer() {
    let agent = Agent::start(BOTH_PORTS, &[]);
    let address = mcp_address(&agent);
    let initialize = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } });
    let capabilities = ask(address, "initialize", &initialize)["result"]["capabilities"].take();
    assert!(capabilities["tools"].is_object(), "{capabilities}");
    assert!(capabilities["resources"].is_null(), "{capabilities}");
    assert_eq!(
        ask(address, "prompts/list", &json!({}))["error"]["code"],
        -32601
    );
}

#[test]
fn a_check_lists_resources_and_prompts() {
    let checked = run(TOOLS_ONLY, &["--check"], &[]).stdout;
    for line in [
        "`template_data` (tests/protocols/fixtures/tools_only.rs:",
        ", test://template/{id}/data",
        "`conversation` (tests/protocols/fixtures/tools_only.rs:",
        ", arguments polite, turns",
    ] {
        assert!(checked.contains(line), "{line} in {checked}");
    }
}
