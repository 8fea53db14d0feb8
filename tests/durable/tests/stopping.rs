//! Jobs of processes that are told to stop.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, counts, ended, on_each_store, submit};
use crate::storm::is_full;
use crate::support::{DEADLINE, Latch, wait_until};

on_each_store! {
    fn a_job_that_ends_within_the_grace_is_finished(fleet: "30s") {
        let latch = Latch::new();
        let agent = fleet.start(&[("AGENTCORE_SHUTDOWN_GRACE", "1m")]);
        let job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
        let held = latch.held();
        agent.signal("TERM");
        agent.line_with("1 in progress");
        drop(held);
        let (status, log) = agent.wait();
        assert!(status.success(), "{log}");
        let next = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        assert_eq!(
            ended(&next, &job),
            json!({ "status": "completed", "attempt": 1, "result": 1 })
        );
    }
}

on_each_store! {
    fn what_does_not_end_within_the_grace_is_handed_back_and_uses_up_no_attempt(fleet: "1h") {
        let latch = Latch::new();
        let agent = fleet.start(&[
            ("AGENTCORE_SHUTDOWN_GRACE", "2s"),
            ("AGENTCORE_DURABLE_CONCURRENCY", "20"),
        ]);
        let jobs: Vec<_> = (0..20)
            .map(|_| submit(&agent, json!({ "action": "hold", "port": latch.port() })))
            .collect();
        let first: Vec<_> = jobs.iter().map(|_| latch.held()).collect();
        let next = fleet.start(&[
            ("AGENTCORE_DURABLE_CONCURRENCY", "20"),
            ("AGENTCORE_METRICS", "true"),
        ]);
        agent.signal("TERM");
        let (status, log) = agent.wait();
        assert!(status.success(), "nothing was cut off: {log}");
        assert!(log.contains(" finished, 20 handed back"), "{log}");
        // The lease is an hour: only what was handed back can be here.
        let began = Instant::now();
        let second: Vec<_> = jobs.iter().map(|_| latch.held()).collect();
        let took = began.elapsed();
        eprintln!("20 jobs were taken over {took:?} after the end of their process");
        let most = Duration::from_secs(if is_full() { 1 } else { 5 });
        assert!(took < most, "{took:?}");
        drop((first, second));
        for job in &jobs {
            assert_eq!(
                ended(&next, job),
                json!({ "status": "completed", "attempt": 1, "result": 1 })
            );
            assert_eq!(fleet.begun(job, "hold"), [1, 1]);
        }
        let taken_over = r#"agentcore_durable_takeovers_total{task="hold"} 0"#;
        assert!(counts(&next, taken_over), "a hand-back is no takeover");
    }
}

/// It stays in the store, and the agent is busy with it only as long as it serves.
#[test]
fn a_job_that_waits_is_no_work_of_a_stop() {
    let fleet = Fleet::on_sqlite("30s");
    let latch = Latch::new();
    let agent = fleet.start(&[
        ("AGENTCORE_SHUTDOWN_GRACE", "1m"),
        ("AGENTCORE_DURABLE_CONCURRENCY", "1"),
    ]);
    let running = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
    let held = latch.held();
    let waiting = submit(&agent, json!({ "action": "nothing" }));
    agent.signal("TERM");
    let line = agent.line_with(" in progress, up to 1m to finish");
    assert!(line.contains("stopping; 1 in progress"), "{line}");
    drop(held);
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains(": 1 finished"), "{log}");
    let next = fleet.start(&[]);
    for job in [running, waiting] {
        assert_eq!(ended(&next, &job)["status"], "completed");
    }
}

#[test]
fn on_the_storage_of_a_session_jobs_are_handed_back_long_before_the_grace_is_over() {
    let fleet = Fleet::on_a_session("1h");
    let latch = Latch::new();
    let agent = fleet.start(&[("AGENTCORE_SHUTDOWN_GRACE", "10m")]);
    let job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
    let held = latch.held();
    agent.signal("TERM");
    agent.line_with("was handed back");
    let (status, log) = agent.wait();
    assert!(status.success(), "{log}");
    drop(held);
    let next = fleet.start(&[]);
    assert_eq!(next.invoke(json!({ "action": "echo" })).json(), "here");
    drop(latch.held());
    assert_eq!(
        ended(&next, &job),
        json!({ "status": "completed", "attempt": 1, "result": 1 })
    );
}

on_each_store! {
    fn a_process_that_stops_takes_no_more_jobs(fleet: "1h") {
        let latch = Latch::new();
        let agent = fleet.start(&[("AGENTCORE_SHUTDOWN_GRACE", "1m")]);
        let held_job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
        let held = latch.held();
        agent.signal("TERM");
        agent.line_with("1 in progress");
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let job = submit(&submitter, json!({ "action": "nothing" }));
        // Longer than it is from one look for jobs to the next.
        std::thread::sleep(Duration::from_secs(2));
        assert!(fleet.begun(&job, "nothing").is_empty());
        drop(held);
        let (status, log) = agent.wait();
        assert!(status.success(), "{log}");
        assert_eq!(ended(&submitter, &held_job)["status"], "completed");
        let _worker = fleet.start(&[]);
        wait_until(DEADLINE, "the job has begun", || {
            !fleet.begun(&job, "nothing").is_empty()
        });
    }
}
