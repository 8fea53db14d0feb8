//! An invocation, a socket and a task end with one line each, which says how.

use serde_json::{Value, json};

use crate::support::websocket::{Peer, handshake};
use crate::support::{Agent, Client, Latch};

const BINARY: &str = env!("CARGO_BIN_EXE_log_lines");

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(BINARY, environment)
}

/// The header that gives a request this id.
fn id(id: &str) -> String {
    format!("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id: {id}\r\n")
}

/// An invocation with this action, which is its id, too.
fn send(agent: &Agent, action: &str) -> Client {
    let body = json!({ "action": action }).to_string();
    let (id, length) = (id(action), body.len());
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{id}content-length: {length}\r\n\r\n{body}"
    );
    agent.connect().send(request.as_bytes())
}

/// Everything that the agent writes until it has stopped.
fn lines(agent: Agent) -> Vec<Value> {
    agent.signal("TERM");
    let (_, log) = agent.wait();
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// The lines of the library itself that belong to this request.
fn own<'a>(lines: &'a [Value], id: &str) -> Vec<&'a Value> {
    let logger = |line: &Value| line["logger"].as_str().unwrap_or_default().to_owned();
    lines
        .iter()
        .filter(|line| line["requestId"] == id && logger(line).starts_with("agentcore"))
        .collect()
}

/// The only line of the library that belongs to this request.
fn only<'a>(lines: &'a [Value], id: &str) -> &'a Value {
    match own(lines, id)[..] {
        [line] => line,
        ref several => panic!("{id}: {several:#?}"),
    }
}

/// A line's level, message, outcome and status.
fn says(line: &Value) -> (&str, &str, &str, Option<u64>) {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    (
        text("level"),
        text("message"),
        text("outcome"),
        line["status"].as_u64(),
    )
}

#[test]
fn an_invocation_ends_with_one_line_which_says_how() {
    let agent = agent(&[]);
    let ends = [
        (
            "hello",
            (
                "INFO",
                "entrypoint `handler` answered 200",
                "success",
                Some(200),
            ),
        ),
        (
            "stream",
            (
                "INFO",
                "entrypoint `handler` answered 200",
                "success",
                Some(200),
            ),
        ),
        (
            "error",
            ("ERROR", "entrypoint `handler` failed", "error", Some(500)),
        ),
        (
            "refuse",
            (
                "WARN",
                "entrypoint `handler` answered 418 I'm a teapot: no coffee",
                "client_error",
                Some(418),
            ),
        ),
        (
            "panic",
            ("ERROR", "entrypoint `handler` panicked", "panic", Some(500)),
        ),
        (
            "overloaded",
            (
                "ERROR",
                "entrypoint `handler` answered 503",
                "error",
                Some(503),
            ),
        ),
        (
            "stream error",
            (
                "ERROR",
                "the stream of entrypoint `handler` failed",
                "error",
                Some(200),
            ),
        ),
        (
            "stream panic",
            (
                "ERROR",
                "the stream of entrypoint `handler` panicked",
                "panic",
                Some(200),
            ),
        ),
    ];
    for (action, _) in ends {
        send(&agent, action).reply();
    }
    let lines = lines(agent);
    for (action, end) in ends {
        let line = only(&lines, action);
        assert_eq!(says(line), end, "{line}");
        assert_eq!(
            (&line["kind"], &line["name"]),
            (&json!("invocation"), &json!("handler"))
        );
        assert_eq!(line["logger"], "agentcore");
        assert!(
            line["durationMs"].as_f64().is_some_and(|took| took > 0.0),
            "{line}"
        );
    }
    assert_eq!(only(&lines, "error")["errorMessage"], "it is broken");
    assert_eq!(
        only(&lines, "stream error")["errorMessage"],
        "the source is dry"
    );
    for action in ["panic", "stream panic"] {
        let line = only(&lines, action);
        assert_eq!(line["errorType"], "panic");
        assert!(
            line["location"]
                .as_str()
                .is_some_and(|place| place.contains("log_lines.rs:"))
        );
    }
}

#[test]
fn a_client_that_leaves_is_in_the_line() {
    let agent = agent(&[]);
    let client = send(&agent, "hang");
    agent.line_with("it hangs");
    drop(client);
    let mut client = send(&agent, "endless");
    assert_eq!(client.head().0, 200);
    client.chunk();
    drop(client);
    agent.until_idle();
    let lines = lines(agent);
    let left = "entrypoint `handler` was cancelled: the client has left";
    assert_eq!(
        says(only(&lines, "hang")),
        ("INFO", left, "cancelled", None)
    );
    let left = "entrypoint `handler` answered 200 after the client had left";
    assert_eq!(
        says(only(&lines, "endless")),
        ("INFO", left, "cancelled", Some(200))
    );
}

/// These do not come to the workers.
#[test]
fn an_invocation_whose_body_is_not_taken_has_its_line_too() {
    let agent = agent(&[("AGENTCORE_MAX_BODY_BYTES", "30")]);
    let reply = send(&agent, "more than thirty bytes of JSON").reply();
    assert_eq!(reply.status, 413);
    let half = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{}content-length: 20\r\n\r\nhalf of it",
        id("half")
    );
    drop(agent.connect().send(half.as_bytes()));
    agent.until_idle();
    let lines = lines(agent);
    for (id, end) in [
        (
            "more than thirty bytes of JSON",
            (
                "INFO",
                "entrypoint `handler` answered 413",
                "client_error",
                Some(413),
            ),
        ),
        (
            "half",
            (
                "INFO",
                "entrypoint `handler` answered 400",
                "client_error",
                Some(400),
            ),
        ),
    ] {
        assert_eq!(says(only(&lines, id)), end);
    }
}

#[test]
fn what_the_stop_cuts_off_is_said_once() {
    let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "0s")]);
    let _client = send(&agent, "hang");
    agent.line_with("it hangs");
    let lines = lines(agent);
    let said = only(&lines, "hang")["message"].as_str().unwrap_or_default();
    assert!(
        said.starts_with("cut off: invocation hang of `handler`"),
        "{said}"
    );
}

/// The messages that contain `what`, without the error that the program ends with, which repeats all that was cut off.
fn messages<'a>(lines: &'a [Value], what: &str) -> Vec<&'a str> {
    let messages = lines.iter().filter_map(|line| line["message"].as_str());
    let messages = messages.filter(|message| !message.starts_with("stopped before"));
    messages.filter(|message| message.contains(what)).collect()
}

#[test]
fn a_task_that_is_cut_off_has_one_line() {
    let agent = jobs(&[("AGENTCORE_SHUTDOWN_GRACE", "0s")]);
    let latch = Latch::new();
    let texts = ["hang".to_owned(), format!("block {}", latch.port())];
    let ids = texts.map(|text| {
        let start = json!({ "action": "start", "how": "spawn", "text": text });
        agent.invoke(start).json()["id"].clone()
    });
    let held = latch.held();
    agent.signal("TERM");
    agent.lines_with([&format!(
        "cut off: task `summarise` {}",
        ids[1].as_str().expect("an id")
    )]);
    drop(held);
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    // It has been read.
    assert!(!log.contains(r#""kind":"task""#), "{log}");
}

#[test]
fn what_the_stop_does_not_name_is_counted() {
    let agent = jobs(&[("AGENTCORE_SHUTDOWN_GRACE", "0s")]);
    agent.invoke(json!({ "action": "many" }));
    let lines = lines(agent);
    assert_eq!(messages(&lines, "cut off: task").len(), 500);
    assert_eq!(messages(&lines, "cut off: 100 more").len(), 1);
    assert_eq!(messages(&lines, "0 finished, 600 cut off").len(), 1);
    assert_eq!(tasks(&lines), [&Value::Null; 0]);
}

/// What ends behind the first look of the stop is not among what that has named.
#[test]
fn a_task_that_a_shutdown_hook_cancels_has_its_line() {
    let agent = jobs(&[("AGENTCORE_SHUTDOWN_GRACE", "0s"), ("TIDY", "1")]);
    agent.invoke(json!({ "action": "start", "how": "spawn", "text": "hang" }));
    let lines = lines(agent);
    assert_eq!(messages(&lines, "cut off: task `summarise`").len(), 1);
    assert_eq!(
        messages(&lines, "`tidy up`"),
        ["task `tidy up` was cancelled"]
    );
}

#[test]
fn the_last_line_of_a_stop_says_how_it_went() {
    let agent = jobs(&[]);
    let latch = Latch::new();
    let start =
        json!({ "action": "start", "how": "spawn", "text": format!("block {}", latch.port()) });
    agent.invoke(start);
    let held = latch.held();
    agent.signal("TERM");
    agent.line_with("stopping; 1 in progress");
    drop(held);
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let last: Value = serde_json::from_str(log.lines().last().unwrap_or_default()).expect("JSON");
    let message = last["message"].as_str().unwrap_or_default();
    assert_eq!(last["level"], "INFO");
    assert!(message.starts_with("stopped after "), "{log}");
    assert!(message.ends_with(": 1 finished"), "{log}");
}

#[test]
fn lines_that_are_off_leave_failures() {
    let agent = agent(&[("AGENTCORE_LOG_INVOCATIONS", "off")]);
    for action in ["hello", "stream", "overloaded", "error", "stream error"] {
        send(&agent, action).reply();
    }
    let lines = lines(agent);
    for action in ["hello", "stream"] {
        assert_eq!(own(&lines, action), [&Value::Null; 0], "{action}");
    }
    // A 503 that the program answers on purpose is a failure, too.
    for action in ["overloaded", "error", "stream error"] {
        assert_eq!(only(&lines, action)["level"], "ERROR");
    }
}

#[test]
fn the_level_of_lines_is_a_setting_and_the_log_has_the_last_word() {
    for (log, level, shown) in [
        ("info", "debug", None),
        ("debug", "debug", Some("DEBUG")),
        ("warn", "info", None),
        ("error", "warn", None),
        ("info", "warn", Some("WARN")),
        ("agentcore=info", "info", Some("INFO")),
        ("info,agentcore=warn", "info", None),
    ] {
        let environment = [("AGENTCORE_LOG", log), ("AGENTCORE_LOG_INVOCATIONS", level)];
        let agent = agent(&environment);
        send(&agent, "hello").reply();
        let lines = lines(agent);
        let levels: Vec<_> = own(&lines, "hello")
            .iter()
            .map(|line| line["level"].clone())
            .collect();
        let expected: Vec<_> = shown.into_iter().map(Value::from).collect();
        assert_eq!(levels, expected, "{environment:?}");
    }
}

#[test]
fn a_pretty_line_says_the_same() {
    let agent = agent(&[("AGENTCORE_LOG_FORMAT", "pretty")]);
    send(&agent, "hello").reply();
    let line = agent.line_with("entrypoint");
    let said = " INFO agentcore: entrypoint `handler` answered 200 kind=invocation name=handler outcome=success status=200 durationMs=";
    assert!(line.contains(said), "{line}");
    assert!(line.ends_with(" requestId=hello"), "{line}");
}

#[test]
fn a_socket_ends_with_one_line_which_says_how() {
    let agent = agent(&[]);
    for (end, code) in [("fine", 1000), ("error", 1011), ("panic", 1011)] {
        let mut peer = Peer::open_with(&agent, &id(end));
        peer.text(end);
        peer.expect_close(code);
    }
    let refused = handshake(&format!("{}x-end: refuse\r\n", id("refuse")));
    assert_eq!(agent.connect().send(refused.as_bytes()).reply().status, 403);
    drop(Peer::open_with(&agent, &id("left")));
    agent.until_idle();
    let lines = lines(agent);
    for (end, says_so) in [
        (
            "fine",
            ("INFO", "websocket handler `talk` ended", "success", None),
        ),
        (
            "error",
            ("ERROR", "websocket handler `talk` failed", "error", None),
        ),
        (
            "panic",
            ("ERROR", "websocket handler `talk` panicked", "panic", None),
        ),
        (
            "refuse",
            (
                "WARN",
                "websocket handler `talk` answered 403 Forbidden: not today",
                "client_error",
                Some(403),
            ),
        ),
        (
            "left",
            (
                "INFO",
                "websocket handler `talk` was cancelled: the client has left",
                "cancelled",
                None,
            ),
        ),
    ] {
        let line = only(&lines, end);
        assert_eq!(says(line), says_so, "{line}");
        assert_eq!(
            (&line["kind"], &line["name"]),
            (&json!("websocket"), &json!("talk"))
        );
    }
}

#[test]
fn a_line_below_layers_is_one_and_in_their_span() {
    let agent = agent(&[("TRACED", "1")]);
    for action in ["hello", "error", "panic", "stream error", "spans", "stream"] {
        send(&agent, action).reply();
    }
    let lines = lines(agent);
    for action in ["hello", "error", "panic", "stream error"] {
        only(&lines, action);
    }
    let request = json!({ "name": "request", "method": "POST", "uri": "/invocations", "version": "HTTP/1.1" });
    let said = |message: &str| {
        let line = lines.iter().find(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("no line {message:?}"))
    };
    assert_eq!(said("from the handler")["spans"], json!([request]));
    assert_eq!(said("from the handler")["is_in_one"], true);
    let lookup = json!({ "name": "lookup", "city": "Paris", "rows": 3 });
    assert_eq!(said("within a span")["spans"], json!([request, lookup]));
    assert_eq!(said("from the stream")["spans"], json!([request]));
}

fn layered(layer: &str) -> Agent {
    agent(&[("LAYER", layer)])
}

#[test]
fn the_line_says_that_a_layers_timeout_has_ended_the_call() {
    for (layer, status, message) in [
        (
            "tower",
            500,
            "entrypoint `handler` was cancelled: a layer failed",
        ),
        (
            "tower-http",
            504,
            "entrypoint `handler` was cancelled: a layer answered 504 in its place",
        ),
    ] {
        let agent = layered(layer);
        assert_eq!(send(&agent, "hang").reply().status, status);
        // Nothing is cancelled here.
        send(&agent, "hello").reply();
        let lines = lines(agent);
        let line = only(&lines, "hang");
        let end = ("ERROR", message, "timeout", Some(u64::from(status)));
        assert_eq!(says(line), end, "{line}");
        let error = (layer == "tower").then_some("request timed out");
        assert_eq!(line["errorMessage"].as_str(), error, "{line}");
        assert_eq!(only(&lines, "hello")["outcome"], "success");
    }
}

#[test]
fn the_line_says_that_a_reply_is_a_layers() {
    let agent = layered("refuse");
    for (name, header, status) in [("before", "x-refuse", 409), ("behind", "x-change", 418)] {
        let request = format!(
            "POST /invocations HTTP/1.1\r\nhost: a\r\n{}{header}: 1\r\ncontent-length: 2\r\n\r\n{{}}",
            id(name)
        );
        assert_eq!(
            agent.connect().send(request.as_bytes()).reply().status,
            status
        );
    }
    send(&agent, "hello").reply();
    let lines = lines(agent);
    for (name, end) in [
        (
            "before",
            (
                "INFO",
                "a layer answered 409 for entrypoint `handler`",
                "client_error",
                Some(409),
            ),
        ),
        (
            "behind",
            (
                "INFO",
                "a layer answered 418 for entrypoint `handler`",
                "client_error",
                Some(418),
            ),
        ),
        (
            "hello",
            (
                "INFO",
                "entrypoint `handler` answered 200",
                "success",
                Some(200),
            ),
        ),
    ] {
        assert_eq!(says(only(&lines, name)), end);
    }
}

/// Here the line of the invocation says something else, so the call has one of its own, which comes first.
#[test]
fn a_call_that_a_layer_repeats_is_in_the_log() {
    let agent = layered("retry");
    assert_eq!(send(&agent, "hang once").reply().status, 200);
    let lines = lines(agent);
    let own = own(&lines, "hang once");
    let messages: Vec<_> = own.iter().map(|line| &line["message"]).collect();
    let expected = [
        "a call of entrypoint `handler` was cancelled: a layer dropped it",
        "entrypoint `handler` answered 200",
    ];
    assert_eq!(messages, expected, "{own:#?}");
    assert_eq!(own[0]["level"], "WARN");
}

/// A layer sees 200, and the line has the status that is in the body.
#[test]
fn the_line_below_layers_has_the_status_that_is_in_band() {
    let agent = agent(&[("TRACED", "1"), ("AGENTCORE_ERRORS", "in-band")]);
    assert_eq!(send(&agent, "overloaded").reply().status, 200);
    let lines = lines(agent);
    let end = (
        "ERROR",
        "entrypoint `handler` answered 503",
        "error",
        Some(503),
    );
    assert_eq!(says(only(&lines, "overloaded")), end);
}

#[test]
fn a_line_outside_of_spans_has_none() {
    let agent = agent(&[]);
    send(&agent, "spans").reply();
    let lines = lines(agent);
    let said = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .expect("a line")
    };
    assert_eq!(said("from the handler").get("spans"), None);
    let lookup = json!({ "name": "lookup", "city": "Paris", "rows": 3 });
    assert_eq!(said("within a span")["spans"], json!([lookup]));
}

#[test]
fn a_backtrace_shows_the_programs_own_functions() {
    let frames_of = |action: &str, wanted: &str| {
        let agent = agent(&[("RUST_BACKTRACE", wanted)]);
        send(&agent, action).reply();
        let lines = lines(agent);
        let line = only(&lines, action);
        let stack = line["stackTrace"].as_array().cloned().unwrap_or_default();
        let text = stack
            .iter()
            .map(|line| line.as_str().expect("a line").to_owned());
        text.collect::<Vec<_>>()
    };
    let frames = |wanted| frames_of("panic", wanted);
    // The library polls streams through bodies of other crates.
    let stack = frames_of("stream panic", "1");
    assert!(stack[0].ends_with(": log_lines::parse"), "{stack:#?}");
    assert!(stack.len() <= 4, "{stack:#?}");
    for wanted in ["", "1"] {
        let stack = frames(wanted);
        assert!(stack[0].ends_with(": log_lines::parse"), "{stack:#?}");
        assert!(stack[1].contains("log_lines.rs:"), "{stack:#?}");
        assert!(stack.iter().any(|line| line.contains("log_lines::handler")));
        // Two frames, one or two lines for each.
        assert!(stack.len() <= 4, "{stack:#?}");
    }
    let whole = frames("full");
    assert!(
        whole.iter().any(|line| line.contains("tokio::runtime")),
        "{whole:#?}"
    );
    assert!(frames("0").is_empty());
}

/// The lines of tasks, which are all of one function here.
fn tasks(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["kind"] == "task").collect()
}

/// What is said of a panic, an error or a warning; the agent's own stop is not.
fn troubles(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["level"] != "INFO").count()
}

fn jobs(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_jobs"), environment)
}

#[test]
fn a_task_ends_with_one_line_which_says_how() {
    for (how, has_id) in [
        ("spawn", true),
        ("builder", true),
        ("wrap", true),
        ("tokio", false),
        ("tokio_wrap", false),
    ] {
        let agent = jobs(&[]);
        for text in ["a b", "panic"] {
            let start = json!({ "action": "start", "how": how, "text": text });
            assert_eq!(agent.invoke(start).status, 200);
        }
        agent.until_idle();
        let lines = lines(agent);
        let mut tasks = tasks(&lines);
        // They may run at the same time.
        tasks.sort_by_key(|line| line["level"] == "ERROR");
        let [ended, panicked] = tasks[..] else {
            panic!("{how}: {tasks:#?}");
        };
        assert_eq!(
            says(ended),
            ("INFO", "task `summarise` ended", "success", None),
            "{how}"
        );
        assert_eq!(
            says(panicked),
            ("ERROR", "task `summarise` panicked", "panic", None),
            "{how}"
        );
        assert_eq!(troubles(&lines), 1, "{how}: {lines:#?}");
        for line in [ended, panicked] {
            assert_eq!(line["name"], "summarise");
            assert_eq!(line["taskId"].is_string(), has_id, "{how}: {line}");
            assert!(line["requestId"].is_string(), "{how}: {line}");
            assert!(line["durationMs"].is_f64(), "{how}: {line}");
        }
        assert_eq!(panicked["errorMessage"], "on purpose");
        assert!(
            panicked["stackTrace"][0]
                .as_str()
                .is_some_and(|frame| frame.contains("jobs::"))
        );
    }
}

#[test]
fn a_task_that_is_cancelled_or_late_has_its_line() {
    let agent = jobs(&[]);
    let start = json!({ "action": "start", "how": "spawn", "text": "hang" });
    let id = agent.invoke(start).json()["id"].clone();
    agent.invoke(json!({ "action": "cancel", "id": id }));
    agent.until_idle();
    agent.invoke(json!({ "action": "results" }));
    agent.until_idle();
    let lines = lines(agent);
    let tasks = tasks(&lines);
    let of = |name: &str| tasks.iter().find(|line| line["name"] == name).copied();
    let cancelled = of("summarise").expect("a line");
    assert_eq!(
        says(cancelled),
        ("INFO", "task `summarise` was cancelled", "cancelled", None)
    );
    assert_eq!(cancelled["taskId"], id);
    let late = of("late").expect("a line");
    assert_eq!(
        (&late["level"], &late["outcome"]),
        (&json!("ERROR"), &json!("timeout"))
    );
    assert_eq!(late["errorMessage"], "timed out after 10ms");
}

/// An error is told once: by the task, if nobody else has it.
#[test]
fn the_line_of_a_task_has_the_error_that_nobody_receives() {
    for (how, level) in [
        ("spawn", "ERROR"),
        ("tokio", "ERROR"),
        ("block", "ERROR"),
        ("await", "INFO"),
        ("join", "INFO"),
    ] {
        let agent = jobs(&[]);
        agent.invoke(json!({ "action": "fail", "how": how }));
        agent.until_idle();
        let lines = lines(agent);
        let text = lines
            .iter()
            .filter(|line| line["errorMessage"] == "lost")
            .count();
        assert_eq!(text, usize::from(level == "ERROR"), "{how}: {lines:#?}");
        assert_eq!(troubles(&lines), text, "{how}: {lines:#?}");
        let tasks = tasks(&lines);
        assert_eq!(tasks.len(), 1, "{how}: {tasks:#?}");
        assert_eq!(tasks[0]["outcome"], "error", "{how}");
    }
}

#[test]
fn lines_of_tasks_that_are_off_leave_failures() {
    let agent = jobs(&[("AGENTCORE_LOG_TASKS", "off")]);
    agent.invoke(json!({ "action": "start", "how": "spawn", "text": "a b" }));
    agent.invoke(json!({ "action": "fail", "how": "spawn" }));
    agent.until_idle();
    let lines = lines(agent);
    assert_eq!(troubles(&lines), 1, "{lines:#?}");
    let tasks = tasks(&lines);
    assert!(
        tasks.iter().all(|line| line["level"] == "ERROR"),
        "{tasks:#?}"
    );
    // The invocations' are not.
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["kind"] == "invocation")
            .count(),
        2
    );
}

#[test]
fn a_task_that_is_kept_by_hand_has_its_line() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    let id = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
    let complete = json!({ "action": "complete", "id": id });
    assert_eq!(agent.invoke(complete).json(), json!({ "completed": true }));
    let lines = lines(agent);
    let tasks = tasks(&lines);
    assert_eq!(tasks.len(), 1, "{tasks:#?}");
    assert_eq!(
        says(tasks[0]),
        ("INFO", "task `by hand` ended", "success", None)
    );
    assert_eq!(tasks[0]["taskId"], id);
}

/// A request to the agent of typed payloads, with the id that its line has.
fn ask(agent: &Agent, name: &str, headers: &str, body: &[u8]) -> u16 {
    let (id, length) = (id(name), body.len());
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{id}{headers}content-length: {length}\r\n\r\n"
    );
    let request = [head.as_bytes(), body].concat();
    agent.connect().send(&request).reply().status
}

/// Name, headers, body, status, reason and path.
type RejectedCase = (
    &'static str,
    &'static str,
    &'static [u8],
    u16,
    &'static str,
    Option<&'static str>,
);

/// Each payload and header has a value that must not come into the log.
#[test]
fn the_line_of_a_rejected_request_says_why_and_has_no_value_of_it() {
    let tenant = "x-tenant: a\r\n";
    let cases: [RejectedCase; 12] = [
        (
            "type",
            tenant,
            br#"{"action":"total","orders":[{"price":1},{"price":"hunter2"}]}"#,
            422,
            "wrong type: found a string",
            Some("orders[1].price"),
        ),
        (
            "field",
            tenant,
            br#"{"action":"total","orders":[{"price":1},{"prize":"hunter2"}]}"#,
            422,
            "missing field `price`",
            Some("orders[1]"),
        ),
        (
            "variant",
            tenant,
            br#"{"action":"hunter2"}"#,
            422,
            "unknown variant",
            Some("action"),
        ),
        (
            "tag",
            tenant,
            br#"{"a":"hunter2"}"#,
            422,
            "missing field `action`",
            Some("."),
        ),
        (
            "list",
            tenant,
            br#""hunter2""#,
            422,
            "wrong type: found a string",
            Some("."),
        ),
        (
            "syntax",
            tenant,
            br#"{"action":"hunter2",}"#,
            400,
            "Invalid JSON: key must be a string at line 1 column 21",
            None,
        ),
        (
            "empty",
            tenant,
            b"",
            400,
            "Invalid JSON: EOF while parsing a value at line 1 column 0",
            None,
        ),
        (
            "encoding",
            tenant,
            b"{\"hunter2\":\"\xff\"}",
            400,
            "Invalid encoding: the body is not UTF-8: invalid utf-8 sequence of 1 bytes from index 12",
            None,
        ),
        (
            "missing header",
            "",
            br#"{"action":"total","orders":[]}"#,
            400,
            "the header `X-Tenant` is missing",
            None,
        ),
        (
            "wrong header",
            "x-tenant: a\r\nauthorization: hunter2\r\n",
            br#"{"action":"total","orders":[]}"#,
            400,
            "the header `Authorization` is not valid",
            None,
        ),
        (
            "wrong number",
            "x-tenant: a\r\nx-limit: hunter2\r\n",
            br#"{"action":"total","orders":[]}"#,
            400,
            "the header `x-limit` is not valid",
            None,
        ),
        (
            "large",
            tenant,
            &[b'x'; 200],
            413,
            "the body is larger than 100 bytes",
            None,
        ),
    ];
    for format in ["json", "pretty"] {
        let agent = Agent::start(
            env!("CARGO_BIN_EXE_extraction"),
            &[
                ("AGENTCORE_LOG_FORMAT", format),
                ("AGENTCORE_MAX_BODY_BYTES", "100"),
            ],
        );
        for (name, headers, body, status, _, _) in cases {
            assert_eq!(ask(&agent, name, headers, body), status, "{name}");
        }
        agent.signal("TERM");
        let (_, log) = agent.wait();
        assert!(!log.contains("hunter2"), "{log}");
        for (name, _, _, status, reason, path) in cases {
            if format == "json" {
                let lines = log.lines().map(serde_json::from_str);
                let lines: Vec<Value> = lines.map(|line| line.expect("JSON")).collect();
                let line = only(&lines, name);
                let message = format!("entrypoint `handler` answered {status}");
                let end = ("INFO", &*message, "client_error", Some(u64::from(status)));
                assert_eq!(says(line), end, "{name}");
                let said = (line["reason"].as_str(), line["path"].as_str());
                assert_eq!(said, (Some(reason), path), "{name}");
            } else {
                let message = format!("entrypoint `handler` answered {status}: {reason} kind=");
                let path = path.map_or(String::new(), |path| format!(" path={path} "));
                let id = if name.contains(' ') {
                    format!("requestId=\"{name}\"")
                } else {
                    format!("requestId={name}")
                };
                let lines: Vec<_> = log.lines().filter(|line| line.contains(&id)).collect();
                let [line] = lines[..] else {
                    panic!("{name}: {lines:#?}");
                };
                assert!(line.contains(&message) && line.contains(&path), "{line}");
                assert!(!line.contains("reason="), "{line}");
            }
        }
    }
}

#[test]
fn a_rejected_request_has_no_line_where_lines_are_off() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_extraction"),
        &[("AGENTCORE_LOG_INVOCATIONS", "off")],
    );
    assert_eq!(ask(&agent, "syntax", "", b"{"), 400);
    assert_eq!(own(&lines(agent), "syntax"), [&Value::Null; 0]);
}
