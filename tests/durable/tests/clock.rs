//! A clock that jumps, as in a process that was restored from a snapshot.

use std::path::PathBuf;

use serde_json::json;

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::not_tested::not_tested;
use crate::support::{Agent, Latch};
use crate::world::Folder;

/// libfaketime lets the wall clock of a process jump, and leaves its monotonic clock as it is.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.exists())
}

/// The wall clock of an agent.
struct Clock {
    folder: Folder,
    preload: PathBuf,
}

impl Clock {
    /// `None` where this machine lacks libfaketime.
    fn new() -> Option<Self> {
        let Some(preload) = libfaketime() else {
            not_tested("libfaketime is not installed");
            return None;
        };
        let clock = Self {
            folder: Folder::new(),
            preload,
        };
        clock.set("+0");
        Some(clock)
    }

    fn start(&self, fleet: &Fleet, more: &[(&str, &str)]) -> Agent {
        let (preload, offset) = (self.preload.to_string_lossy(), self.offset());
        let faked = [
            ("LD_PRELOAD", &*preload),
            ("FAKETIME_TIMESTAMP_FILE", &*offset.to_string_lossy()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ];
        fleet.start(&[&faked, more].concat())
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// Moves the clock in one step: the agent must not read half a number.
    fn set(&self, offset: &str) {
        let written = self.folder.path().join("new");
        std::fs::write(&written, offset).expect("a file");
        std::fs::rename(&written, self.offset()).expect("a file");
    }
}

on_each_store! {
    fn a_restored_process_gives_up_the_leases_of_its_snapshot(fleet: "3s") {
        let Some(clock) = Clock::new() else {
            return;
        };
        let latch = Latch::new();
        // While the job runs, nothing else is claimed. A claim that is under way when the clock jumps would use up an attempt.
        let agent = clock.start(fleet, &[("AGENTCORE_DURABLE_CONCURRENCY", "1")]);
        let job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
        let first = latch.held();
        clock.set("+7200");
        agent.line_with("the leases of durable jobs are given up");
        // The lease is over then, and the job begins anew.
        let second = latch.held();
        assert_eq!(fleet.begun(&job, "hold"), [1, 2]);
        drop(first);
        drop(second);
        let status = ended(&agent, &job);
        assert_eq!(
            status,
            json!({ "status": "completed", "attempt": 2, "result": 2 })
        );
        agent.until_idle();
    }
}

on_each_store! {
    fn a_restored_process_takes_no_job_before_its_restore_hooks_have_run(fleet: "30s") {
        let Some(clock) = Clock::new() else {
            return;
        };
        let latch = Latch::new();
        let port = latch.port().to_string();
        let _worker = clock.start(fleet, &[("RESTORE_PORT", &port)]);
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        clock.set("+7200");
        // No request comes to the worker: its next look for jobs begins the hooks.
        let hook = latch.held();
        let job = submit(&submitter, json!({ "action": "nothing" }));
        // Longer than from one look for jobs to the next.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert!(fleet.begun(&job, "nothing").is_empty(), "it has not waited");
        drop(hook);
        let status = ended(&submitter, &job);
        assert_eq!(status["status"], "completed", "{status}");
        assert_eq!(fleet.begun(&job, "nothing"), [1]);
    }
}
