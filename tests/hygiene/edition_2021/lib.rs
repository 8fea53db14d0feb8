//! The properties of tasks that `tests/hygiene.rs` checks hold in a crate of the 2021 edition as well.
//!
//! There, a temporary in the last expression of a body outlives the variables of the body, and `impl Trait` captures no
//! lifetime that it does not name. Neither may change when a function is tracked.

#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../drop_order.rs"]
mod drop_order;
#[cfg(test)]
#[path = "../tracking.rs"]
mod tracking;

/// How many tasks of this name are running.
#[cfg(test)]
fn running(name: &str) -> usize {
    agentcore::async_task_info()
        .running_jobs
        .iter()
        .filter(|job| job.name == name)
        .count()
}
