//! `_agent_core_app_action`, with the answers of Python's SDK.

use serde_json::json;

use crate::support::Agent;

fn action(agent: &Agent, name: &str) -> (u16, serde_json::Value) {
    agent
        .invoke(json!({ "_agent_core_app_action": name }))
        .parts()
}

#[test]
fn each_action_has_its_answer() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_DEBUG", "true")],
    );
    let ping = agent.ping();
    let status =
        |name: &str, stamp: u64| (200, json!({ "status": name, "time_of_last_update": stamp }));
    let answer = action(&agent, "ping_status");
    // The invocation itself changes the status, as `/ping` would show.
    assert_eq!(
        answer,
        status(
            "Healthy",
            answer.1["time_of_last_update"].as_u64().expect("a stamp")
        )
    );
    assert!(answer.1["time_of_last_update"].as_u64() >= Some(ping.stamp));

    agent.invoke(json!({ "action": "spawn", "gate": "g" }));
    let (code, jobs) = action(&agent, "job_status");
    assert_eq!((code, &jobs["active_count"]), (200, &json!(1)));
    assert_eq!(jobs["running_jobs"][0]["name"], "gated");

    assert_eq!(
        action(&agent, "force_healthy"),
        (200, json!({ "forced_status": "Healthy" }))
    );
    assert!(!agent.ping().busy);
    assert_eq!(
        action(&agent, "clear_forced_status"),
        (200, json!({ "forced_status": "Cleared" }))
    );
    assert!(agent.ping().busy);
    agent.invoke(json!({ "action": "open", "gate": "g" }));
    agent.until_tasks(0);
    assert_eq!(
        action(&agent, "force_busy"),
        (200, json!({ "forced_status": "HealthyBusy" }))
    );
    assert!(agent.ping().busy);
    assert_eq!(
        action(&agent, "x"),
        (400, json!({ "error": "Unknown action: x" }))
    );
    assert_eq!(
        agent.invoke(json!({ "fine": 1 })).parts(),
        (200, json!({ "fine": 1 }))
    );
}

#[test]
fn without_debug_it_is_a_payload_like_any_other() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_macros"), &[]);
    let event = json!({ "_agent_core_app_action": "force_busy" });
    assert_eq!(agent.invoke(event.clone()).parts(), (200, event));
    assert!(!agent.ping().busy);
}
