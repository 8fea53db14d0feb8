//! A clock that jumps, as in a process that was restored from a snapshot.

use std::path::PathBuf;

use serde_json::json;

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::not_tested::not_tested;
use crate::support::Latch;
use crate::world::Folder;

/// libfaketime lets the wall clock of a process jump, and leaves its monotonic clock as it is.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}

on_each_store! {
    fn a_restored_process_gives_up_the_leases_of_its_snapshot(fleet: "3s") {
        let Some(library) = libfaketime() else {
            not_tested("libfaketime is not installed");
            return;
        };
        let folder = Folder::new();
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0").expect("a file");
        let latch = Latch::new();
        let agent = fleet.start(&[
            ("LD_PRELOAD", &library.to_string_lossy()),
            ("FAKETIME_TIMESTAMP_FILE", &offset.to_string_lossy()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ]);
        let job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
        let first = latch.held();
        std::fs::write(&offset, "+7200").expect("a file");
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
