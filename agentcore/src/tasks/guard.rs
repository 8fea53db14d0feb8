//! Beginning and ending tasks: by guard, or by hand.

use std::borrow::Cow;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::TrackerHandle;
use crate::context::Scope;
use crate::telemetry::{Current, Outcome};

/// Names one running task; a task that is over never shares its id with a later one.
///
/// A string in JSON, since JavaScript loses integers above 2⁵³.
///
/// ```
/// let id = agentcore::add_async_task("import", None);
/// let text = serde_json::to_string(&id).unwrap();
/// assert_eq!(serde_json::from_str::<agentcore::TaskId>(&text).unwrap(), id);
/// assert_eq!(id.to_string().parse::<agentcore::TaskId>().unwrap(), id);
/// # agentcore::complete_async_task(id);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

impl TaskId {
    pub(super) fn new(ticket: u64) -> Self {
        Self(ticket)
    }

    pub(crate) fn ticket(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom(format_args!("`{text}` is not a task id")))
    }
}

/// A running task; it is over when this is dropped.
///
/// Made by [`track`].
///
/// ```
/// let guard = agentcore::track("upload");
/// let id = guard.id();
/// drop(guard);
/// assert!(!agentcore::complete_async_task(id), "it is over");
/// ```
#[derive(Debug)]
#[must_use = "the task is over as soon as its guard is dropped; bind it to a name, not to `_`"]
pub struct TaskGuard {
    tracker: TrackerHandle,
    id: TaskId,
}

impl TaskGuard {
    /// For a task that has begun.
    #[cfg(test)]
    pub(super) fn of(tracker: TrackerHandle, id: TaskId) -> Self {
        Self { tracker, id }
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) fn tracker(&self) -> &TrackerHandle {
        &self.tracker
    }

    /// What is current for the task.
    pub(crate) fn current(&self) -> Option<Current> {
        self.tracker.current(self.id.0)
    }

    /// What has become of the task.
    pub(crate) fn note(&self, outcome: Outcome) {
        self.tracker.note(self.id.0, outcome);
    }

    /// Below which the task began.
    pub(super) fn scope(&self) -> Option<Arc<Scope>> {
        self.tracker.scope(self.id.0)
    }

    pub(super) fn started(&self) -> Option<Instant> {
        self.tracker.started(self.id.0)
    }

    /// Ends the task, which has become older than `limit`.
    pub(super) fn end_by_age(self, limit: Duration) {
        self.tracker.end_by_age(self.id.0, limit);
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        // `false` when somebody has ended the task by its id already: then there is nothing left to end.
        self.tracker.end_task(self.id.0);
    }
}

/// Begins a task named `name`: the agent is busy until the guard is dropped, however that comes about.
///
/// This is what `#[async_task]` does for a whole function. Costs well under a microsecond. The name is kept up to 256 bytes.
///
/// ```
/// use agentcore::{async_task_info, track};
///
/// let guard = track("compress");
/// assert_eq!(async_task_info().running_jobs[0].name, "compress");
/// drop(guard);
/// assert_eq!(async_task_info().active_count, 0);
/// ```
pub fn track(name: impl Into<Cow<'static, str>>) -> TaskGuard {
    crate::context::with_scope(|tracker, scope| TaskGuard {
        id: TaskId(tracker.begin_task(name.into(), None, scope)),
        tracker: tracker.clone(),
    })
}

/// Begins a task that [`complete_async_task`] has to end, for work whose end no scope marks.
///
/// Prefer [`track`] or `#[async_task]`: a task that nobody completes keeps the session busy, and billed, until the
/// platform ends it. The name is kept up to 256 bytes. `metadata` is yours; it stands beside the task in [`async_task_info`](crate::async_task_info).
///
/// ```
/// use serde_json::json;
///
/// let id = agentcore::add_async_task("transcribe", Some(json!({ "file": "talk.wav" })));
/// assert!(agentcore::complete_async_task(id));
/// assert!(!agentcore::complete_async_task(id), "it is over already");
/// ```
#[must_use = "without its id the task can never be completed"]
pub fn add_async_task(
    name: impl Into<Cow<'static, str>>,
    metadata: impl Into<Option<Value>>,
) -> TaskId {
    crate::context::with_scope(|tracker, scope| {
        TaskId(tracker.begin_task(name.into(), metadata.into(), scope))
    })
}

/// Ends a task; `false` if there is no such task, or no longer.
///
/// ```
/// let id = agentcore::add_async_task("poll", None);
/// assert!(agentcore::complete_async_task(id));
/// ```
pub fn complete_async_task(id: TaskId) -> bool {
    crate::context::with_scope(|tracker, _| tracker.end_task(id.0))
}
