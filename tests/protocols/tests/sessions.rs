//! Sessions of clients of earlier revisions: questions, messages and news in them, and their ends.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Agent, Client, DEADLINE, Reply};
use crate::{ACCEPT, ASKING, call, mcp_address, message, send};

const VERSION: &str = "mcp-protocol-version: 2025-11-25\r\n";

fn initialize(capabilities: &Value) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        },
    })
}

/// A session of the protocol.
pub(crate) struct Session {
    address: SocketAddr,
    /// The lines that name it.
    head: String,
}

impl Session {
    pub(crate) fn begin(agent: &Agent) -> Self {
        let address = mcp_address(agent);
        let begun = send(address, ACCEPT, &initialize(&json!({ "elicitation": {} })));
        let id = begun.header("mcp-session-id").expect("a session");
        let session = Self {
            address,
            head: format!("{ACCEPT}{VERSION}mcp-session-id: {id}\r\n"),
        };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(session.send(&initialized).status, 202);
        session
    }

    fn send(&self, body: &Value) -> Reply {
        send(self.address, &self.head, body)
    }

    /// The events of the reply to a message.
    pub(crate) fn open(&self, body: &Value) -> Events {
        let request = message("/mcp", &self.head, &body.to_string());
        Events::of(Client::connect(self.address).send(&request))
    }

    fn other(&self, method: &str) -> Vec<u8> {
        format!("{method} /mcp HTTP/1.1\r\nhost: agent\r\n{}\r\n", self.head).into_bytes()
    }

    /// The stream of messages that belong to no call.
    fn stream(&self) -> Events {
        Events::of(Client::connect(self.address).send(&self.other("GET")))
    }

    pub(crate) fn answer(&self, question: &Value, answer: &Value) {
        let body = json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer });
        assert_eq!(self.send(&body).status, 202);
    }
}

/// The events of a stream.
pub(crate) struct Events {
    client: Client,
    text: String,
}

impl Events {
    fn of(mut client: Client) -> Self {
        let (status, _) = client.head();
        assert_eq!(status, 200);
        Self {
            client,
            text: String::new(),
        }
    }

    /// The next message; `None` at the end.
    ///
    /// # Panics
    ///
    /// None comes in time. The comments that keep a stream alive do not count.
    fn next(&mut self) -> Option<Value> {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < DEADLINE, "no message on the stream");
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let data = data.map(|data| data.trim().to_owned());
                self.text = rest.to_owned();
                // The first event of a stream may be without data.
                match data.filter(|data| !data.is_empty()) {
                    Some(data) => return Some(serde_json::from_str(&data).expect("JSON")),
                    None => continue,
                }
            }
            let chunk = self.client.chunk();
            if chunk.is_empty() {
                return None;
            }
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }

    /// The result of the request with this id, which is the last message. The id is free when the stream has ended.
    pub(crate) fn result(mut self, id: u8) -> Value {
        let result = self.until("result", |event| event["id"] == id);
        assert_eq!(self.next(), None);
        result
    }

    pub(crate) fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("no {what}"));
            if fits(&event) {
                return event;
            }
        }
    }
}

#[test]
fn a_function_waits_in_its_session_for_the_answer() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    agent.until_idle();
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    assert_eq!(question["params"]["message"], "Your name?");
    // The call is in progress.
    assert!(agent.ping().busy);
    session.answer(
        &question,
        &json!({ "action": "accept", "content": { "name": "Ada" } }),
    );
    let done = events.result(7);
    assert_eq!(done["result"]["content"][0]["text"], "Ada");
    agent.until_idle();
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    session.answer(
        &question,
        &json!({ "action": "accept", "content": { "name": 3 } }),
    );
    let done = events.result(7);
    assert_eq!(done["result"]["isError"], true);
    let text = done["result"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert!(
        text.starts_with("the client has not answered: `name`: "),
        "{text}"
    );
}

/// An agent that has room for one call, and a call that waits for the answer of its client.
fn waiting(agent: &Agent) -> (Session, Events, Value) {
    let session = Session::begin(agent);
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    assert!(agent.ping().busy);
    (session, events, question)
}

const ONE_CALL: &[(&str, &str)] = &[("AGENTCORE_MAX_INVOCATIONS", "1")];

/// Waits until the agent has room for a call.
fn until_free(agent: &Agent) {
    agent.until_idle();
    let json_alone = "accept: application/json\r\n";
    agent.until("there is room", |agent| {
        send(mcp_address(agent), json_alone, &call("can", &json!({}))).status == 200
    });
}

#[test]
fn a_long_answer_comes_to_the_call_that_has_the_last_permit() {
    let agent = Agent::start(ASKING, ONE_CALL);
    let (session, events, question) = waiting(&agent);
    let long = "x".repeat(200 << 10);
    session.answer(
        &question,
        &json!({ "action": "accept", "content": { "name": long } }),
    );
    let done = events.result(7);
    assert_eq!(done["result"]["content"][0]["text"], long);
    until_free(&agent);
}

#[test]
fn a_client_cancels_its_call_by_a_message() {
    let agent = Agent::start(ASKING, ONE_CALL);
    let (session, _events, _) = waiting(&agent);
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    assert_eq!(session.send(&cancelled).status, 202);
    until_free(&agent);
}

#[test]
fn a_client_that_leaves_is_asked_no_more() {
    let agent = Agent::start(ASKING, ONE_CALL);
    let (_session, events, _) = waiting(&agent);
    drop(events);
    until_free(&agent);
    agent.line_with(
        "the client has not answered: it has left, or its session or the agent has ended",
    );
}

#[test]
fn the_end_of_a_session_ends_its_questions() {
    let agent = Agent::start(ASKING, ONE_CALL);
    let (session, _events, _) = waiting(&agent);
    let ended = Client::connect(session.address)
        .send(&session.other("DELETE"))
        .reply();
    assert_eq!(ended.status, 200);
    until_free(&agent);
}

#[test]
fn a_stop_ends_the_questions() {
    // The harness waits for less than this.
    let agent = Agent::start(ASKING, &[("AGENTCORE_SHUTDOWN_GRACE", "600s")]);
    let (_session, events, _) = waiting(&agent);
    agent.signal("TERM");
    let done = events.result(7);
    assert_eq!(done["result"]["isError"], true);
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_type_that_panics_is_an_answer_that_does_not_fit() {
    let agent = Agent::start(ASKING, ONE_CALL);
    let session = Session::begin(&agent);
    let mut events = session.open(&call("panicky", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    session.answer(
        &question,
        &json!({ "action": "accept", "content": { "name": "Ada" } }),
    );
    let done = events.result(7);
    let text = done["result"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert_eq!(text, "the client has not answered: its type cannot be read");
    until_free(&agent);
}

#[test]
fn a_question_that_the_function_has_given_up_is_taken_back() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let mut stream = session.stream();
    let mut events = session.open(&call("two_tries", &json!({})));
    let first = events.until("question", |event| event["method"] == "elicitation/create");
    assert_eq!(first["params"]["message"], "First?");
    let second = events.until("question", |event| event["params"]["message"] == "Second?");
    session.answer(
        &second,
        &json!({ "action": "accept", "content": { "name": "Ada" } }),
    );
    let done = events.result(7);
    assert_eq!(done["result"]["content"][0]["text"], "Ada");
    let back = stream.until("cancellation", |event| {
        event["method"] == "notifications/cancelled"
    });
    assert_eq!(back["params"]["requestId"], first["id"]);
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_call() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let stream = session.stream();
    // More than the sockets and the agent keep.
    let events = session.open(&call("chatty", &json!({ "messages": 3000 })));
    let done = events.result(7);
    assert_eq!(done["result"]["content"][0]["text"], "told");
    agent.until_idle();
    drop(stream);
}

#[test]
fn a_session_belongs_to_the_session_of_the_platform_that_it_began_in() {
    const PLATFORM: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
    let agent = Agent::start(ASKING, &[]);
    let address = mcp_address(&agent);
    let head = |platform: char| {
        format!(
            "{ACCEPT}{PLATFORM}: {}\r\n",
            platform.to_string().repeat(33)
        )
    };
    let begun = send(
        address,
        &head('a'),
        &initialize(&json!({ "elicitation": {} })),
    );
    let id = begun
        .header("mcp-session-id")
        .expect("a session")
        .to_owned();
    let list = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list" });
    let status = |platform: char| {
        let head = format!("{}{VERSION}mcp-session-id: {id}\r\n", head(platform));
        send(address, &head, &list).status
    };
    assert_eq!((status('a'), status('b'), status('a')), (200, 404, 200));
    let ended = format!(
        "DELETE /mcp HTTP/1.1\r\nhost: agent\r\n{}{VERSION}mcp-session-id: {id}\r\n\r\n",
        head('b')
    );
    assert_eq!(
        Client::connect(address)
            .send(ended.as_bytes())
            .reply()
            .status,
        404
    );
    assert_eq!(status('a'), 200);
}

#[test]
fn a_second_request_with_the_id_of_one_that_goes_on_is_refused() {
    let agent = Agent::start(ASKING, &[]);
    let (session, events, question) = waiting(&agent);
    let refused = session.send(&call("can", &json!({})));
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (400, &json!(-32600))
    );
    session.answer(&question, &json!({ "action": "decline" }));
    events.result(7);
    // It is free again.
    agent.until("the id is free", |_| {
        session.send(&call("can", &json!({}))).status == 200
    });
}

#[test]
fn two_sessions_are_asked_each_for_itself() {
    let agent = Agent::start(ASKING, &[]);
    let [one, other] = [(); 2].map(|()| Session::begin(&agent));
    let open = [&one, &other].map(|session| {
        let mut events = session.open(&call("chat", &json!({})));
        let question = events.until("question", |event| event["method"] == "elicitation/create");
        (events, question)
    });
    let name = |name: &str| json!({ "action": "accept", "content": { "name": name } });
    other.answer(&open[1].1, &name("Bob"));
    one.answer(&open[0].1, &name("Ada"));
    for ((events, _), name) in open.into_iter().zip(["Ada", "Bob"]) {
        let done = events.result(7);
        assert_eq!(done["result"]["content"][0]["text"], name);
    }
    agent.until_idle();
}

#[test]
fn messages_and_news_come_on_the_stream_of_the_session_alone() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let mut stream = session.stream();
    let subscribe = |method: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "uri": "notes://all" } });
        session.open(&body).result(1)
    };
    assert_eq!(subscribe("resources/subscribe")["result"], json!({}));
    // An open stream does not make the agent busy.
    agent.until_idle();
    let touch = |uri: &str| {
        let touched = session.open(&call("touch", &json!({ "uri": uri })));
        touched.result(7);
    };
    touch("notes://other");
    touch("notes://all");
    let news = stream.next().expect("news");
    assert_eq!(
        (&news["method"], &news["params"]["uri"]),
        (
            &json!("notifications/resources/updated"),
            &json!("notes://all")
        )
    );
    assert_eq!(subscribe("resources/unsubscribe")["result"], json!({}));
    touch("notes://all");
    // A message of a tool is the next thing that comes.
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    let told = stream.next().expect("a message");
    assert_eq!(told["method"], "notifications/message");
    let params = json!({ "level": "debug", "logger": "chat", "data": "about to ask" });
    assert_eq!(told["params"], params);
    session.answer(&question, &json!({ "action": "decline" }));
    events.result(7);
    // The session wants less.
    let body = json!({ "jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": { "level": "info" } });
    session.open(&body).result(2);
    let mut events = session.open(&call("chat", &json!({})));
    let question = events.until("question", |event| event["method"] == "elicitation/create");
    session.answer(&question, &json!({ "action": "decline" }));
    events.result(7);
    assert_eq!(subscribe("resources/subscribe")["result"], json!({}));
    touch("notes://all");
    assert_eq!(
        stream.next().expect("news")["method"],
        "notifications/resources/updated"
    );
}

#[test]
fn a_session_subscribes_to_short_uris() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let subscribe = |bytes: usize| {
        let uri = format!("notes://{}", "x".repeat(bytes - 8));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": { "uri": uri } });
        session.open(&body).result(1)
    };
    assert_eq!(subscribe(2048)["result"], json!({}));
    assert_eq!(subscribe(2049)["error"]["code"], -32600);
}

#[test]
fn news_comes_to_listeners_of_the_newest_revision() {
    let agent = Agent::start(ASKING, &[]);
    let address = mcp_address(&agent);
    let modern = |method: &str, params: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"{method}","params":{{{params},"_meta":{{
                "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let head = format!("{ACCEPT}mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n");
        Events::of(Client::connect(address).send(&message("/mcp", &head, &body)))
    };
    let filter = r#""notifications":{"resourceSubscriptions":["notes://all"]}"#;
    // What happens right after the acknowledgement is news, too.
    for _ in 0..20 {
        let mut news = modern("subscriptions/listen", filter);
        let acknowledged = news.next().expect("an acknowledgement");
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
        for uri in ["notes://all", "notes://other", "notes://all"] {
            send(address, ACCEPT, &call("touch", &json!({ "uri": uri })));
        }
        for _ in 0..2 {
            assert_eq!(news.next().expect("news")["params"]["uri"], "notes://all");
        }
    }
    agent.until_idle();
}

#[test]
fn a_session_that_has_ended_is_not_found_and_a_foreign_one_is_accepted() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let ended = Client::connect(session.address)
        .send(&session.other("DELETE"))
        .reply();
    assert!(matches!(ended.status, 200 | 202 | 204), "{ended:?}");
    let list = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list" });
    assert_eq!(session.send(&list).status, 404);
    let foreign = format!("{ACCEPT}{VERSION}mcp-session-id: foreign\r\n");
    let reply = send(session.address, &foreign, &list);
    assert_eq!(reply.status, 200);
    assert!(reply.json()["result"]["tools"].is_array());
    // What is for sessions alone says so.
    let subscribe = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": { "uri": "notes://all" } });
    assert_eq!(
        send(session.address, &foreign, &subscribe).json()["error"]["code"],
        -32601
    );
}

#[test]
fn the_end_of_a_session_ends_its_calls() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    // With one call alone, a fault would show by chance only.
    let calls = (1..=20).map(|id| {
        let mut chat = call("chat", &json!({}));
        chat["id"] = json!(id);
        let mut events = session.open(&chat);
        events.until("question", |event| event["method"] == "elicitation/create");
        events
    });
    let calls: Vec<Events> = calls.collect();
    let ended = Client::connect(session.address)
        .send(&session.other("DELETE"))
        .reply();
    assert_eq!(ended.status, 200);
    agent.until_idle();
    for mut events in calls {
        assert_eq!(events.next(), None);
        let line = agent.line_with("tool `chat`");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["outcome"], "cancelled", "{line}");
    }
    // The functions were dropped where they waited. If a question had failed, the failure would have a line.
    agent.signal("TERM");
    let (status, log) = agent.wait();
    assert!(status.success() && !log.contains("tool `chat`"), "{log}");
}

#[test]
fn a_session_is_for_clients_that_read_event_streams() {
    let agent = Agent::start(ASKING, &[]);
    let address = mcp_address(&agent);
    let first = initialize(&json!({ "elicitation": {} }));
    let reply = send(address, "accept: application/json\r\n", &first);
    assert_eq!(reply.header("mcp-session-id"), None);
    assert_eq!(reply.json()["result"]["protocolVersion"], "2025-11-25");
    // An id that a gateway has put there is replaced.
    let head = format!("{ACCEPT}mcp-session-id: of-a-gateway\r\n");
    let reply = send(address, &head, &first);
    assert!(
        reply
            .header("mcp-session-id")
            .is_some_and(|id| id != "of-a-gateway")
    );
}

#[test]
fn requests_without_a_session_and_of_foreign_pages_are_refused() {
    let agent = Agent::start(ASKING, &[]);
    let session = Session::begin(&agent);
    let ask = |bytes: &[u8]| Client::connect(session.address).send(bytes).reply();
    assert_eq!(ask(b"GET /mcp HTTP/1.1\r\nhost: agent\r\n\r\n").status, 405);
    assert_eq!(
        ask(b"DELETE /mcp HTTP/1.1\r\nhost: agent\r\n\r\n").status,
        405
    );
    assert_eq!(
        ask(b"PUT /mcp HTTP/1.1\r\nhost: agent\r\nmcp-session-id: x\r\n\r\n").status,
        405
    );
    let foreign = String::from_utf8(session.other("GET")).expect("text");
    let foreign = foreign.replace(
        "host: agent\r\n",
        "host: agent\r\norigin: https://evil.example\r\n",
    );
    assert_eq!(ask(foreign.as_bytes()).status, 403);
    let unknown = b"GET /mcp HTTP/1.1\r\nhost: agent\r\naccept: text/event-stream\r\nmcp-session-id: foreign\r\n\r\n";
    assert_eq!(ask(unknown).status, 404);
}

#[test]
fn open_streams_do_not_hold_up_a_stop() {
    // The harness waits for less than this.
    let agent = Agent::start(ASKING, &[("AGENTCORE_SHUTDOWN_GRACE", "600s")]);
    let session = Session::begin(&agent);
    let mut stream = session.stream();
    agent.signal("TERM");
    assert_eq!(stream.next(), None);
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
}
