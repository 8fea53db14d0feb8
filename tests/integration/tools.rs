//! Tools: called by the agent's own loop, listed for models, described for everybody.

use serde_json::{Value, json};

use crate::support::{Agent, Latch, failed_start, run};

const TOOLS: &str = env!("CARGO_BIN_EXE_tools");

fn start() -> Agent {
    Agent::start(TOOLS, &[])
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "what `json!` makes is passed on as it is"
)]
fn call(agent: &Agent, tool: &str, arguments: Value) -> Value {
    let reply = agent.invoke(json!({ "tool": tool, "arguments": arguments }));
    let (status, body) = reply.parts();
    assert_eq!(status, 200, "{body}");
    body
}

/// The text of an error of the call.
fn refusal(agent: &Agent, tool: &str, arguments: Value) -> String {
    let body = call(agent, tool, arguments);
    assert_eq!(body["invalid"], true, "{body}");
    body["error"].as_str().expect("a text").to_owned()
}

#[test]
fn a_tool_is_called_by_its_arguments_names() {
    let agent = start();
    let place = json!({ "name": "Bergen", "country": "norway" });
    assert_eq!(
        call(
            &agent,
            "forecast",
            json!({ "place": place, "days": 3, "unit": "C" })
        )["value"],
        json!({ "city": "Bergen NOC", "celsius": [4, 4, 4] })
    );
    // A default, and an option.
    let answer = call(
        &agent,
        "forecast",
        json!({ "place": { "name": "Oslo" }, "days": null }),
    );
    let value = json!({ "city": "Oslo ?", "celsius": [4, 4] });
    assert_eq!(answer["value"], value);
    assert_eq!(answer["content"]["structuredContent"], value);
    let text = answer["content"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), value);
}

#[test]
fn what_does_not_fit_is_named_all_at_once_and_the_function_is_not_called() {
    let agent = start();
    assert_eq!(
        refusal(
            &agent,
            "forecast",
            json!({ "place": { "name": "Oslo", "country": "sweden" }, "days": 300, "day": 1 })
        ),
        "invalid arguments: `place.country`: unknown variant `sweden`, expected `norway` or `france`; `days`: invalid value: \
         integer `300`, expected u8; unknown argument `day`; the tool takes `place`, `days`, `unit`"
    );
    assert_eq!(
        refusal(&agent, "forecast", json!({})),
        "invalid arguments: `place` is missing"
    );
    assert_eq!(
        refusal(&agent, "count-calls", json!({ "more": true })),
        "invalid arguments: unknown argument `more`; the tool takes none"
    );
    assert_eq!(
        refusal(&agent, "sum", json!({ "numbers": [1, "two"] })),
        "invalid arguments: `numbers[1]`: invalid type: string \"two\", expected f64"
    );
    assert_eq!(
        refusal(&agent, "forecast", json!([1])),
        "invalid arguments: they have to be an object"
    );
    let error = refusal(&agent, "forecats", json!({}));
    assert!(
        error.starts_with("there is no tool `forecats`; there is `chart`, `count-calls`, `fail`"),
        "{error}"
    );
    assert_eq!(call(&agent, "count-calls", Value::Null)["value"], 1);
}

#[test]
fn a_tool_knows_the_request_that_calls_it() {
    let agent = start();
    let body = json!({ "tool": "whoami" }).to_string();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\nx-amzn-bedrock-agentcore-runtime-session-id: {}\r\ncontent-length: \
         {}\r\n\r\n{body}",
        "s".repeat(33),
        body.len()
    );
    let reply = agent.connect().send(request.as_bytes()).reply();
    assert_eq!(reply.json()["value"], "s".repeat(33));
}

#[test]
fn every_kind_of_result_reaches_the_caller() {
    let agent = start();
    assert_eq!(
        call(&agent, "sum", json!({ "numbers": [1, 2.5] }))["value"],
        3.5
    );
    assert_eq!(
        call(&agent, "from_file", json!({ "city": "Oslo" }))["value"],
        "Oslo"
    );
    assert_eq!(call(&agent, "steps", json!({ "up_to": 3 }))["value"], 3);
    let chart = call(&agent, "chart", Value::Null);
    assert_eq!(chart["content"]["content"][1]["mimeType"], "image/png");
}

#[test]
fn a_failure_is_an_error_of_the_call_and_a_panic_tells_the_log_alone() {
    let agent = start();
    let failed = call(&agent, "fail", json!({ "text": "no such city" }));
    assert_eq!(
        failed,
        json!({ "error": "no such city", "invalid": false, "timeout": false, "panic": false })
    );
    let late = call(&agent, "hang", json!({}));
    assert_eq!(
        (&late["error"], &late["timeout"]),
        (&json!("timed out after 50ms"), &json!(true))
    );
    let panicked = call(&agent, "give_up", json!({}));
    assert_eq!(panicked["panic"], true);
    assert!(!panicked.to_string().contains("secret"), "{panicked}");
    agent.line_with("tool `give_up` panicked: the secret of the panic");
    assert!(!agent.ping().busy);
}

#[test]
fn a_call_is_a_task_and_keeps_the_agent_busy() {
    let agent = start();
    let latch = Latch::new();
    let waiting =
        agent.invoke_later(json!({ "tool": "wait", "arguments": { "port": latch.port() } }));
    let held = latch.held();
    assert!(agent.ping().busy);
    drop(held);
    assert_eq!(waiting.join().expect("a reply").status, 200);
    agent.until_idle();
}

#[test]
fn models_are_told_of_the_tools_in_their_own_shapes() {
    let agent = start();
    let list = |shape: &str| {
        let body = agent.invoke(json!({ "tool": "", "list": shape })).json();
        body.as_array().expect("a list").clone()
    };
    let find = |list: &[Value], pointer: &str| {
        let named = |tool: &&Value| tool.pointer(pointer) == Some(&json!("forecast"));
        list.iter().find(named).expect("the tool").clone()
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "place": {
                "type": "object",
                "description": "As a traveller would write it.",
                "properties": {
                    "name": { "type": "string" },
                    "country": { "type": ["string", "null"], "enum": ["norway", "france", null] },
                },
                "required": ["name"],
            },
            "days": {
                "type": "integer", "minimum": 0, "maximum": 255, "default": 2,
                "description": "How many days.",
            },
            "unit": { "type": ["string", "null"] },
        },
        "required": ["place"],
        "additionalProperties": false,
    });
    let description = "The weather of the next days.\n\nThe first value is today's.";
    assert_eq!(
        find(&list("bedrock"), "/toolSpec/name"),
        json!({ "toolSpec": { "name": "forecast", "description": description, "inputSchema": { "json": schema } } })
    );
    assert_eq!(
        find(&list("openai"), "/function/name"),
        json!({
            "type": "function",
            "function": { "name": "forecast", "description": description, "parameters": schema },
        })
    );
    assert_eq!(
        find(&list("anthropic"), "/name"),
        json!({ "name": "forecast", "description": description, "input_schema": schema })
    );
    let mcp = list("mcp");
    let forecast = find(&mcp, "/name");
    assert_eq!(forecast["title"], "The weather of the next days");
    assert_eq!(
        forecast["annotations"],
        json!({ "readOnlyHint": true, "openWorldHint": false })
    );
    assert_eq!(
        forecast["outputSchema"]["required"],
        json!(["city", "celsius"])
    );
    let names: Vec<_> = mcp
        .iter()
        .map(|tool| tool["name"].as_str().expect("a name"))
        .collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn everything_that_is_wrong_stops_the_start_and_is_named_with_its_place() {
    let (status, stderr) = failed_start(env!("CARGO_BIN_EXE_tools_wrong"), &[]);
    assert_eq!(status.code(), Some(1));
    for problem in [
        "two tools have one name: `search` (tests/fixtures/tools_wrong.rs:10) and `search` (tests/fixtures/tools_wrong.rs:15)",
        "tool `stateful` (tests/fixtures/tools_wrong.rs:21) takes `State<tools_wrong::Missing>`, but no `#[on_start]` hook",
        "the schema `tools.json` has no property `_town`, which the function takes",
        "tool `list` (tests/fixtures/tools_wrong.rs:36): its arguments are no object, and a tool takes named arguments",
        "tool `has a space` (tests/fixtures/tools_wrong.rs:37): its name has to be 1 to 64 ASCII letters",
    ] {
        assert!(stderr.contains(problem), "{problem}\n{stderr}");
    }
}

#[test]
fn flags_print_the_schemas_and_the_document() {
    let json = |flag: &str| -> Value {
        let outcome = run(TOOLS, &[flag], &[]);
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
        serde_json::from_str(&outcome.stdout).expect("JSON")
    };
    let schema = json("--schema");
    assert_eq!(schema["entrypoint"]["name"], "handler");
    assert_eq!(schema["entrypoint"]["streams"], false);
    let payload = &schema["entrypoint"]["payload"];
    assert_eq!(
        payload["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(
        payload["properties"]["tool"]["description"],
        "The name of the tool."
    );
    assert_eq!(schema["tools"][0]["name"], "chart");
    for (flag, version) in [
        ("--openapi", "3.1.0"),
        ("--openapi=3.1", "3.1.0"),
        ("--openapi=3.0", "3.0.3"),
    ] {
        let document = json(flag);
        assert_eq!(document["openapi"], version);
        assert_eq!(document["info"]["title"], "agentcore-tests");
        let body = &document["paths"]["/invocations"]["post"]["requestBody"];
        assert_eq!(
            body["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/Request"
        );
    }
    let outcome = run(TOOLS, &["--openapi=2.0"], &[]);
    assert_eq!(outcome.code, Some(2));
    let check = run(TOOLS, &["--check"], &[]);
    assert!(
        check.stdout.contains("arguments days, place, unit"),
        "{}",
        check.stdout
    );
    let check = run(TOOLS, &["--check", "--json"], &[]);
    let report: Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!(report["tools"][0]["name"], "chart");
}

#[test]
fn the_document_is_served_where_it_is_asked_for() {
    let agent = Agent::start(TOOLS, &[("AGENTCORE_OPENAPI", "true")]);
    let reply = agent.get("/openapi.json");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["openapi"], "3.1.0");
    assert!(
        agent
            .ready_line()
            .contains("tools: chart, count-calls, fail")
    );
    assert_eq!(start().get("/openapi.json").status, 404);
}
