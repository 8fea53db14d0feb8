//! Tasks: work that runs beside the replies of the agent.

mod error_text;
mod guard;
mod handle;
mod info;
mod ping_status;
mod shared;
mod spawn;
mod status;
mod tracked;

pub use guard::{TaskGuard, add_async_task, complete_async_task, track};
pub use handle::{SpawnedTask, TaskError, TaskHandle, cancel_task, task_status};
pub(crate) use info::info_of;
pub use info::{AsyncTaskInfo, RunningJob, async_task_info};
pub use ping_status::{clear_forced_ping_status, current_ping_status, force_ping_status};
pub use spawn::{TaskBuilder, spawn};
pub(crate) use status::sealed::ToText;
pub(crate) use status::{Finished, to_json};
pub use status::{TaskResult, TaskStatus};
pub use tracked::tracked;
pub(crate) use tracked::{adopt, ended_late};
