//! What is counted of durable jobs, by task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::Counts;
use crate::util::sync::Mutex;

/// How an attempt ended, as metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    Completed,
    /// It failed, and another attempt may come.
    Failed,
    Panicked,
    TimedOut,
    Cancelled,
    Lost,
    HandedBack,
}

impl Finished {
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::Completed, "completed"),
        (Self::Failed, "failed"),
        (Self::Panicked, "panicked"),
        (Self::TimedOut, "timed_out"),
        (Self::Cancelled, "cancelled"),
        (Self::Lost, "lost"),
        (Self::HandedBack, "handed_back"),
    ];
}

/// Of one task, since the process began.
#[derive(Debug, Default)]
pub(crate) struct JobFigures {
    submitted: AtomicU64,
    finished: [AtomicU64; Finished::ALL.len()],
    taken_over: AtomicU64,
    /// What the store said last, where it is asked.
    stored: Mutex<Option<Counts>>,
}

impl JobFigures {
    pub(crate) fn submitted(&self) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self, how: Finished) {
        self.finished[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt began whose predecessor's lease had ended.
    pub(crate) fn taken_over(&self) {
        self.taken_over.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, counts: Option<Counts>) {
        *self.stored.lock() = counts;
    }

    /// As they are now.
    pub(crate) fn show(&self, task: &'static str) -> ShownJobs {
        let counts = self.stored.lock().clone();
        ShownJobs {
            task,
            submitted: self.submitted.load(Ordering::Relaxed),
            finished: Finished::ALL.map(|(how, name)| {
                let count = self.finished[how as usize].load(Ordering::Relaxed);
                (name, count)
            }),
            taken_over: self.taken_over.load(Ordering::Relaxed),
            pending: counts.as_ref().map(|counts| counts.due + counts.delayed),
            oldest: counts.map(|counts| counts.oldest.unwrap_or(Duration::ZERO)),
        }
    }
}

/// What a page of metrics shows of one task.
#[derive(Debug)]
pub(crate) struct ShownJobs {
    pub(crate) task: &'static str,
    pub(crate) submitted: u64,
    pub(crate) finished: [(&'static str, u64); Finished::ALL.len()],
    pub(crate) taken_over: u64,
    /// `None` until the store has been asked.
    pub(crate) pending: Option<u64>,
    /// How long the oldest job has been due.
    pub(crate) oldest: Option<Duration>,
}
