//! The list of running tasks.

use std::borrow::Cow;
use std::time::Duration;

use serde_core::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use crate::request::{Scope, with_scope};
use crate::tracker::{BusyTracker, TaskId};
use crate::util::fields::fields;

/// The tasks that run now, as [`async_task_info`] saw them.
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
    /// How many run; the length of `running_jobs`.
    pub active_count: usize,
    /// The tasks, the one that has run longest first.
    pub running_jobs: Vec<RunningJob>,
}

/// One running task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunningJob {
    /// The task's id; left out of the JSON, as in Python.
    pub id: TaskId,
    /// The name of the function, or what `name = ".."` or [`track`](crate::track) said; up to 256 bytes of it, of which the
    /// last are `…` where it was longer.
    pub name: Cow<'static, str>,
    /// How long it has been running; seconds, with a fraction, in JSON.
    pub duration: Duration,
    /// What [`add_async_task`](crate::add_async_task) was given; left out of the JSON, as in Python.
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

/// The tasks that run now: annotated functions, [`track`](crate::track) guards and
/// [`add_async_task`](crate::add_async_task)s. Invocations are not among them.
///
/// The list has the tasks of all sessions, with their ids. The ids are not in its JSON; a program that hands them out in
/// another way lets their holders end those tasks with [`complete_async_task`](crate::complete_async_task).
///
/// ```
/// assert_eq!(agentcore::async_task_info().active_count, 0);
/// ```
///
/// # Panics
///
/// If the operating system has no random numbers, which ids are made of.
#[must_use]
pub fn async_task_info() -> AsyncTaskInfo {
    with_scope(|tracker, _| info_of(tracker))
}

/// The tasks that run in one app.
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
