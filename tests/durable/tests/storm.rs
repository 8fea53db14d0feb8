//! Many processes, killed at any moment.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, ended, on_each_store, submit};
use crate::support::Agent;

pub(crate) fn is_full() -> bool {
    std::env::var_os("AGENTCORE_DURABLE_FULL").is_some()
}

/// Pseudo-random numbers. Every run of the test gets equal ones.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

on_each_store! {
    fn every_accepted_job_ends_whatever_is_killed(fleet: "2s") {
        const STEPS: u32 = 3;
        let (processes, jobs, storm) = if is_full() {
            (5, 200, Duration::from_secs(20))
        } else {
            (3, 30, Duration::from_secs(5))
        };
        let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        let pages = json!({ "action": "pages", "pages": STEPS, "pause_ms": 50 });
        let accepted: Vec<_> = (0..jobs)
            .map(|_| submit(&submitter, pages.clone()))
            .collect();
        let start = || Some(fleet.start(&[("AGENTCORE_DURABLE_WORK", "pages")]));
        let mut workers: Vec<Option<Agent>> = (0..processes).map(|_| start()).collect();
        let mut numbers = Numbers(7);
        let mut kills = 0;
        let began = Instant::now();
        while began.elapsed() < storm {
            std::thread::sleep(Duration::from_millis(250));
            let place = numbers.below(processes);
            let worker = workers[place].take().expect("started");
            worker.signal("KILL");
            let _ = worker.wait();
            kills += 1;
            workers[place] = start();
        }
        for job in &accepted {
            let status = ended(&submitter, job);
            assert_eq!(status["status"], "completed", "{job}: {status}");
            assert_eq!(
                status["result"],
                json!({ "pages": STEPS, "sum": 3 }),
                "{job}"
            );
            assert!(
                status["attempt"]
                    .as_u64()
                    .is_some_and(|attempt| attempt <= 100)
            );
        }
        // A step that an attempt has recorded is in no later one: the attempts of a step stop where those of the next begin.
        let trace = fleet.trace();
        for job in &accepted {
            for page in 1..STEPS {
                let begun = |page| &trace[&(job.clone(), format!("page:{page}"))];
                let (last, first) = (begun(page - 1).last(), begun(page).first());
                assert!(
                    last <= first,
                    "{job}: page {} ran again behind page {page}",
                    page - 1
                );
            }
        }
        let started: usize = trace.values().map(Vec::len).sum();
        eprintln!(
            "{jobs} jobs, {kills} kills, {started} starts of {} steps",
            jobs * STEPS as usize
        );
    }
}

on_each_store! {
    fn a_job_whose_submitter_was_killed_the_moment_it_was_accepted_is_there(fleet: "2s") {
        let times = if is_full() { 200 } else { 10 };
        let mut accepted = Vec::new();
        for _ in 0..times {
            let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
            accepted.push(submit(&submitter, json!({ "action": "nothing" })));
            submitter.signal("KILL");
            let _ = submitter.wait();
        }
        let worker = fleet.start(&[]);
        for job in &accepted {
            assert_eq!(ended(&worker, job)["status"], "completed");
            assert_eq!(fleet.begun(job, "nothing"), [1]);
        }
    }
}
