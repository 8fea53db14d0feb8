//! The engine of a process that cannot make its own: every call says why.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{
    About, Cancel, Claimed, Counts, Engine, EngineError, Hold, JobId, JobState, Json, Keep, NewJob,
    Notice, Outcome, Reply, Run, Step, Submitted, Wanted,
};

/// An engine that cannot be used, for this reason.
#[derive(Debug)]
pub(crate) struct Unusable {
    why: String,
    /// Never used. A receiver would take a closed channel for an end.
    notices: broadcast::Sender<Notice>,
}

impl Unusable {
    pub(crate) fn new(why: String) -> Self {
        Self {
            why,
            notices: broadcast::Sender::new(1),
        }
    }

    fn refuse<T: Send + 'static>(&self) -> Reply<'static, T> {
        Box::pin(future::ready(Err(EngineError::Unreachable(
            self.why.clone(),
        ))))
    }
}

impl Engine for Unusable {
    fn check<'a>(&'a self, _: &'a [Arc<str>]) -> Reply<'a, About> {
        self.refuse()
    }

    fn look(&self) -> Reply<'_, About> {
        self.refuse()
    }

    fn submit(&self, _: NewJob) -> Reply<'_, Submitted> {
        self.refuse()
    }

    fn state<'a>(&'a self, _: &'a JobId) -> Reply<'a, Option<JobState>> {
        self.refuse()
    }

    fn list<'a>(&'a self, _: &'a [Arc<str>], _: usize) -> Reply<'a, Vec<JobState>> {
        self.refuse()
    }

    fn cancel<'a>(&'a self, _: &'a JobId) -> Reply<'a, Cancel> {
        self.refuse()
    }

    fn claim<'a>(&'a self, _: &'a Wanted) -> Reply<'a, Claimed> {
        self.refuse()
    }

    fn renew<'a>(&'a self, _: &'a [Run], _: Duration) -> Reply<'a, Vec<Hold>> {
        self.refuse()
    }

    fn record<'a>(&'a self, _: &'a Run, _: &'a str, _: Json) -> Reply<'a, Hold> {
        self.refuse()
    }

    fn step<'a>(&'a self, _: &'a JobId, _: &'a str) -> Reply<'a, Option<Json>> {
        self.refuse()
    }

    fn step_names<'a>(&'a self, _: &'a JobId) -> Reply<'a, Vec<String>> {
        self.refuse()
    }

    fn steps<'a>(&'a self, _: &'a JobId) -> Reply<'a, Vec<Step>> {
        self.refuse()
    }

    fn finish<'a>(&'a self, _: &'a Run, _: Outcome) -> Reply<'a, Hold> {
        self.refuse()
    }

    fn release<'a>(&'a self, _: &'a [Run], _: Duration) -> Reply<'a, Vec<Hold>> {
        self.refuse()
    }

    fn counts<'a>(&'a self, _: &'a [Arc<str>]) -> Reply<'a, Vec<Counts>> {
        self.refuse()
    }

    fn clean<'a>(&'a self, _: &'a [Arc<str>], _: Keep) -> Reply<'a, usize> {
        self.refuse()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_reachable(&self) -> bool {
        false
    }

    fn disconnect(&self) {}
}
