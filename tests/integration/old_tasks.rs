//! `AGENTCORE_TASK_MAX_AGE`: no task keeps the agent busy for ever, whatever its state.

use serde_json::{Value, json};

use crate::support::Agent;

fn agent() -> Agent {
    agent_with("200ms")
}

fn agent_with(greatest_age: &str) -> Agent {
    Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_TASK_MAX_AGE", greatest_age)],
    )
}

fn is_reported(agent: &Agent, name: &str) {
    is_reported_after("200ms", agent, name);
}

fn is_reported_after(greatest_age: &str, agent: &Agent, name: &str) {
    let line = agent.line_with(&format!("task `{name}"));
    assert!(line.contains(greatest_age), "{line}");
    agent.until_idle();
    assert_eq!(agent.tasks()["active_tasks"], 0);
}

#[test]
fn an_awaited_task_ends_and_its_invocation_answers_504() {
    let agent = agent();
    let reply = agent.invoke(json!({ "action": "wait", "gate": "never" }));
    assert_eq!(
        reply.parts(),
        (504, json!({ "error": "a task timed out after 200ms" }))
    );
    is_reported(&agent, "gated");
}

#[test]
fn a_spawned_task_ends_and_says_why() {
    let agent = agent();
    let reply = agent.invoke(json!({ "action": "background", "gate": "never" }));
    let id = reply.json()["id"].clone();
    // The spawned task awaits an annotated task, and both reach the limit at the same moment.
    is_reported(&agent, "");
    let status = agent.invoke(json!({ "action": "task_status", "id": id }));
    assert_eq!(status.json(), json!({ "status": "timed_out" }));
}

#[test]
fn a_detached_future_ends() {
    let agent = agent();
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    is_reported(&agent, "gated");
}

#[test]
fn a_future_that_nobody_polls_counts_no_longer() {
    // Long enough for a look at a busy agent.
    let agent = agent_with("5s");
    agent.invoke(json!({ "action": "keep", "gate": "never" }));
    assert!(agent.ping().busy);
    is_reported_after("5s", &agent, "gated");
}

#[test]
fn a_task_that_nobody_completes_counts_no_longer() {
    let agent = agent();
    let id = agent.invoke(json!({ "action": "add" })).json()["id"].clone();
    is_reported(&agent, "by hand");
    let completed = agent.invoke(json!({ "action": "complete", "id": id }));
    assert_eq!(completed.json(), json!({ "completed": false }));
}

#[test]
fn a_guard_in_a_future_of_ones_own_counts_no_longer() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_app"),
        &[("AGENTCORE_TASK_MAX_AGE", "200ms")],
    );
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    agent.until_tasks(0);
    assert!(!agent.ping().busy);
}

#[test]
fn younger_tasks_are_left_alone() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_TASK_MAX_AGE", "1h")],
    );
    let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
    agent.until_tasks(1);
    agent.invoke(json!({ "action": "open", "gate": "g" }));
    let reply: Value = running.join().expect("a reply").json();
    assert_eq!(reply, json!({ "passed": "g" }));
}
