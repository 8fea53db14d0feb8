//! The list of running tasks.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde_core::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use super::{BusyTracker, TaskId};
#[cfg(feature = "dev-page")]
use super::{Oldest, Task, walk};

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

impl Serialize for AsyncTaskInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut info = serializer.serialize_struct("AsyncTaskInfo", 2)?;
        info.serialize_field("active_count", &self.active_count)?;
        info.serialize_field("running_jobs", &self.running_jobs)?;
        info.end()
    }
}

impl Serialize for RunningJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut job = serializer.serialize_struct("RunningJob", 2)?;
        job.serialize_field("name", &self.name)?;
        job.serialize_field("duration", &self.duration.as_secs_f64())?;
        job.end()
    }
}

impl BusyTracker {
    pub(crate) fn info(&self) -> AsyncTaskInfo {
        let now = Instant::now();
        let tasks = self.tasks.filter_map(|ticket, task| {
            Some((
                (ticket, task.id()),
                task.name.clone(),
                task.started,
                task.metadata().cloned(),
            ))
        });
        // Ids that nobody has asked for so far. The system is asked for all of them at once, where no lock is held.
        let missing = tasks.iter().filter(|((_, id), ..)| id.is_none()).count();
        let mut fresh = TaskId::draw_many(missing).into_iter();
        let mut id = |ticket, known: Option<TaskId>| {
            let draw = || {
                let fresh = fresh.next().unwrap_or_else(TaskId::draw);
                // It is nobody's if the task has ended meanwhile.
                self.id_or(ticket, fresh).unwrap_or(fresh)
            };
            known.unwrap_or_else(draw)
        };
        // Metadata may be large. It is copied here, where no lock is held either.
        let jobs = tasks
            .into_iter()
            .map(|((ticket, known), name, started, metadata)| RunningJob {
                id: id(ticket, known),
                name,
                duration: now.saturating_duration_since(started),
                metadata: metadata.as_deref().cloned(),
            });
        let mut running_jobs: Vec<_> = jobs.collect();
        running_jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.duration));
        AsyncTaskInfo {
            active_count: running_jobs.len(),
            running_jobs,
        }
    }
}

/// A task for the dev page: its ticket, its name, and whether it could be cancelled. The page shows tasks whose id nobody has
/// asked for, and drawing one is not for the front.
#[cfg(feature = "dev-page")]
pub(crate) type Running = (u64, Cow<'static, str>, bool);

#[cfg(feature = "dev-page")]
impl BusyTracker {
    /// The oldest tasks, up to `most`. Without their metadata, which may be large. For the front; see [`walk`].
    pub(crate) async fn running(&self, most: usize) -> Oldest<Running> {
        let mut oldest = Oldest::new(most);
        let read = |ticket, task: &Task| {
            let make = || (ticket, task.name.clone(), task.abort().is_some());
            oldest.see(task.started, make);
        };
        walk(&self.tasks, read).await;
        oldest
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
    crate::context::with_scope(|tracker, _| tracker.info())
}
