//! [`Results`]: the results of finished tasks, kept for a later [`task_status`](crate::task_status).
//!
//! A result is kept as JSON text and parsed when it is found. A `serde_json::Value` takes up to a hundred times the memory of
//! its text, so a bound on the text would not bound the memory of values.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Owner, TaskId};
use crate::util::sync::Mutex;

/// The maximum number of kept results.
pub(crate) const MOST: usize = 1024;

/// How long a result is kept.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The maximum bytes of text that all kept results have together.
pub(crate) const MOST_BYTES: usize = 16 << 20;

/// A kept end of a task.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The value, as JSON text.
    Completed(Arc<str>),
    /// The error's text.
    Failed(Arc<str>),
    Cancelled,
    TimedOut,
}

impl Ending {
    /// The text of the error that the task returned.
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(text) => Some(text),
            _ => None,
        }
    }

    /// Its share of [`MOST_BYTES`].
    fn bytes(&self) -> usize {
        match self {
            Self::Completed(text) | Self::Failed(text) => text.len(),
            Self::Cancelled | Self::TimedOut => 0,
        }
    }
}

struct Kept {
    id: TaskId,
    owner: Owner,
    at: Instant,
    end: Ending,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.end.bytes() + self.owner.bytes()
    }
}

/// The results, the oldest first. They hold only text, so dropping one runs no user code.
#[derive(Default)]
pub(crate) struct Results(Mutex<VecDeque<Kept>>);

impl Results {
    pub(crate) fn keep(&self, id: TaskId, owner: Owner, end: Ending, at: Instant) {
        let mut kept = self.0.lock();
        kept.push_back(Kept { id, owner, at, end });
        let mut total: usize = kept.iter().map(Kept::bytes).sum();
        while let Some(oldest) = kept.front() {
            let is_old = at.saturating_duration_since(oldest.at) > LONGEST;
            if !is_old && kept.len() <= MOST && total <= MOST_BYTES {
                break;
            }
            total -= oldest.bytes();
            kept.pop_front();
        }
    }

    /// The result with this id, if a caller in `session` may have it `now`.
    pub(crate) fn find(&self, id: TaskId, session: Option<&str>, now: Instant) -> Option<Ending> {
        let kept = self.0.lock();
        // All are compared, each in the same time.
        let equal = kept.iter().filter(|kept| kept.id.is(id));
        let found = equal.reduce(|_, later| later);
        found
            .filter(|kept| now.saturating_duration_since(kept.at) <= LONGEST)
            .filter(|kept| kept.owner.admits(session))
            .map(|kept| kept.end.clone())
    }

    /// The number of kept results.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results")
            .field("kept", &self.0.lock().len())
            .finish()
    }
}
