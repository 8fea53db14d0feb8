//! Notifications between processes: one channel for each task.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::engine::id::check_task_name;
use crate::engine::{JobId, Notice};

/// The names of channels start with it. With it, the longest name of a task just fits.
const PREFIX: &str = "ac:";
/// The payload about a job that was cancelled starts with it, and has its number.
const CANCELLED: &str = "x";

pub(super) fn channel(task: &str) -> String {
    format!("{PREFIX}{task}")
}

pub(super) fn cancelled(id: &JobId) -> String {
    format!("{CANCELLED}{:032x}", id.number())
}

/// The statement that listens for a task.
pub(super) fn listen(task: &str) -> String {
    let mut statement = String::new();
    // The characters of a name need no escape.
    let _ = write!(statement, "LISTEN \"{}\";", channel(task));
    statement
}

/// What a notification says. Another program may have sent it.
pub(super) fn notice(channel: &str, payload: &str) -> Option<Notice> {
    let task = channel.strip_prefix(PREFIX)?;
    check_task_name(task).ok()?;
    let task: Arc<str> = task.into();
    if payload.is_empty() {
        return Some(Notice::Due(task));
    }
    let number = payload.strip_prefix(CANCELLED)?;
    let number = u128::from_str_radix(number, 16).ok()?;
    Some(Notice::Cancelled(JobId::new(task, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_read_back() {
        let id = JobId::new("a.task".into(), 77);
        assert_eq!(
            notice(&channel("a.task"), &cancelled(&id)),
            Some(Notice::Cancelled(id))
        );
        assert_eq!(notice("ac:t", ""), Some(Notice::Due("t".into())));
        for (channel, payload) in [("other", ""), ("ac:", ""), ("ac:t", "y"), ("ac:t", "xyz")] {
            assert_eq!(notice(channel, payload), None);
        }
        assert!(
            channel(&"x".repeat(57)).len() < 64,
            "PostgreSQL's longest name"
        );
    }
}
