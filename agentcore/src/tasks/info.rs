//! The list of running tasks.

use std::borrow::Cow;
use std::time::Duration;

use serde_core::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use crate::request::{Scope, with_scope};
use crate::tracker::{BusyTracker, TaskId};
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

/// One running task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunningJob {
    /// The task's id; left out of the JSON, as in Python.
    pub id: TaskId,
    /// The name of the function, or the one given by `name = ".."` or [`track`](crate::track). It has up to 256 bytes; a
    /// longer name is cut and ends in `…`.
    pub name: Cow<'static, str>,
    /// How long the task has been running. In JSON it is in seconds, with a fraction.
    pub duration: Duration,
    /// The metadata given to [`add_async_task`](crate::add_async_task); left out of the JSON, as in Python.
    pub metadata: Option<Value>,
}

fields! { AsyncTaskInfo { active_count, running_jobs } }

impl Serialize for RunningJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut job = serializer.serialize_struct("RunningJob", 2)?;
        job.serialize_field("name", &self.name)?;
        job.serialize_field("duration", &self.duration.as_secs_f64())?;
        job.end()
    }
}

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
    let listed = tracker.list();
    let running_jobs: Vec<_> = listed
        .into_iter()
        .map(|task| RunningJob {
            id: task.id,
            name: task.name,
            duration: task.duration,
            metadata: task.metadata,
        })
        .collect();
    AsyncTaskInfo {
        active_count: running_jobs.len(),
        running_jobs,
    }
}
