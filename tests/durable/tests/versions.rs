//! Two versions of a program side by side, as during a deploy: each has tasks that the other one does not run.

use serde_json::json;

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::support::Latch;

on_each_store! {
    fn each_version_runs_the_jobs_of_its_own_tasks(fleet: "30s") {
        let latch = Latch::new();
        let old = fleet.start(&[("AGENTCORE_DURABLE_WORK", "hold")]);
        // The old version is idle, and does not know this task.
        let unknown = submit(&old, json!({ "action": "nothing" }));
        let held_job = submit(&old, json!({ "action": "hold", "port": latch.port() }));
        let held = latch.held();
        assert!(fleet.begun(&unknown, "nothing").is_empty());
        let new = fleet.start(&[("AGENTCORE_DURABLE_WORK", "nothing,pages")]);
        let status = ended(&old, &unknown);
        assert_eq!(status["status"], "completed", "{status}");
        assert_eq!(status["attempt"], 1, "no attempt was used up");
        let pages = submit(&old, json!({ "action": "pages", "pages": 1, "pause_ms": 1 }));
        assert_eq!(ended(&new, &pages)["status"], "completed");
        drop(held);
        let status = ended(&new, &held_job);
        assert_eq!(
            status,
            json!({ "status": "completed", "attempt": 1, "result": 1 })
        );
        assert_eq!(fleet.begun(&held_job, "hold"), [1]);
    }
}
