//! Lists of running tasks.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde_core::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use super::task::Task;
use super::{BusyTracker, Origin, TaskId};
use super::{Oldest, walk};

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

impl Serialize for RunningJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut job = serializer.serialize_struct("RunningJob", 2)?;
        job.serialize_field("name", &self.name)?;
        job.serialize_field("duration", &self.duration.as_secs_f64())?;
        job.end()
    }
}

impl<O: Origin> BusyTracker<O> {
    /// The running tasks, the oldest first.
    pub(crate) fn list(&self) -> Vec<RunningJob> {
        let now = Instant::now();
        let tasks = self.tasks.filter_map(|ticket, task| {
            Some((
                (ticket, task.id()),
                task.name.clone(),
                task.started,
                task.metadata().cloned(),
            ))
        });
        // Ids for the tasks that have none, drawn in one system call and without a lock.
        let missing = tasks.iter().filter(|((_, id), ..)| id.is_none()).count();
        let mut fresh = TaskId::draw_many(missing).into_iter();
        let mut id = |ticket, known: Option<TaskId>| {
            let draw = || {
                let fresh = fresh.next().unwrap_or_else(TaskId::draw);
                // If the task has ended meanwhile, `fresh` belongs to no task.
                self.id_or(ticket, fresh).unwrap_or(fresh)
            };
            known.unwrap_or_else(draw)
        };
        // Metadata may be large, so it is copied here, without a lock.
        let jobs = tasks
            .into_iter()
            .map(|((ticket, known), name, started, metadata)| RunningJob {
                id: id(ticket, known),
                name,
                duration: now.saturating_duration_since(started),
                metadata: metadata.as_deref().cloned(),
            });
        let mut listed: Vec<_> = jobs.collect();
        listed.sort_unstable_by_key(|job| std::cmp::Reverse(job.duration));
        listed
    }
}

/// A task for the dev page: its ticket, its name, and whether it can be cancelled. The page shows tasks without drawing ids,
/// since the front may not draw one.
pub(crate) type Running = (u64, Cow<'static, str>, bool);

impl<O: Origin> BusyTracker<O> {
    /// The oldest tasks, up to `most`, without their metadata, which may be large. For the front; see [`walk`].
    pub(crate) async fn running(&self, most: usize) -> Oldest<Running> {
        let mut oldest = Oldest::new(most);
        let read = |ticket, task: &Task<O>| {
            let make = || (ticket, task.name.clone(), task.abort().is_some());
            oldest.see(task.started, make);
        };
        walk(&self.tasks, read).await;
        oldest
    }
}
