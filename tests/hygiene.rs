//! The macros in crates that do not make it easy for them, and the promises that only a run can check.
//!
//! Linted by `cargo clippy --all-targets`, which holds expansions to what is denied here.

#![forbid(unsafe_code)]
#![deny(warnings, unused, clippy::all, clippy::pedantic)]

#[path = "hygiene/drop_order.rs"]
mod drop_order;
#[path = "hygiene/hostile.rs"]
mod hostile;
#[path = "hygiene/macro_rules.rs"]
mod macro_rules;
#[path = "hygiene/tracking.rs"]
mod tracking;

mod payload {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Invocation {
        pub(crate) text: String,
    }
}

/// How many tasks of this name are running. Tests run side by side in one process: each has names of its own.
fn running(name: &str) -> usize {
    agentcore::async_task_info()
        .running_jobs
        .iter()
        .filter(|job| job.name == name)
        .count()
}
