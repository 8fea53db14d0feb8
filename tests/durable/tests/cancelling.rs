//! Cancelling from another process.

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
