//! The engine that keeps jobs in memory, for tests. Dropping it drops the jobs.
//!
//! It uses tokio's clock, so it stands still while a test pauses the time. All calls have to come from the runtime that is
//! paused, because other threads have a clock that goes on.

mod jobs;

use std::future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use super::clock::{Clock, later};
use super::error::EngineError;
use super::holder::Holders;
use super::limits;
use super::{
    About, Cancel, Claimed, Counts, Engine, Hold, JobId, JobState, Json, Keep, NewJob, Notice,
    Outcome, Reply, Run, Step, Submitted, Wanted,
};
use crate::util::sync::Mutex;
use jobs::Jobs;

/// The jobs of one value, which no other process sees.
#[derive(Debug)]
pub(crate) struct Memory {
    clock: Clock,
    jobs: Mutex<Jobs>,
    holders: Holders,
    notices: broadcast::Sender<Notice>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self::with_clock(Clock::tokio())
    }

    pub(super) fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            jobs: Mutex::default(),
            holders: Holders::new(),
            notices: broadcast::Sender::new(super::NOTICES),
        }
    }

    /// The answer of `call`, which is ready at once.
    fn reply<'a, T: Send + 'a>(
        &self,
        call: impl FnOnce(&mut Jobs, SystemTime) -> Result<T, EngineError>,
    ) -> Reply<'a, T> {
        let answer = call(&mut self.jobs.lock(), self.clock.now());
        Box::pin(future::ready(answer))
    }

    fn notice(&self, notice: Notice) {
        // There may be no listener.
        let _ = self.notices.send(notice);
    }
}

impl Engine for Memory {
    fn check<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, About> {
        self.reply(|_, _| {
            limits::check_tasks(tasks)?;
            Ok(About {
                engine: "memory",
                schema: "1".to_owned(),
                location: "this process".to_owned(),
            })
        })
    }

    fn look(&self) -> Reply<'_, About> {
        self.check(&[])
    }

    fn submit(&self, job: NewJob) -> Reply<'_, Submitted> {
        let (task, is_due) = (job.task.clone(), job.after.is_zero());
        self.reply(|jobs, now| {
            limits::check_job(&job)?;
            let submitted = jobs.submit(job, now)?;
            if submitted.created && is_due {
                self.notice(Notice::Due(task));
            }
            Ok(submitted)
        })
    }

    fn state<'a>(&'a self, id: &'a JobId) -> Reply<'a, Option<JobState>> {
        self.reply(|jobs, _| Ok(jobs.state(id)))
    }

    fn list<'a>(&'a self, tasks: &'a [Arc<str>], most: usize) -> Reply<'a, Vec<JobState>> {
        self.reply(|jobs, _| Ok(jobs.list(tasks, most)))
    }

    fn cancel<'a>(&'a self, id: &'a JobId) -> Reply<'a, Cancel> {
        self.reply(|jobs, now| {
            let cancel = jobs.cancel(id, now);
            if cancel == Cancel::Cancelled {
                self.notice(Notice::Cancelled(id.clone()));
            }
            Ok(cancel)
        })
    }

    fn claim<'a>(&'a self, wanted: &'a Wanted) -> Reply<'a, Claimed> {
        self.reply(|jobs, now| Ok(jobs.claim(wanted, &self.holders.next(), now)))
    }

    fn renew<'a>(&'a self, runs: &'a [Run], lease: Duration) -> Reply<'a, Vec<Hold>> {
        self.reply(|jobs, now| {
            Ok(runs
                .iter()
                .map(|run| jobs.renew(run, later(now, lease)))
                .collect())
        })
    }

    fn record<'a>(&'a self, run: &'a Run, name: &'a str, value: Json) -> Reply<'a, Hold> {
        self.reply(|jobs, _| {
            limits::check_step(name, &value)?;
            Ok(jobs.record(run, name, value))
        })
    }

    fn step<'a>(&'a self, id: &'a JobId, name: &'a str) -> Reply<'a, Option<Json>> {
        self.reply(|jobs, _| {
            let mut steps = jobs.steps(id).into_iter();
            Ok(steps.find(|step| step.name == name).map(|step| step.value))
        })
    }

    fn step_names<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<String>> {
        self.reply(|jobs, _| Ok(jobs.steps(id).into_iter().map(|step| step.name).collect()))
    }

    fn steps<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<Step>> {
        self.reply(|jobs, _| Ok(jobs.steps(id)))
    }

    fn finish<'a>(&'a self, run: &'a Run, outcome: Outcome) -> Reply<'a, Hold> {
        self.reply(|jobs, now| {
            let outcome = limits::check_outcome(outcome)?;
            Ok(jobs.finish(run, outcome, now))
        })
    }

    fn release<'a>(&'a self, runs: &'a [Run], after: Duration) -> Reply<'a, Vec<Hold>> {
        self.reply(|jobs, now| {
            let release = |run: &Run| {
                let hold = jobs.release(run, later(now, after));
                if hold == Hold::Held && after.is_zero() {
                    self.notice(Notice::Due(run.id.task_name().clone()));
                }
                hold
            };
            Ok(runs.iter().map(release).collect())
        })
    }

    fn counts<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, Vec<Counts>> {
        self.reply(|jobs, now| Ok(tasks.iter().map(|task| jobs.counts(task, now)).collect()))
    }

    fn clean<'a>(&'a self, tasks: &'a [Arc<str>], keep: Keep) -> Reply<'a, usize> {
        self.reply(|jobs, now| Ok(tasks.iter().map(|task| jobs.clean(task, keep, now)).sum()))
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_reachable(&self) -> bool {
        true
    }

    fn disconnect(&self) {
        self.holders.renew();
    }
}
