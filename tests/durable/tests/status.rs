//! What `/ping` and the probes say of durable jobs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::storm::is_full;
use crate::support::{DEADLINE, Latch, wait_until};

on_each_store! {
    fn the_agent_is_busy_while_a_job_runs_here_and_its_polls_move_no_stamp(fleet: "30s") {
        let latch = Latch::new();
        let worker = fleet.start(&[("AGENTCORE_DURABLE_WORK", "hold")]);
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let idle = worker.ping();
        assert!(!idle.busy);
        // Several looks for jobs.
        let watched = Duration::from_secs(if is_full() { 60 } else { 4 });
        let began = Instant::now();
        while began.elapsed() < watched {
            let ping = worker.ping();
            assert!(!ping.busy);
            assert_eq!(ping.stamp, idle.stamp);
            std::thread::sleep(Duration::from_millis(50));
        }
        // A job that no process runs.
        submit(&submitter, json!({ "action": "nothing" }));
        let job = submit(
            &submitter,
            json!({ "action": "hold", "port": latch.port() }),
        );
        let held = latch.held();
        assert!(worker.ping().busy);
        submitter.until_idle();
        drop(held);
        assert_eq!(ended(&submitter, &job)["status"], "completed");
        worker.until_idle();
    }
}

#[test]
fn a_job_that_is_due_here_makes_the_agent_busy_without_a_gap() {
    let fleet = Fleet::on_sqlite("30s");
    let latch = Latch::new();
    let agent = fleet.start(&[("AGENTCORE_DURABLE_CONCURRENCY", "1")]);
    let jobs: Vec<_> = (0..3)
        .map(|_| submit(&agent, json!({ "action": "hold", "port": latch.port() })))
        .collect();
    let mut held = latch.held();
    let stamp = agent.ping().stamp;
    for _ in 1..jobs.len() {
        // A change within the second of the stamp would not be seen.
        wait_until(DEADLINE, "another second", || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("a date").as_secs() > stamp + 1
        });
        drop(held);
        held = latch.held();
        let ping = agent.ping();
        assert!(ping.busy);
        assert_eq!(ping.stamp, stamp, "it was idle in between");
    }
    drop(held);
    for job in &jobs {
        assert_eq!(ended(&agent, job)["status"], "completed");
    }
    agent.until_idle();
}

#[test]
fn a_store_that_cannot_be_used_is_said_by_the_probe_and_harms_nothing_else() {
    let fleet = Fleet::on_sqlite("30s");
    let nowhere = [
        ("AGENTCORE_DURABLE", "sqlite:/nonexistent/jobs.db"),
        ("AGENTCORE_PROBES", "true"),
    ];
    let agent = fleet.start(&nowhere);
    agent.until("the probe says so", |agent| {
        agent.get("/readyz").status == 503
    });
    assert_eq!(
        agent.get("/readyz").json()["reason"],
        "durable store out of reach or not set up"
    );
    let reply = agent.invoke(json!({ "action": "nothing" }));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(!reply.json().to_string().contains("nonexistent"));
    assert_eq!(agent.invoke(json!({ "action": "echo" })).json(), "here");
    assert!(!agent.ping().busy);
    assert_eq!(agent.get("/livez").status, 200);
}
