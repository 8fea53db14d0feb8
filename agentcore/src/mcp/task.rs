//! Calls that become tasks, which their client polls, by the extension `io.modelcontextprotocol/tasks`.
//!
//! A task of the protocol is a task of the library: it makes the agent busy to its end, is in the list of tasks, belongs to the
//! session that began it, and its result is kept in the table of results. The id on the wire is the task's, which is random, and
//! the second in which it began.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rmcp::ErrorData;
use rmcp::model::{CreateTaskResult, DetailedTask, GetTaskResult, Task, TaskPayload};
use serde_json::{Map, Value, json};

use super::handler::{result_of, told};
use crate::request::{Scope, Work};
use crate::tasks::{TaskBuilder, TaskStatus, cancel_task, task_status};
use crate::tools::{Registered, run};
use crate::tracker::TaskId;

/// How long the result of a task is kept, unless newer results take its place.
const RESULTS_LAST: Duration = Duration::from_secs(3600);

/// How often a client may ask.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Begins a task that calls `tool`. The call's permit is the task's from here on, and the request's end is not that of the task.
pub(super) fn begin(
    tool: &Arc<Registered>,
    scope: &Arc<Scope>,
    arguments: Map<String, Value>,
) -> CreateTaskResult {
    let began = unix_seconds(SystemTime::now());
    let (tool, caller) = (Arc::clone(tool), Arc::clone(scope));
    let (part, work) = Work::detached(scope);
    let handle = Arc::clone(&part).enter(|| {
        TaskBuilder::new(tool.name()).spawn(async move {
            let _work = work;
            let panicked = told(&caller, &tool);
            let done = run(&tool, part, arguments, |_, _| None, panicked).await;
            let result = result_of(&caller, &tool, done);
            json!({ "at": unix_seconds(SystemTime::now()), "result": result })
        })
    });
    let id = Id {
        task: handle.detach(),
        began,
    };
    CreateTaskResult::new(id.task(TaskPayload::Working.status(), began))
}

/// The status of the task `id`, for the session of the caller.
pub(super) fn get(id: &str, scope: &Arc<Scope>) -> Result<GetTaskResult, ErrorData> {
    let id = Id::parse(id).ok_or_else(unknown)?;
    let failed = |text: String| {
        let error = json!({ "code": -32603, "message": text });
        TaskPayload::Failed {
            error: object(error),
        }
    };
    let now = unix_seconds(SystemTime::now());
    let (payload, at) = match scope.enter(|| task_status(id.task)) {
        TaskStatus::Running => (TaskPayload::Working, id.began),
        TaskStatus::Completed(mut kept) => {
            let at = kept["at"].as_u64().unwrap_or(now);
            let result = object(kept["result"].take());
            (TaskPayload::Completed { result }, at)
        }
        TaskStatus::Failed(text) => (failed(text), now),
        TaskStatus::TimedOut => (failed("the task became too old".to_owned()), now),
        TaskStatus::Cancelled => (TaskPayload::Cancelled, now),
        TaskStatus::Unknown => return Err(unknown()),
    };
    let task = id.task(payload.status(), at);
    Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
}

/// Cancels the task `id`, if it runs and belongs to the session of the caller.
pub(super) fn cancel(id: &str, scope: &Arc<Scope>) -> Result<(), ErrorData> {
    let id = Id::parse(id).ok_or_else(unknown)?;
    if !scope.enter(|| cancel_task(id.task))
        && scope.enter(|| task_status(id.task)) == TaskStatus::Unknown
    {
        return Err(unknown());
    }
    Ok(())
}

/// Whether there is a task `id`, for the session of the caller.
pub(super) fn is_known(id: &str, scope: &Arc<Scope>) -> Result<(), ErrorData> {
    get(id, scope).map(|_| ())
}

fn unknown() -> ErrorData {
    ErrorData::invalid_params("there is no such task", None)
}

/// A task's id on the wire.
#[derive(Clone, Copy)]
struct Id {
    task: TaskId,
    /// In seconds since 1970.
    began: u64,
}

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let (task, began) = text.split_once('-')?;
        Some(Self {
            task: task.parse().ok()?,
            began: u64::from_str_radix(began, 16)
                .ok()
                .filter(|began| *began < 1 << 36)?,
        })
    }

    fn task(self, status: rmcp::model::TaskStatus, at: u64) -> Task {
        let id = format!("{}-{:x}", self.task, self.began);
        Task::new(id, status, date(self.began), date(at))
            .with_ttl_ms(RESULTS_LAST.as_millis() as u64)
            .with_poll_interval_ms(POLL_INTERVAL.as_millis() as u64)
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// As ISO 8601 writes it.
fn date(unix_seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = Id {
            task: TaskId::draw(),
            began: 1_764_000_000,
        };
        let task = id.task(TaskPayload::Working.status(), id.began + 1);
        assert_eq!(
            (&*task.created_at, &*task.last_updated_at),
            ("2025-11-24T16:00:00Z", "2025-11-24T16:00:01Z")
        );
        let read = Id::parse(&task.task_id).expect("an id");
        assert_eq!((read.task, read.began), (id.task, id.began));
        for wrong in [
            "",
            "-",
            "x-1",
            &id.task.to_string(),
            &format!("{}-ffffffffffffffff", id.task),
        ] {
            assert!(Id::parse(wrong).is_none(), "{wrong}");
        }
    }
}
