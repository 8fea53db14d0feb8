//! The stores of durable jobs: the trait [`Engine`], its plain values and the three engines.
//!
//! An engine keeps jobs, their attempts and their recorded steps, all as text. It knows nothing of handlers, requests or HTTP.
//! `memory` is for tests, `sqlite` for the processes of one host, `postgres` for many hosts.
//!
//! # States
//!
//! ```text
//! submit -> Waiting -> claim -> Running -> finish(Done)                   -> Done
//!              ^                   |    -> finish(Failed)                 -> Failed
//!              |                   |    -> finish(Retry), no attempt left -> Failed
//!              +-- finish(Retry) --+    -> cancel                         -> Cancelled
//!              +-- release --------+
//!              +-- lease ended ----+    the last attempt's lease ended    -> Failed
//!
//! Waiting -> cancel -> Cancelled
//! ```
//!
//! # Invariants
//!
//! 1. A job that `submit` has answered for is stored. It survives the end of every process.
//! 2. A job is run by at most one [`Run`] at a time. A claim makes a new one with a `holder` of its own. Every write of a
//!    run compares it: `renew`, `record`, `finish` and `release` of a run that no longer holds its job change nothing, and
//!    return [`Hold::Lost`] or [`Hold::Cancelled`].
//! 3. The attempt counts from 1. A failure and a lease that ended each use it up: the next one has a greater number. A release
//!    does not. No attempt has a number above `max_attempts`.
//! 4. The end of a lease takes effect at the next claim of that task. Until then its run may still renew, record and finish.
//!    The claim makes the job due at once, without a further pause.
//! 5. `Done`, `Failed` and `Cancelled` are final. The records of a job are kept until [`Engine::clean`] removes them.
//! 6. Within one task the oldest due job is claimed first.
//! 7. A call may be repeated if its answer was lost: a `finish` that was accepted is accepted again, and a `release` cannot take
//!    the job from its next holder. A `submit` may be repeated with a key.

mod address;
mod clock;
mod error;
mod holder;
mod id;
mod json;
mod limits;
mod memory;
#[cfg(feature = "durable-postgres")]
mod postgres;
mod sqlite;
mod stored;
#[cfg(test)]
mod tests;
mod unusable;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

pub(crate) use address::{engine, has_stray_at};
pub(crate) use error::EngineError;
pub(crate) use id::check_task_name;
pub use id::{JobId, ParseJobIdError};
pub(crate) use json::Json;
pub(crate) use unusable::Unusable;

/// The future of a call. It is cancel safe: dropping it leaves the call to be carried out or not.
///
/// No call needs a runtime. An engine that waits for a socket, a file or a clock does so in a thread of its own, so any executor
/// may poll these futures.
pub(crate) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// A store of durable jobs.
///
/// A call that cannot reach its store fails with [`EngineError::Unreachable`] within 5 s. The engine connects again by itself.
pub(crate) trait Engine: Send + Sync + fmt::Debug {
    /// Connects, compares the schema's version and makes what the tasks need, such as their queues.
    fn check<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, About>;

    /// As [`check`](Self::check), and changes nothing: it makes no file and no queue, and brings no tables up to date.
    fn look(&self) -> Reply<'_, About>;

    /// Stores a job. Its key, if it has one, finds an earlier job of this task.
    ///
    /// # Errors
    ///
    /// [`EngineError::KeyConflict`] if the earlier job has another input, [`EngineError::TooLarge`] and
    /// [`EngineError::NotStorable`] if the input cannot be stored.
    fn submit(&self, job: NewJob) -> Reply<'_, Submitted>;

    /// What has become of a job; `None` if there is none of that id.
    fn state<'a>(&'a self, id: &'a JobId) -> Reply<'a, Option<JobState>>;

    /// The newest jobs of these tasks, newest first, at most so many.
    fn list<'a>(&'a self, tasks: &'a [Arc<str>], most: usize) -> Reply<'a, Vec<JobState>>;

    /// Cancels a job from any process. A job that waits is cancelled at once. The process that runs
    /// the job gets [`Notice::Cancelled`] where possible, and [`Hold::Cancelled`] as its next answer in any case.
    fn cancel<'a>(&'a self, id: &'a JobId) -> Reply<'a, Cancel>;

    /// Takes due jobs, oldest first, and gives each a lease. Takes over jobs after the end of their lease.
    fn claim<'a>(&'a self, wanted: &'a Wanted) -> Reply<'a, Claimed>;

    /// Makes leases end a `lease` from now. The answers stand in the order of the runs.
    fn renew<'a>(&'a self, runs: &'a [Run], lease: Duration) -> Reply<'a, Vec<Hold>>;

    /// Records a step's value under its name, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`] and [`EngineError::NotStorable`] if the value cannot be stored.
    fn record<'a>(&'a self, run: &'a Run, name: &'a str, value: Json) -> Reply<'a, Hold>;

    /// The value of one recorded step; `None` if the job has none of that name.
    fn step<'a>(&'a self, id: &'a JobId, name: &'a str) -> Reply<'a, Option<Json>>;

    /// The names of the recorded steps, in the order of their records.
    fn step_names<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<String>>;

    /// The recorded steps of a job, in the order of their records. A job whose `since_first_start` is `None` has none.
    ///
    /// They are read in pages. Each page has the time of a call.
    fn steps<'a>(&'a self, id: &'a JobId) -> Reply<'a, Vec<Step>>;

    /// Ends an attempt.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLarge`] and [`EngineError::NotStorable`] if the result cannot be stored: the attempt still runs then.
    fn finish<'a>(&'a self, run: &'a Run, outcome: Outcome) -> Reply<'a, Hold>;

    /// Gives jobs back, to be claimed again once `after` is over. Their attempts are not used up.
    fn release<'a>(&'a self, runs: &'a [Run], after: Duration) -> Reply<'a, Vec<Hold>>;

    /// How many jobs wait and run, by task, in the order of the tasks.
    fn counts<'a>(&'a self, tasks: &'a [Arc<str>]) -> Reply<'a, Vec<Counts>>;

    /// Removes jobs that ended longer ago than they are kept, at most 1 000 of each task. Says how many.
    ///
    /// One process does it at a time.
    fn clean<'a>(&'a self, tasks: &'a [Arc<str>], keep: Keep) -> Reply<'a, usize>;

    /// Hints of this process and, where the engine has such a channel, of others. They may be missing: a worker polls too.
    fn notices(&self) -> broadcast::Receiver<Notice>;

    /// Whether processes on other hosts may run its jobs.
    fn is_shared(&self) -> bool;

    /// Whether the last call or attempt to connect reached the store. Before the first call it is `true`.
    fn is_reachable(&self) -> bool;

    /// Closes connections and files; the next call opens them again. Runs that were claimed before are forgotten: no call
    /// of theirs should follow. For a process that was restored from a snapshot.
    fn disconnect(&self);
}

/// What [`Engine::check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// `memory`, `sqlite` or `postgres`.
    pub(crate) engine: &'static str,
    /// The version of its schema.
    pub(crate) schema: String,
    /// Where it is: a path, or a host with a database. It has no credentials.
    pub(crate) location: String,
}

/// A job to store.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    /// The stable name of its task. [`super::id::check_task_name`] says which names there are.
    pub(crate) task: Arc<str>,
    /// The arguments, by parameter name.
    pub(crate) input: Json,
    /// What finds this job again, if it is submitted twice: at most 512 bytes.
    pub(crate) key: Option<String>,
    /// How long it waits before it is due.
    pub(crate) after: Duration,
    /// The first attempt included: at least 1.
    pub(crate) max_attempts: u32,
    /// What goes along: the owner's session, the trace context. At most 16 KiB. No engine reads it.
    pub(crate) headers: Headers,
}

/// Text that travels with a job, by name.
pub(crate) type Headers = BTreeMap<String, String>;

/// The answer to [`Engine::submit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submitted {
    pub(crate) id: JobId,
    /// Whether it is new, and not an earlier job of this key.
    pub(crate) created: bool,
}

/// What a store knows of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobState {
    pub(crate) id: JobId,
    pub(crate) status: Status,
    /// The attempt that runs, that is next while the job waits, or that was the last. It counts from 1.
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) key: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) submitted: SystemTime,
    /// When it was claimed for the first time.
    pub(crate) started: Option<SystemTime>,
    /// When it ended.
    pub(crate) ended: Option<SystemTime>,
    /// Why the last attempt that failed did so.
    pub(crate) failure: Option<Failure>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Status {
    /// It waits to be claimed, from `due` on.
    Waiting {
        due: SystemTime,
    },
    /// A run has it. The lease may have ended without a claim that noticed.
    Running {
        until: SystemTime,
    },
    /// It returned this.
    Done(Json),
    /// Its last attempt failed, as `failure` says.
    Failed,
    Cancelled,
}

impl Status {
    /// Whether it is one that does not change any more.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed | Self::Cancelled)
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind of failure, such as `error`, `panic` or [`Failure::LEASE_ENDED`].
    pub(crate) name: String,
    /// Text for people. It is cut to 16 KiB.
    pub(crate) message: String,
}

impl Failure {
    /// The name of a failure that the engine itself notes: the process died, or did not renew.
    pub(crate) const LEASE_ENDED: &'static str = "$ClaimTimeout";
    /// The text of that failure.
    pub(super) const LEASE_ENDED_MESSAGE: &'static str =
        "worker did not finish task within claim interval";
}

/// The answer to [`Engine::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It had not ended, and is cancelled now.
    Cancelled,
    /// It had ended before.
    Ended,
    /// There is no such job.
    Unknown,
}

/// What a worker asks [`Engine::claim`] for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The tasks it runs, each with the greatest number of jobs to take.
    pub(crate) tasks: Vec<(Arc<str>, usize)>,
    /// The greatest number of jobs to take altogether.
    pub(crate) free: usize,
    /// How long each is held without renewal. An engine may round it up to whole seconds.
    pub(crate) lease: Duration,
}

/// The answer to [`Engine::claim`].
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) claims: Vec<Claim>,
    /// How long it is until one of the tasks has a job that is due or a lease that ends. It is known only where there are
    /// no claims; else there may be more at once.
    pub(crate) next: Option<Duration>,
}

/// A job that was claimed.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) run: Run,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) input: Json,
    pub(crate) headers: Headers,
    pub(crate) key: Option<String>,
    /// How long ago it was claimed for the first time; `None` if this is that time.
    pub(crate) since_first_start: Option<Duration>,
}

/// One claim of a job: what a process shows to write for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) id: JobId,
    /// The number of its attempt in the store.
    pub(crate) number: u128,
    /// The name of its holder, which is new for every claim.
    pub(crate) holder: Arc<str>,
}

/// Whether a run still has its job. A write of one that has not was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It has it, or had it until this call: the write is stored.
    Held,
    /// The job was cancelled.
    Cancelled,
    /// Its lease ended and another claim noticed, it was released, it has ended, or it is gone.
    Lost,
}

/// How an attempt ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The job has this result.
    Done(Json),
    /// The attempt failed. There is another one once `after` is over, if there are attempts left.
    Retry { failure: Failure, after: Duration },
    /// The job failed, whatever attempts are left: this one is its last then, also in `max_attempts`.
    Failed(Failure),
}

/// A recorded step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) value: Json,
}

/// How many jobs of a task there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Those that wait and are due.
    pub(crate) due: u64,
    /// Those that wait and are not.
    pub(crate) delayed: u64,
    pub(crate) running: u64,
    /// How long the oldest one has been due.
    pub(crate) oldest: Option<Duration>,
}

/// How long the records of jobs that have ended are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Of those that are done or were cancelled.
    pub(crate) done: Duration,
    pub(crate) failed: Duration,
}

/// How many hints a receiver may be behind. One that is further behind polls.
pub(super) const NOTICES: usize = 1024;

/// A hint that something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A job of this task is due.
    Due(Arc<str>),
    /// This job was cancelled.
    Cancelled(JobId),
    /// The connection was lost and is there again: hints may have been missed.
    Reconnected,
}
