//! The list of running tasks.

use crate::request::{Scope, with_scope};
use crate::tracker::BusyTracker;
pub use crate::tracker::RunningJob;
use crate::util::fields::fields;

/// The running tasks, from [`async_task_info`].
///
/// Serialises to the JSON of Python's `get_async_task_info()`.
///
/// ```
/// let _guard = agentcore::track("embed");
/// let json = serde_json::to_value(agentcore::async_task_info()).unwrap();
/// assert_eq!(json["active_count"], 1);
/// assert_eq!(json["running_jobs"][0]["name"], "embed");
/// assert!(json["running_jobs"][0]["duration"].as_f64().unwrap() < 5.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AsyncTaskInfo {
    /// The number of running tasks, which is the length of `running_jobs`.
    pub active_count: usize,
    /// The tasks, the oldest first.
    pub running_jobs: Vec<RunningJob>,
}

fields! { AsyncTaskInfo { active_count, running_jobs } }

/// The running tasks: annotated functions, [`track`](crate::track) guards and [`add_async_task`](crate::add_async_task)s, but
/// not invocations.
///
/// The list has the tasks of all sessions, with their ids. The ids are not in its JSON. A client that gets an id in another
/// way can end that task with [`complete_async_task`](crate::complete_async_task).
///
/// ```
/// assert_eq!(agentcore::async_task_info().active_count, 0);
/// ```
///
/// # Panics
///
/// If the operating system has no random numbers for the ids.
#[must_use]
pub fn async_task_info() -> AsyncTaskInfo {
    with_scope(|tracker, _| info_of(tracker))
}

/// The running tasks of one app.
pub(crate) fn info_of(tracker: &BusyTracker<Scope>) -> AsyncTaskInfo {
    let running_jobs = tracker.list();
    AsyncTaskInfo {
        active_count: running_jobs.len(),
        running_jobs,
    }
}
