//! Background tasks: one task for each job, however it is started, and results that belong to sessions.

use serde_json::{Value, json};

use crate::support::{Agent, Latch, Reply, get};

const BINARY: &str = env!("CARGO_BIN_EXE_jobs");

/// All ways to start the function `summarise`, or its counterpart without macros.
const WAYS: [&str; 5] = ["spawn", "builder", "tokio", "wrap", "tokio_wrap"];

fn agent() -> Agent {
    Agent::start(BINARY, &[])
}

fn ask(agent: &Agent, session: Option<&str>, event: &Value) -> Reply {
    let body = event.to_string();
    let session = session
        .map(|session| format!("x-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n"));
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: agent\r\n{}content-length: {}\r\n\r\n",
        session.unwrap_or_default(),
        body.len()
    );
    agent.ask((head + &body).as_bytes())
}

fn start(agent: &Agent, session: Option<&str>, how: &str, text: &str) -> Value {
    let event = json!({ "action": "start", "how": how, "text": text });
    let reply = ask(agent, session, &event);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["id"].clone()
}

/// Asks until the task is over.
fn status(agent: &Agent, session: Option<&str>, id: &Value) -> Value {
    let event = json!({ "action": "status", "id": id });
    let status = || ask(agent, session, &event).json();
    agent.until("the task is over", |_| status()["status"] != "running");
    status()
}

#[test]
fn a_spawned_task_is_one_task_with_the_name_of_its_function() {
    for how in WAYS {
        let agent = Agent::start(
            BINARY,
            &[
                ("AGENTCORE_METRICS", "true"),
                ("AGENTCORE_SHUTDOWN_GRACE", "0s"),
            ],
        );
        start(&agent, None, how, "hang");
        assert!(agent.ping().busy);
        let list = agent.invoke(json!({ "action": "list" })).json();
        assert_eq!(list["active_count"], 1, "{how}: {list}");
        assert_eq!(list["running_jobs"][0]["name"], "summarise", "{how}");
        let metrics = agent.ask(&get("/metrics"));
        let metrics = String::from_utf8_lossy(&metrics.body);
        let names: Vec<_> = metrics
            .lines()
            .filter(|line| line.starts_with("agentcore_active_tasks{"))
            .collect();
        assert_eq!(
            names,
            ["agentcore_active_tasks{name=\"summarise\"} 1"],
            "{how}"
        );
        agent.signal("TERM");
        let (_, log) = agent.wait();
        assert!(log.contains("1 in progress"), "{how}: {log}");
        let cut: Vec<_> = log
            .lines()
            .filter(|line| line.contains(r#""message":"cut off: task"#))
            .collect();
        let is_named = |line: &&str| line.contains("task `summarise`");
        assert!(cut.len() == 1 && cut.iter().all(is_named), "{how}: {cut:?}");
    }
}

#[test]
fn a_panic_is_logged_once_with_the_name_of_the_function() {
    for how in WAYS {
        let agent = agent();
        start(&agent, None, how, "panic");
        agent.line_with("task `summarise` panicked: on purpose");
        agent.until_idle();
        agent.signal("TERM");
        let (_, log) = agent.wait();
        assert!(!log.contains("panicked"), "{how}: {log}");
    }
}

/// A poll may take a second. The task blocks until the warning is there, however late the front checks. The line belongs to the
/// task's invocation.
#[test]
fn a_task_that_blocks_its_thread_is_named() {
    let agent = agent();
    let latch = Latch::new();
    let text = format!("block {}", latch.port());
    start(&agent, Some("alice"), "spawn", &text);
    let _held = latch.held();
    let line = agent.line_with("has blocked its thread for 1 s");
    let warning = "task `summarise` has blocked its thread for 1 s; move blocking work to `tokio::task::spawn_blocking` (logged";
    assert!(line.contains(warning), "{line}");
    assert!(line.contains(r#""sessionId":"alice""#), "{line}");
}

#[test]
fn a_running_task_belongs_to_its_session() {
    let agent = agent();
    let id = start(&agent, Some("alice"), "spawn", "hang");
    let never_given = json!("0".repeat(32));
    for stranger in [Some("mallory"), Some("alic"), Some("alice2"), None] {
        for action in ["status", "cancel"] {
            let foreign = ask(&agent, stranger, &json!({ "action": action, "id": id }));
            let unknown = ask(
                &agent,
                stranger,
                &json!({ "action": action, "id": never_given }),
            );
            assert_eq!(foreign.parts(), unknown.parts());
            let expected = match action {
                "status" => json!({ "status": "unknown" }),
                _ => json!({ "cancelled": false }),
            };
            assert_eq!(foreign.json(), expected, "{stranger:?}");
        }
    }
    let own = json!({ "action": "status", "id": id });
    assert_eq!(ask(&agent, Some("alice"), &own).json()["status"], "running");
    let cancel = json!({ "action": "cancel", "id": id });
    assert_eq!(
        ask(&agent, Some("alice"), &cancel).json()["cancelled"],
        true
    );
    assert_eq!(
        status(&agent, Some("alice"), &id),
        json!({ "status": "cancelled" })
    );
    let theirs = ask(&agent, Some("mallory"), &own).json();
    assert_eq!(theirs, json!({ "status": "unknown" }));
}

#[test]
fn a_result_belongs_to_its_session() {
    let agent = agent();
    let done = json!({ "status": "completed", "result": { "words": 3 } });
    let unknown = json!({ "status": "unknown" });
    let id = start(&agent, Some("alice"), "spawn", "a b c");
    assert_eq!(status(&agent, Some("alice"), &id), done);
    assert_eq!(status(&agent, Some("mallory"), &id), unknown);
    assert_eq!(status(&agent, None, &id), unknown);

    // A caller without a session gets the results of callers without a session.
    let id = start(&agent, None, "spawn", "a b c");
    assert_eq!(status(&agent, None, &id), done);
    assert_eq!(status(&agent, Some("mallory"), &id), unknown);

    let id = start(&agent, Some("alice"), "any_session", "a b c");
    assert_eq!(status(&agent, Some("bob"), &id), done);
    assert_eq!(status(&agent, None, &id), done);
}

#[test]
fn a_task_of_any_session_may_be_cancelled_from_any() {
    let agent = agent();
    let id = start(&agent, Some("alice"), "any_session", "hang");
    let cancel = json!({ "action": "cancel", "id": id });
    assert_eq!(ask(&agent, Some("bob"), &cancel).json()["cancelled"], true);
    assert_eq!(status(&agent, None, &id), json!({ "status": "cancelled" }));
}

/// An id reveals nothing about the next one.
#[test]
fn ids_cannot_be_computed_from_each_other() {
    let agent = agent();
    let ids: Vec<u128> = (0..20)
        .map(|_| start(&agent, None, "spawn", "a"))
        .map(|id| {
            let text = id.as_str().expect("a string").to_owned();
            assert_eq!(text.len(), 32, "{text}");
            u128::from_str_radix(&text, 16).expect("hexadecimal digits")
        })
        .collect();
    let steps: std::collections::HashSet<_> = ids
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    assert_eq!(steps.len(), ids.len() - 1);
    let not_an_id = ask(
        &agent,
        None,
        &json!({ "action": "status", "id": "12345678901" }),
    );
    assert_eq!(not_an_id.status, 500);
}

#[test]
fn results_of_all_kinds_are_kept_and_no_result_is_an_enum() {
    let agent = agent();
    let ids = agent.invoke(json!({ "action": "results" })).json();
    let completed = |value: Value| json!({ "status": "completed", "result": value });
    let failed = |error: &str| json!({ "status": "failed", "error": error });
    for (kind, expected) in [
        ("task", completed(json!({ "words": 3 }))),
        ("failed task", failed("a b c")),
        ("late task", failed("timed out after 10ms")),
        ("value", completed(json!({ "words": 1 }))),
        ("ok", completed(json!({ "words": 2 }))),
        ("error", failed("it is broken")),
        ("text error", failed("as a text")),
        ("unit", completed(Value::Null)),
        ("json", completed(json!({ "words": 3 }))),
    ] {
        assert_eq!(status(&agent, None, &ids[kind]), expected, "{kind}");
    }
}

#[test]
fn state_is_there_wherever_the_agent_works() {
    let agent = agent();
    let known = ask(&agent, Some("alice"), &json!({ "action": "known" })).json();
    let all = json!({ "motto": "made at the start", "session": "alice" });
    assert_eq!(known, json!([all, all, all, all, false]));
}

#[test]
fn an_error_that_nobody_receives_is_logged() {
    for (how, expected) in [
        ("spawn", "task `fail` "),
        ("tokio", "task `fail` "),
        ("block", "task `tests/fixtures/jobs.rs:"),
    ] {
        let agent = agent();
        agent.invoke(json!({ "action": "fail", "how": how }));
        let line = agent.line_with("failed: lost");
        assert!(line.contains(expected), "{line}");
    }
    let agent = agent();
    agent.invoke(json!({ "action": "fail", "how": "other" }));
    agent.line_with(
        "failed: an error (`core::result::Result<u8, core::num::error::ParseIntError>`)",
    );
}

#[test]
fn an_error_that_the_program_receives_is_not_logged() {
    for how in ["await", "join"] {
        let agent = agent();
        assert_eq!(
            agent.invoke(json!({ "action": "fail", "how": how })).status,
            200
        );
        agent.until_idle();
        agent.signal("TERM");
        let (_, log) = agent.wait();
        assert!(!log.contains("taken"), "{how}: {log}");
    }
}
