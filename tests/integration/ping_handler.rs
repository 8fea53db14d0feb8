//! `#[ping]`: its answer counts, its failures do not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, unix_now};

fn agent() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_custom_ping"), &[])
}

fn set(agent: &Agent, mode: &str) {
    assert_eq!(agent.invoke(json!(mode)).parts(), (200, json!(mode)));
}

#[test]
fn its_answer_replaces_the_automatic_status() {
    let agent = agent();
    assert!(!agent.ping().busy);
    set(&agent, "busy");
    assert!(agent.ping().busy);
    set(&agent, "healthy");
    let task = agent.invoke(json!("task"));
    assert_eq!(task.status, 200);
    assert!(
        !agent.ping().busy,
        "a task runs, and the handler says Healthy"
    );
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
        let before = agent.ping();
        set(&agent, mode);
        let after = agent.ping();
        assert!(!after.busy);
        // The `set` was an invocation, which under a custom handler moves nothing either.
        assert_eq!(after.stamp, before.stamp);
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
    // The run that hangs is still the one in progress, and no ping waits for it again. The quickest of them tells, since any
    // may be slow on a busy machine, and each would take the deadline if it waited.
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
