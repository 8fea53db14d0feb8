//! The engine that keeps jobs in one SQLite file, for the processes of one host.
//!
//! The state machine of `memory` stands in tables here. A commit is on the disk when a call answers: the journal is a WAL,
//! and `synchronous` is FULL. A thread of its own has the connection and combines the calls that wait into one transaction,
//! so that they share its flush.
//!
//! The file is opened by the first call, not before: session storage of AgentCore is mounted with the first invocation.

mod claims;
mod jobs;
mod open;
mod steps;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tokio::sync::broadcast;

use super::clock::{Clock, later};
use super::error::EngineError;
use super::holder::Holders;
use super::limits;
use super::{
    About, Cancel, Claimed, Counts, Engine, Hold, JobId, JobState, Json, Keep, NOTICES, NewJob,
    Notice, Outcome, Reply, Run, Step, Submitted, Wanted,
};
use crate::util::sync::oneshot;
use thread::{Access, Lateness, Thread};

pub(crate) use open::Locks;

/// The jobs of one file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    clock: Clock,
    path: PathBuf,
    thread: Thread,
    holders: Holders,
    notices: broadcast::Sender<Notice>,
}

impl Sqlite {
    /// Opens nothing yet.
    ///
    /// # Errors
    ///
    /// If its thread cannot be started.
    pub(crate) fn new(path: PathBuf, locks: Locks) -> std::io::Result<Self> {
        Self::with_clock(path, locks, Clock::System)
    }

    pub(super) fn with_clock(path: PathBuf, locks: Locks, clock: Clock) -> std::io::Result<Self> {
        let notices = broadcast::Sender::new(NOTICES);
        Ok(Self {
            clock,
            thread: Thread::start(path.clone(), locks, notices.clone())?,
            path,
            holders: Holders::new(),
            notices,
        })
    }

    /// The answer of a call that only reads.
    fn read<'a, T: Send + 'static>(
        &'a self,
        call: impl FnOnce(&Connection, SystemTime) -> Result<T, EngineError> + Send + 'static,
    ) -> Reply<'a, T> {
        let clock = self.clock.clone();
        let late = DROPPED;
        self.thread
            .call(Access::Read, late, move |file, _| call(file, clock.now()))
    }

    /// The answer of a call that writes. It need not be polled to be carried out.
    fn write<'a, T: Send + 'static>(
        &'a self,
        late: Lateness,
        call: impl FnOnce(&Connection, SystemTime, &mut Vec<Notice>) -> Result<T, EngineError>
        + Send
        + 'static,
    ) -> Reply<'a, T> {
        let clock = self.clock.clone();
        self.thread.call(Access::Write, late, move |file, notices| {
            call(file, clock.now(), notices)
        })
    }
}

const DROPPED: Lateness = Lateness::IsDropped { bytes: 0 };

/// An answer for which no file is needed.
fn refused<'a, T: Send + 'a>(error: EngineError) -> Reply<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

impl Engine for Sqlite {
    fn check<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, About> {
        if let Err(error) = limits::check_tasks(tasks) {
            return refused(error);
        }
        let location = self.path.display().to_string();
        // It changes nothing, but a file that can only be read is of no use.
        self.write(DROPPED, move |file, _, _| {
            Ok(About {
                engine: "sqlite",
                schema: open::version(file)?.to_string(),
                location,
            })
        })
    }

    fn look(&self) -> Reply<'_, About> {
        let path = self.path.clone();
        let location = path.display().to_string();
        let (reply, answer) = oneshot::channel();
        // The engine's thread would open the file for writing.
        std::thread::spawn(move || {
            let _ = reply.send(open::look(&path));
        });
        Box::pin(async move {
            let gone = |_| Err(EngineError::Unreachable("its thread has ended".to_owned()));
            Ok(About {
                engine: "sqlite",
                schema: answer.await.unwrap_or_else(gone)?.to_string(),
                location,
            })
        })
    }

    fn submit(&self, job: NewJob) -> Reply<'_, Submitted> {
        if let Err(error) = limits::check_job(&job) {
            return refused(error);
        }
        let bytes = job.input.text().len();
        self.write(Lateness::IsDropped { bytes }, move |file, now, notices| {
            let (task, is_due) = (job.task.clone(), job.after.is_zero());
            let submitted = jobs::submit(file, job, now)?;
            if submitted.created && is_due {
                notices.push(Notice::Due(task));
            }
            Ok(submitted)
        })
    }

    fn state<'a>(&'a self, id: &'a JobId) -> Reply<'a, Option<JobState>> {
        let id = id.clone();
        self.read(move |file, _| jobs::state(file, &id))
    }

    fn list<'a>(&'a self, tasks: &'a [Arc<str>], most: usize) -> Reply<'a, Vec<JobState>> {
        let tasks = tasks.to_vec();
        self.read(move |file, _| jobs::list(file, &tasks, most))
    }

    fn cancel<'a>(&'a self, id: &'a JobId) -> Reply<'a, Cancel> {
        let id = id.clone();
        self.write(DROPPED, move |file, now, notices| {
            let cancel = jobs::cancel(file, &id, now)?;
            if cancel == Cancel::Cancelled {
                notices.push(Notice::Cancelled(id));
            }
            Ok(cancel)
        })
    }

    fn claim<'a>(&'a self, wanted: &'a Wanted) -> Reply<'a, Claimed> {
        Box::pin(async move {
            // An idle worker does not take the lock for writing.
            let asked = wanted.clone();
            let look = self.read(move |file, now| {
                let due = claims::oldest(file, &asked, now)?;
                Ok(claims::next(&due, now))
            });
            let next = look.await?;
            if wanted.free == 0 || next != Some(Duration::ZERO) {
                let next = next.filter(|_| wanted.free > 0);
                return Ok(Claimed {
                    claims: Vec::new(),
                    next,
                });
            }
            let (asked, holder) = (wanted.clone(), self.holders.next());
            self.write(DROPPED, move |file, now, _| {
                claims::claim(file, &asked, &holder, now)
            })
            .await
        })
    }

    fn renew<'a>(&'a self, runs: &'a [Run], lease: Duration) -> Reply<'a, Vec<Hold>> {
        let runs = runs.to_vec();
        self.write(Lateness::IsCarriedOut, move |file, now, _| {
            runs.iter()
                .map(|run| jobs::renew(file, run, lease, now))
                .collect()
        })
    }

    fn record<'a>(&'a self, run: &'a Run, name: &'a str, value: Json) -> Reply<'a, Hold> {
        if let Err(error) = limits::check_step(name, &value) {
            return refused(error);
        }
        let (run, name) = (run.clone(), name.to_owned());
        self.write(Lateness::IsCarriedOut, move |file, _, _| {
            jobs::record(file, &run, &name, &value)
        })
    }

    fn step<'a>(&'a self, id: &'a JobId, name: &'a str) -> Reply<'a, Option<Json>> {
        let (id, name) = (id.clone(), name.to_owned());
        self.read(move |file, _| steps::one(file, &id, &name))
    }

    fn step_names<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<String>> {
        let id = id.clone();
        self.read(move |file, _| steps::names(file, &id))
    }

    fn steps<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<Step>> {
        Box::pin(async move {
            let mut steps = Vec::new();
            let mut last = Some(i64::MIN);
            while let Some(after) = last {
                let id = id.clone();
                let page = self.read(move |file, _| steps::page(file, &id, after));
                last = page.await?.add_to(&mut steps);
            }
            Ok(steps)
        })
    }

    fn finish<'a>(&'a self, run: &'a Run, outcome: Outcome) -> Reply<'a, Hold> {
        let outcome = match limits::check_outcome(outcome) {
            Ok(outcome) => outcome,
            Err(error) => return refused(error),
        };
        let run = run.clone();
        self.write(Lateness::IsCarriedOut, move |file, now, _| {
            jobs::finish(file, &run, &outcome, now)
        })
    }

    fn release<'a>(&'a self, runs: &'a [Run], after: Duration) -> Reply<'a, Vec<Hold>> {
        let runs = runs.to_vec();
        self.write(Lateness::IsCarriedOut, move |file, now, notices| {
            let due = later(now, after);
            let mut holds = Vec::with_capacity(runs.len());
            for run in &runs {
                let hold = jobs::release(file, run, due)?;
                if hold == Hold::Held && after.is_zero() {
                    notices.push(Notice::Due(run.id.task_name().clone()));
                }
                holds.push(hold);
            }
            Ok(holds)
        })
    }

    fn counts<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, Vec<Counts>> {
        let tasks = tasks.to_vec();
        self.read(move |file, now| {
            tasks
                .iter()
                .map(|task| jobs::counts(file, task, now))
                .collect()
        })
    }

    fn clean<'a>(&'a self, tasks: &'a [Arc<str>], keep: Keep) -> Reply<'a, usize> {
        let tasks = tasks.to_vec();
        self.write(DROPPED, move |file, now, _| {
            let clean = |task: &Arc<str>| jobs::clean(file, task, keep, now);
            tasks.iter().map(clean).sum()
        })
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_reachable(&self) -> bool {
        self.thread.is_reachable()
    }

    fn disconnect(&self) {
        self.holders.renew();
        self.thread.close();
    }
}
