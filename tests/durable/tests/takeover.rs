//! Jobs whose process dies, stands still, or is busy with itself.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, counts, ended, fetch, on_each_store, submit};
use crate::support::{DEADLINE, Latch, wait_until};

on_each_store! {
    fn a_job_whose_process_was_killed_goes_on_in_the_next_one(fleet: "1s") {
        let first = fleet.start(&[]);
        let job = submit(
            &first,
            json!({ "action": "pages", "pages": 3, "pause_ms": 300 }),
        );
        wait_until(DEADLINE, "the second page has begun", || {
            !fleet.begun(&job, "page:1").is_empty()
        });
        first.signal("KILL");
        let _ = first.wait();
        let second = fleet.start(&[("AGENTCORE_METRICS", "true")]);
        let status = ended(&second, &job);
        assert_eq!(status["status"], "completed", "{status}");
        assert_eq!(status["result"], json!({ "pages": 3, "sum": 3 }));
        second.line_with("durable task `pages` was taken over");
        let taken_over = r#"agentcore_durable_takeovers_total{task="pages"} 1"#;
        assert!(counts(&second, taken_over));
        assert_eq!(status["attempt"], 2);
        assert_eq!(fleet.begun(&job, "page:0"), [1], "it was recorded");
        assert_eq!(fleet.begun(&job, "page:1"), [1, 2], "it was interrupted");
        assert_eq!(fleet.begun(&job, "page:2"), [2]);
    }
}

#[test]
fn a_file_on_the_storage_of_a_session_is_opened_with_the_first_invocation() {
    let fleet = Fleet::on_a_session("1s");
    let first = fleet.start(&[]);
    let job = submit(
        &first,
        json!({ "action": "pages", "pages": 2, "pause_ms": 300 }),
    );
    wait_until(DEADLINE, "the first page has begun", || {
        !fleet.begun(&job, "page:0").is_empty()
    });
    first.signal("KILL");
    let _ = first.wait();
    fleet.move_store_away();
    let second = fleet.start(&[]);
    assert!(!second.ping().busy);
    // Longer than from one look for jobs to the next.
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        !fleet.has_store(),
        "it was made before the storage was there"
    );
    fleet.mount_store();
    assert_eq!(second.invoke(json!({ "action": "echo" })).json(), "here");
    let status = ended(&second, &job);
    assert_eq!(status["status"], "completed", "{status}");
    assert_eq!(status["attempt"], 2);
}

on_each_store! {
    fn a_process_that_stood_still_beyond_its_lease_has_lost_its_job(fleet: "2s") {
        let latch = Latch::new();
        let zombie = fleet.start(&[]);
        let job = submit(&zombie, json!({ "action": "hold", "port": latch.port() }));
        let first = latch.held();
        zombie.signal("STOP");
        let other = fleet.start(&[]);
        let second = latch.held();
        assert_eq!(fleet.begun(&job, "hold"), [1, 2]);
        zombie.signal("CONT");
        // Its code may return now, and must not count.
        drop(first);
        zombie.line_with("was lost: its lease ended");
        zombie.until_idle();
        assert_eq!(
            fetch(&other, &job),
            json!({ "status": "running", "attempt": 2 })
        );
        drop(second);
        let status = ended(&zombie, &job);
        assert_eq!(
            status,
            json!({ "status": "completed", "attempt": 2, "result": 2 })
        );
    }
}

on_each_store! {
    fn a_job_that_blocks_all_workers_keeps_its_lease(fleet: "1s") {
        let latch = Latch::new();
        let blocked = fleet.start(&[("AGENTCORE_WORKER_THREADS", "1")]);
        let job = submit(&blocked, json!({ "action": "block", "port": latch.port() }));
        let held = latch.held();
        let other = fleet.start(&[]);
        let began = Instant::now();
        // The other one looks for it all the while. More time only tests more.
        while began.elapsed() < Duration::from_secs(4) {
            assert_eq!(
                fetch(&other, &job),
                json!({ "status": "running", "attempt": 1 })
            );
            assert!(blocked.ping().busy);
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(held);
        let status = ended(&other, &job);
        assert_eq!(
            status,
            json!({ "status": "completed", "attempt": 1, "result": 1 })
        );
        assert_eq!(fleet.begun(&job, "block"), [1]);
    }
}

on_each_store! {
    fn a_job_that_kills_its_process_fails_after_its_attempts(fleet: "1s") {
        let latch = Latch::new();
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let job = submit(
            &submitter,
            json!({ "action": "poison", "port": latch.port() }),
        );
        for attempt in 1..=3 {
            let worker = fleet.start(&[]);
            drop(latch.held());
            let (status, _) = worker.wait();
            assert!(!status.success());
            assert_eq!(fleet.begun(&job, "poison").len(), attempt);
        }
        let _worker = fleet.start(&[]);
        let status = ended(&submitter, &job);
        assert_eq!(status["status"], "failed", "{status}");
        assert_eq!(status["attempt"], 3);
        assert_eq!(fleet.begun(&job, "poison"), [1, 2, 3]);
    }
}
