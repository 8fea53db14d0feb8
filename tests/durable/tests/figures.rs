//! How long jobs wait for a process, measured between real processes. It asserts nothing about time:
//!
//! ```sh
//! CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo test --release -p agentcore-durable-tests \
//!     --features durable-postgres --test durable figures -- --ignored --nocapture --test-threads 1
//! ```

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, submit};
use crate::support::{Agent, Latch};

fn say(store: &str, what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (middle, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{store:9} {what:52} median {middle:.1?}, longest {last:.1?}");
}

/// Runs `round` several times, each with a job that is held by a process that has no other job.
fn measure(fleet: &Fleet, rounds: usize, end: impl Fn(Agent) -> Instant) -> Vec<Duration> {
    let latch = Latch::new();
    let hold = json!({ "action": "hold", "port": latch.port() });
    let mut agent = fleet.start(&[("AGENTCORE_SHUTDOWN_GRACE", "1s")]);
    submit(&agent, hold);
    let mut held = latch.held();
    (0..rounds)
        .map(|_| {
            let next = fleet.start(&[("AGENTCORE_SHUTDOWN_GRACE", "1s")]);
            let began = end(std::mem::replace(&mut agent, next));
            // Looks every 5 ms.
            let again = latch.held();
            let took = began.elapsed();
            drop(std::mem::replace(&mut held, again));
            took
        })
        .collect()
}

fn figures(store: &str, fleet: &Fleet) {
    let killed = measure(fleet, 3, |agent| {
        agent.signal("KILL");
        let began = Instant::now();
        let _ = agent.wait();
        began
    });
    say(store, "kill -9 to the start elsewhere, lease 5 s", killed);
    let stopped = measure(fleet, 3, |agent| {
        agent.signal("TERM");
        let _ = agent.wait();
        Instant::now()
    });
    say(store, "end after SIGTERM to the start elsewhere", stopped);
    let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
    let worker = fleet.start(&[]);
    let latch = Latch::new();
    let started = (0..50)
        .map(|_| {
            let hold = json!({ "action": "hold", "port": latch.port() });
            let began = Instant::now();
            submit(&submitter, hold);
            drop(latch.held());
            let took = began.elapsed();
            worker.until_idle();
            took
        })
        .collect();
    say(
        store,
        "request to submit until the start elsewhere, within 5 ms",
        started,
    );
}

#[test]
#[ignore = "it measures"]
fn of_a_file() {
    figures("sqlite", &Fleet::on_sqlite("5s"));
}

#[cfg(feature = "durable-postgres")]
#[test]
#[ignore = "it measures"]
fn of_a_database() {
    if let Some(fleet) = Fleet::on_postgres("5s") {
        figures("postgres", &fleet);
    }
}
