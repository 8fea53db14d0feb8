//! `#[ping]`: its answer counts, and its failures do not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, Client, DEADLINE, Ping, wait_until};

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_custom_ping"), &[])
}

fn set(agent: &Agent, mode: &str) {
    assert_eq!(agent.invoke(json!(mode)).parts(), (200, json!(mode)));
}

/// Has the handler say `HealthyBusy`. Returns the first ping that says it.
fn set_busy(agent: &Agent) -> Ping {
    set(agent, "busy");
    let mut answer = agent.ping();
    wait_until(DEADLINE, "the handler says busy", || {
        let is_busy = answer.busy;
        if !is_busy {
            answer = agent.ping();
        }
        is_busy
    });
    answer
}

#[test]
fn its_answer_is_added_to_the_automatic_status() {
    let agent = agent();
    assert!(!agent.ping().busy);
    set_busy(&agent);
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
    // Each of the first two is the first to ask in one of the rounds.
    let wrong = |expected: bool, first: usize| {
        let mut order = [first, 1 - first, 2, 3].into_iter();
        let (who, _) = shows[order.find(|index| shows[*index].1() != expected)?];
        Some(who)
    };
    for first in [0, 1] {
        assert_eq!(wrong(false, first), None);
        // A handler that is late does not count. On a busy machine it may be late now and then, not every time.
        let tries: Vec<_> = (0..5)
            .map(|_| {
                tell("healthy");
                by_ping();
                tell("busy");
                wrong(true, first)
            })
            .take_while(Option::is_some)
            .collect();
        assert!(tries.len() < 5, "{tries:?}");
        tell("error");
        assert_eq!(wrong(false, first), None);
        tell("healthy");
        assert_eq!(wrong(false, first), None);
    }
    tell("task");
    assert_eq!(wrong(true, 0), None);
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
    set_busy(&agent);
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
    let before = set_busy(&agent);
    before.until_its_second_is_over();
    set(&agent, "error");
    let failed = agent.ping();
    assert!(!failed.busy && failed.stamp > before.stamp, "{failed:?}");
    failed.until_its_second_is_over();
    assert_eq!(agent.ping(), failed);
}

#[test]
fn one_that_hangs_costs_its_deadline_once_and_then_nothing() {
    let agent = agent();
    agent.ping();
    set(&agent, "hang");
    let began = Instant::now();
    assert!(!agent.ping().busy);
    assert!(began.elapsed() >= Duration::from_millis(250));
    // The run that hangs is still the one in progress, and no ping waits for it again. One quick ping tells: any may be slow
    // on a busy machine, and each would take the deadline if it waited.
    wait_until(DEADLINE, "a ping does not wait for the handler", || {
        let began = Instant::now();
        agent.ping();
        began.elapsed() < Duration::from_millis(250)
    });
    agent.line_with("took longer than 250ms");
    assert_eq!(agent.invoke(json!("runs")).json(), json!(2));
}
