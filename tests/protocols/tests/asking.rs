//! Functions that ask their clients, since revision 2026-07-28: the rounds of a call, its state, and tasks that wait for answers.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, Latch, Reply};
use crate::{ACCEPT, ASKING, call, mcp_address, send};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// A client of revision 2026-07-28.
pub(crate) struct Asked<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) session: &'a str,
    pub(crate) capabilities: Value,
}

impl Asked<'_> {
    pub(crate) fn new(agent: &Agent) -> Self {
        Self {
            address: mcp_address(agent),
            session: "first-session-of-the-client-0000001",
            capabilities: json!({ "elicitation": {} }),
        }
    }

    pub(crate) fn send(&self, method: &str, params: Value) -> Reply {
        let (head, body) = self.message(method, params);
        send(self.address, &head, &body)
    }

    /// The head and the body of a message.
    pub(crate) fn message(&self, method: &str, mut params: Value) -> (String, Value) {
        let name = ["name", "uri", "taskId"]
            .iter()
            .find_map(|key| params[key].as_str());
        let head = format!(
            "{ACCEPT}mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {}\r\n{SESSION}: {}\r\n",
            name.expect("a name"),
            self.session,
        );
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        (head, body)
    }

    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> Value {
        self.again(tool, arguments, &Value::Null, &json!({}))
    }

    /// Repeats a call that has asked, with answers.
    pub(crate) fn again(
        &self,
        tool: &str,
        arguments: &Value,
        asked: &Value,
        answers: &Value,
    ) -> Value {
        let mut params = json!({ "name": tool, "arguments": arguments });
        if let Some(state) = asked.get("requestState") {
            params["requestState"] = state.clone();
            params["inputResponses"] = answers.clone();
        }
        self.send("tools/call", params).json()
    }
}

pub(crate) fn accepted(content: &Value) -> Value {
    json!({ "action": "accept", "content": content })
}

pub(crate) fn text(reply: &Value) -> &str {
    let text = &reply["result"]["content"][0]["text"];
    text.as_str()
        .unwrap_or_else(|| panic!("no text in {reply}"))
}

#[test]
fn a_function_runs_again_with_its_answers_and_does_once_what_it_says() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    let goal = json!({ "goal": "dinner" });
    let asked = client.call("plan", &goal);
    let asked = &asked["result"];
    assert_eq!(asked["resultType"], "input_required");
    let question = json!({
        "approval": {
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Run dinner 1?",
                "requestedSchema": {
                    "type": "object",
                    "properties": { "run": { "type": "boolean" } },
                    "required": ["run"],
                },
            },
        },
    });
    assert_eq!(asked["inputRequests"], question);
    // Nothing runs while the user thinks.
    agent.until_idle();
    let yes = json!({ "approval": accepted(&json!({ "run": true })) });
    let done = client.again("plan", &goal, asked, &yes);
    assert_eq!(text(&done), "dinner 1 in run 2");
    assert_eq!(done["result"]["resultType"], "complete");
    for (action, run) in [("decline", 3), ("cancel", 4)] {
        let no = json!({ "approval": { "action": action } });
        let done = client.again("plan", &goal, asked, &no);
        assert_eq!(text(&done), format!("nothing in run {run}"));
    }
    // An answer to nothing is ignored, and the question is asked again.
    let again = client.again(
        "plan",
        &goal,
        asked,
        &json!({ "other": accepted(&json!({})) }),
    );
    assert_eq!(again["result"]["inputRequests"], question);
    agent.until_idle();
    let line = agent.line_with("tool `plan` answered 200");
    assert!(line.contains("\"outcome\":\"success\""), "{line}");
}

#[test]
fn the_state_of_a_call_is_for_that_call_of_that_client() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    let goal = json!({ "goal": "dinner" });
    let asked = client.call("plan", &goal);
    let asked = &asked["result"];
    let yes = json!({ "approval": accepted(&json!({ "run": true })) });
    let refused = |reply: Value| {
        assert_eq!(reply["error"]["code"], -32602, "{reply}");
        let message = reply["error"]["message"].as_str().expect("a message");
        assert!(message.contains("`requestState`"), "{message}");
    };
    refused(client.again("plan", &json!({ "goal": "lunch" }), asked, &yes));
    refused(client.again("chat", &goal, asked, &yes));
    let other = Asked {
        session: "second-session-of-the-client-000001",
        ..Asked::new(&agent)
    };
    refused(other.again("plan", &goal, asked, &yes));
    let mut changed = asked.clone();
    changed["requestState"] =
        format!("{}x", asked["requestState"].as_str().expect("a state")).into();
    refused(client.again("plan", &goal, &changed, &yes));
    let replica = Agent::start(ASKING, &[]);
    refused(Asked::new(&replica).again("plan", &goal, asked, &yes));
    let line = agent.line_with("tool `plan`");
    assert!(!line.contains("dinner"), "{line}");
}

#[test]
fn replicas_with_one_key_go_on_with_each_others_calls() {
    let key = [(
        "AGENTCORE_MCP_STATE_KEY",
        "a-secret-that-all-replicas-share",
    )];
    let [one, other] = [(); 2].map(|()| Agent::start(ASKING, &key));
    let goal = json!({ "goal": "dinner" });
    let asked = Asked::new(&one).call("plan", &goal);
    let yes = json!({ "approval": accepted(&json!({ "run": true })) });
    let done = Asked::new(&other).again("plan", &goal, &asked["result"], &yes);
    // The plan is the one that the user has seen, and the other process has not made it.
    assert_eq!(text(&done), "dinner 1 in run 1");
}

#[test]
fn a_key_that_is_too_short_stops_the_start_and_is_not_shown() {
    let (status, log) =
        crate::support::failed_start(ASKING, &[("AGENTCORE_MCP_STATE_KEY", "a-secret")]);
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("AGENTCORE_MCP_STATE_KEY") && log.contains("32 bytes"),
        "{log}"
    );
    assert!(!log.contains("a-secret"), "{log}");
}

#[test]
fn an_answer_that_does_not_fit_is_the_clients_mistake() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    let goal = json!({ "goal": "dinner" });
    let asked = client.call("plan", &goal);
    for (answer, why) in [
        (json!(12345), "`action` is none of"),
        (json!({ "action": "maybe" }), "`action` is none of"),
        (
            accepted(&json!({ "run": "yes" })),
            "`run`: expected a boolean",
        ),
        (accepted(&json!({})), "missing field `run`"),
    ] {
        let reply = client.again(
            "plan",
            &goal,
            &asked["result"],
            &json!({ "approval": answer }),
        );
        assert_eq!(reply["error"]["code"], -32602, "{reply}");
        let message = reply["error"]["message"].as_str().expect("a message");
        assert!(
            message.starts_with("the answer to `approval` does not fit: "),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
    agent.until_idle();
}

#[test]
fn a_client_is_told_what_it_lacks_in_the_words_of_its_revision() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    for (tool, needed) in [
        ("sign_in", json!({ "elicitation": { "url": {} } })),
        ("sample", json!({ "sampling": {} })),
    ] {
        let reply = client.send("tools/call", json!({ "name": tool, "arguments": {} }));
        let error = &reply.json()["error"];
        assert_eq!(
            (reply.status, &error["code"]),
            (400, &json!(-32021)),
            "{error}"
        );
        assert_eq!(error["data"]["requiredCapabilities"], needed);
    }
    // It reads no event stream, so that it gets no message of the tool either.
    let json_alone = "accept: application/json\r\n";
    let reply = send(client.address, json_alone, &call("chat", &json!({}))).json();
    assert_eq!(reply["result"]["isError"], true);
    assert_eq!(text(&reply), "the client shows no forms to its user");
    let can = client.call("can", &json!({}));
    assert_eq!(
        text(&can),
        "Can { elicit: true, open: false, sample: false, list_roots: false }"
    );
    let inside = client.call("inside", &json!({}));
    assert_eq!(
        text(&inside),
        "no client can be asked: this is no call of the Model Context Protocol"
    );
}

#[test]
fn a_page_is_opened_and_a_model_is_asked() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked {
        capabilities: json!({ "elicitation": { "url": {} }, "sampling": {} }),
        ..Asked::new(&agent)
    };
    let none = json!({});
    let asked = client.call("sign_in", &none);
    let params = &asked["result"]["inputRequests"]["page"]["params"];
    assert_eq!(
        (&params["mode"], &params["url"]),
        (&json!("url"), &json!("https://example.com/login"))
    );
    let done = client.again(
        "sign_in",
        &none,
        &asked["result"],
        &json!({ "page": { "action": "accept" } }),
    );
    assert_eq!(text(&done), "Accepted(())");
    let asked = client.call("sample", &none);
    let answer =
        json!({ "role": "assistant", "content": { "type": "text", "text": "Hi!" }, "model": "m" });
    let done = client.again(
        "sample",
        &none,
        &asked["result"],
        &json!({ "answer": answer }),
    );
    assert_eq!(text(&done), "Hi!");
}

#[test]
fn questions_that_cannot_be_asked_are_errors_of_the_tool() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked::new(&agent);
    for (tool, why) in [
        (
            "twice",
            "the client has not answered: two questions have the key `a`",
        ),
        (
            "no_form",
            "the question is no form: `names` is no text, number, boolean, choice",
        ),
    ] {
        let reply = client.call(tool, &json!({}));
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        assert!(text(&reply).starts_with(why), "{reply}");
    }
    let reply = client.call("large", &json!({}));
    assert_eq!(reply["error"]["code"], -32603, "{reply}");
    let message = reply["error"]["message"].as_str().expect("a message");
    assert!(message.contains("1048576 is the most"), "{message}");
    let line = agent.line_with("tool `large`");
    assert!(line.contains("\"outcome\":\"error\""), "{line}");
    // The call of the client is over.
    client.call("leave", &json!({}));
    let reply = client.call("ask_left", &json!({}));
    assert_eq!(text(&reply), "the call is over, so nobody answers");
}

#[test]
fn a_function_that_waits_is_dropped_and_a_panic_in_its_drop_harms_nothing() {
    let agent = Agent::start(ASKING, &[]);
    let latch = Latch::new();
    let asked = Asked::new(&agent).call("dropped", &json!({ "port": latch.port() }));
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    // It has been closed.
    let mut held = latch.held();
    let read = std::io::Read::read(&mut held, &mut [0]).expect("the end");
    assert_eq!(read, 0);
    agent.until_idle();
}

#[test]
fn a_task_waits_for_its_answers_and_keeps_the_agent_busy() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked {
        capabilities: json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }),
        ..Asked::new(&agent)
    };
    let begun = client.call("ask_in_task", &json!({}));
    let id = &begun["result"]["taskId"];
    let get = || client.send("tasks/get", json!({ "taskId": id })).json()["result"].clone();
    agent.until("the task asks", |_| get()["status"] == "input_required");
    assert_eq!(
        get()["inputRequests"]["name"]["params"]["message"],
        "Your name?"
    );
    assert!(agent.ping().busy);
    let update = |client: &Asked<'_>, answers: Value| {
        client
            .send(
                "tasks/update",
                json!({ "taskId": id, "inputResponses": answers }),
            )
            .json()
    };
    let stranger = Asked {
        session: "second-session-of-the-client-000001",
        capabilities: client.capabilities.clone(),
        ..Asked::new(&agent)
    };
    let ada = json!({ "name": accepted(&json!({ "name": "Ada" })) });
    assert_eq!(update(&stranger, ada.clone())["error"]["code"], -32602);
    let unfit = update(&client, json!({ "name": accepted(&json!({ "name": 3 })) }));
    assert_eq!(unfit["error"]["code"], -32602, "{unfit}");
    assert_eq!(get()["status"], "input_required");
    assert_eq!(update(&client, ada)["result"]["resultType"], "complete");
    agent.until("the task has ended", |_| get()["status"] == "completed");
    assert_eq!(get()["result"]["content"][0]["text"], "Ada");
    agent.until_idle();
}

#[test]
fn a_task_that_panics_or_lacks_its_client_has_failed() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked {
        capabilities: json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }),
        ..Asked::new(&agent)
    };
    for (tool, code) in [("panic_in_task", -32603), ("sample_in_task", -32021)] {
        let begun = client.call(tool, &json!({}));
        let id = &begun["result"]["taskId"];
        let get = || client.send("tasks/get", json!({ "taskId": id })).json()["result"].clone();
        agent.until("the task has ended", |_| get()["status"] == "failed");
        let ended = get();
        assert_eq!(ended["error"]["code"], code, "{ended}");
        assert!(
            ended["result"].is_null() && !ended.to_string().contains("secret"),
            "{ended}"
        );
    }
    agent.line_with("tool `panic_in_task` panicked: the secret of the panic");
    agent.until_idle();
}

#[test]
fn a_type_that_panics_is_an_answer_that_does_not_fit() {
    let agent = Agent::start(ASKING, &[]);
    let client = Asked {
        capabilities: json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }),
        ..Asked::new(&agent)
    };
    let answers = json!({ "name": accepted(&json!({ "name": "Ada" })) });
    let asked = client.call("panicky", &json!({}));
    let refused = client.again("panicky", &json!({}), &asked["result"], &answers);
    let message = "the answer to `name` does not fit: its type cannot be read";
    assert_eq!(refused["error"]["message"], message);
    agent.until_idle();
    let begun = client.call("panicky_task", &json!({}));
    let id = &begun["result"]["taskId"];
    let get = || client.send("tasks/get", json!({ "taskId": id })).json()["result"].clone();
    agent.until("the task asks", |_| get()["status"] == "input_required");
    let update = json!({ "taskId": id, "inputResponses": answers });
    let refused = client.send("tasks/update", update).json();
    assert_eq!(refused["error"]["message"], message);
    // The question is still there.
    assert_eq!(get()["status"], "input_required");
    client.send("tasks/cancel", json!({ "taskId": id }));
    agent.until_idle();
}

#[test]
fn a_question_that_the_function_has_given_up_is_not_asked() {
    let agent = Agent::start(ASKING, &[]);
    let asked = Asked::new(&agent).call("two_tries", &json!({}));
    // The function waits for the first one when the call ends.
    let asked = asked["result"]["inputRequests"]
        .as_object()
        .expect("questions");
    assert_eq!(asked.keys().collect::<Vec<_>>(), ["a"]);
}
