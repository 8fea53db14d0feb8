//! An invocation, a socket and a task end with one line each, which says how.

use serde_json::{Value, json};

use crate::support::websocket::{Peer, handshake};
use crate::support::{Agent, Client};

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

/// Everything that the agent writes until it has stopped. Lines about blocked threads are left out: on a busy machine any
/// poll may take a second.
fn lines(agent: Agent) -> Vec<Value> {
    agent.signal("TERM");
    let (_, log) = agent.wait();
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .filter(|line: &Value| line["logger"] != "agentcore::server::stalls")
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
            ("ERROR", "the stream failed", "error", Some(200)),
        ),
        (
            "stream panic",
            ("ERROR", "the stream panicked", "panic", Some(200)),
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
    let left = "entrypoint `handler` answered 200, and the client had left";
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
    let frames = |wanted: &str| {
        let agent = agent(&[("RUST_BACKTRACE", wanted)]);
        send(&agent, "panic").reply();
        let lines = lines(agent);
        let line = only(&lines, "panic");
        let stack = line["stackTrace"].as_array().cloned().unwrap_or_default();
        let text = stack
            .iter()
            .map(|line| line.as_str().expect("a line").to_owned());
        text.collect::<Vec<_>>()
    };
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
