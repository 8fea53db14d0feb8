//! The macros in crates with hostile names and lints, and the properties that only a run can check.
//!
//! `cargo clippy --all-targets` lints the expansions with the lints that are denied here.

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

/// The number of running tasks of this name. Tests of one process run at once, so each has its own names.
fn running(name: &str) -> usize {
    agentcore::async_task_info()
        .running_jobs
        .iter()
        .filter(|job| job.name == name)
        .count()
}
