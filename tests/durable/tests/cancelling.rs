//! Cancelling from another process.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::support::{Agent, Latch};

fn cancel(agent: &Agent, job: &str) -> Value {
    agent
        .invoke(json!({ "action": "cancel", "job": job }))
        .json()
}

on_each_store! {
    fn a_job_that_waits_is_never_run(fleet: "30s") {
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let job = submit(&submitter, json!({ "action": "nothing" }));
        assert_eq!(cancel(&submitter, &job), true);
        assert_eq!(cancel(&submitter, &job), false);
        let worker = fleet.start(&[]);
        let other = submit(&submitter, json!({ "action": "nothing" }));
        assert_eq!(ended(&worker, &other)["status"], "completed");
        assert_eq!(
            ended(&worker, &job),
            json!({ "status": "cancelled", "attempt": 1 })
        );
        assert!(fleet.begun(&job, "nothing").is_empty());
    }
}

on_each_store! {
    fn a_job_that_runs_elsewhere_is_dropped_there(fleet: "1s") {
        let latch = Latch::new();
        let worker = fleet.start(&[]);
        let job = submit(&worker, json!({ "action": "hold", "port": latch.port() }));
        let _held = latch.held();
        let other = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        assert_eq!(cancel(&other, &job), true);
        assert_eq!(
            ended(&other, &job),
            json!({ "status": "cancelled", "attempt": 1 })
        );
        worker.until_idle();
    }
}

on_each_store! {
    fn a_job_that_has_ended_cannot_be_cancelled(fleet: "30s") {
        let agent = fleet.start(&[]);
        let job = submit(&agent, json!({ "action": "nothing" }));
        assert_eq!(ended(&agent, &job)["status"], "completed");
        assert_eq!(cancel(&agent, &job), false);
        assert_eq!(ended(&agent, &job)["status"], "completed");
    }
}

on_each_store! {
    fn a_job_that_ends_while_it_is_cancelled_ends_in_one_way(fleet: "30s") {
        let worker = fleet.start(&[("AGENTCORE_DURABLE_CONCURRENCY", "8")]);
        let other = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let (mut cancelled, mut completed) = (0, 0);
        for round in 0.. {
            if round >= 60 && cancelled > 0 && completed > 0 {
                break;
            }
            assert!(round < 70, "{cancelled} were cancelled, {completed} had ended");
            let pages = json!({ "action": "pages", "pages": 1, "pause_ms": 5 });
            let job = submit(&worker, pages);
            // Each round cancels later: before the claim, while the job runs, after its end. A slow machine needs more of them.
            let pause = if round < 60 { round / 2 } else { 30 << (round - 60) };
            std::thread::sleep(Duration::from_millis(pause));
            let was_cancelled = cancel(&other, &job);
            let status = ended(&other, &job);
            if was_cancelled == true {
                assert_eq!(status["status"], "cancelled", "round {round}: {status}");
                cancelled += 1;
            } else {
                assert_eq!(status["status"], "completed", "round {round}: {status}");
                completed += 1;
            }
            assert_eq!(status["attempt"], 1, "round {round}: {status}");
        }
        worker.until_idle();
        eprintln!("{cancelled} jobs were cancelled, {completed} had ended");
    }
}
