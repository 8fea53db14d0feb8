//! `#[ping]`: its answer counts, and its failures do not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, Client, unix_now};

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_custom_ping"), &[])
}

fn set(agent: &Agent, mode: &str) {
    assert_eq!(agent.invoke(json!(mode)).parts(), (200, json!(mode)));
}

#[test]
fn its_answer_is_added_to_the_automatic_status() {
    let agent = agent();
    assert!(!agent.ping().busy);
    set(&agent, "busy");
    assert!(agent.ping().busy);
    set(&agent, "healthy");
    assert!(!agent.ping().busy);
    let task = agent.invoke(json!("task"));
    assert_eq!(task.status, 200);
    assert!(
        agent.ping().busy,
        "a task runs, though the handler says Healthy"
    );
}

/// Every page that shows the status calls the handler first, as `/ping` does.
#[test]
fn everything_that_shows_the_status_says_what_ping_says() {
    let environment = [("AGENTCORE_DEV", "1"), ("AGENTCORE_METRICS", "true")];
    let agent = Agent::start(env!("CARGO_BIN_EXE_custom_ping"), &environment);
    // The dev page answers only to this name.
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        agent.ask(request.as_bytes())
    };
    let tell = |word: &str| {
        let body = json!(word).to_string();
        let head = "POST /invocations HTTP/1.1\r\nhost: localhost";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let reply = agent.ask(request.as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let on_the_metrics = || {
        let page = String::from_utf8(get("/metrics").body).expect("text");
        let mut lines = page.lines();
        let busy = lines.find_map(|line| line.strip_prefix("agentcore_busy "));
        busy.expect("the metric") == "1"
    };
    let on_the_dev_page = || get("/_dev/state").json()["status"] == "HealthyBusy";
    // `current_ping_status` does not call the handler, which was called before.
    let in_a_handler = || tell("status") == "HealthyBusy";
    let by_ping = || get("/ping").json()["status"] == "HealthyBusy";
    let shows: [(&str, &dyn Fn() -> bool); 4] = [
        ("metrics", &on_the_metrics),
        ("the dev page", &on_the_dev_page),
        ("a handler", &in_a_handler),
        ("ping", &by_ping),
    ];
    // In the rounds, each of the first two pages is once the first to ask.
    let all = |expected: bool, first: usize| {
        let order = [first, 1 - first, 2, 3];
        for (who, is_busy) in order.map(|index| shows[index]) {
            assert_eq!(is_busy(), expected, "{who}");
        }
    };
    for first in [0, 1] {
        all(false, first);
        tell("busy");
        all(true, first);
        tell("error");
        all(false, first);
        tell("healthy");
        all(false, first);
    }
    tell("task");
    all(true, 0);
}

/// The metrics page waits for the handler no longer than `/ping` does.
#[test]
fn a_handler_that_hangs_does_not_keep_the_metrics() {
    let environment = [("AGENTCORE_METRICS", "true"), ("AGENTCORE_ADMIN_PORT", "0")];
    let agent = Agent::start(env!("CARGO_BIN_EXE_custom_ping"), &environment);
    set(&agent, "hang");
    for _ in 0..3 {
        let client = Client::connect(agent.admin_address());
        let reply = client
            .send(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
            .reply();
        assert_eq!(reply.status, 200);
        let page = String::from_utf8(reply.body).expect("text");
        assert!(page.contains("\nagentcore_busy 0\n"), "{page}");
    }
}

#[test]
fn it_may_fall_back_to_the_automatic_status() {
    let agent = agent();
    set(&agent, "busy");
    assert!(agent.ping().busy);
    set(&agent, "automatic");
    assert!(!agent.ping().busy, "it does not see its own last answer");
    agent.invoke(json!("task"));
    assert!(agent.ping().busy);
}

#[test]
fn its_failures_leave_the_automatic_status_and_where_that_is_no_change_the_stamp() {
    for mode in ["error", "panic"] {
        let agent = agent();
        set(&agent, mode);
        agent.until_idle();
        let first = agent.ping();
        first.until_its_second_is_over();
        assert_eq!(agent.ping(), first);
        agent.line_with("/ping reports the automatic status");
        agent.invoke(json!("task"));
        assert!(agent.ping().busy, "automatic");
    }
}

/// Time is the subject: stamps are whole seconds.
#[test]
fn a_failure_that_changes_the_answer_moves_the_stamp_once() {
    let agent = agent();
    set(&agent, "busy");
    let before = agent.ping();
    assert!(before.busy);
    until_after(before.stamp);
    set(&agent, "error");
    let failed = agent.ping();
    assert!(!failed.busy && failed.stamp > before.stamp, "{failed:?}");
    until_after(failed.stamp);
    assert_eq!(agent.ping(), failed);
}

fn until_after(second: u64) {
    while unix_now() <= second {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn one_that_hangs_costs_its_deadline_once_and_then_nothing() {
    let agent = agent();
    agent.ping();
    set(&agent, "hang");
    let began = Instant::now();
    assert!(!agent.ping().busy);
    assert!(began.elapsed() >= Duration::from_millis(250));
    // The run that hangs is still in progress, and no ping waits for it again. The quickest ping shows that: any ping may be slow
    // on a busy machine, and each would take the deadline if it waited.
    let quickest = (0..20).map(|_| {
        let began = Instant::now();
        agent.ping();
        began.elapsed()
    });
    let quickest = quickest.min().expect("twenty pings");
    assert!(quickest < Duration::from_millis(250), "{quickest:?}");
    agent.line_with("took longer than 250ms");
    assert_eq!(agent.invoke(json!("runs")).json(), json!(2));
}
