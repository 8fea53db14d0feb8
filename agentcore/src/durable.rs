//! Durable tasks: jobs that are stored before they run. If a process dies, another one finishes its jobs.
//!
//! ```text
//! expansion ── Durable ── submit ──▶ client ──▶ engine ◀── worker ── claims, renews
//!                                      ▲          ▲          │
//!                                 job_status      └─ steps ─ attempt ── the task's function
//! ```
//!
//! [`engine`](crate::engine) defines the stores and the states of a job. [`client`] is how handlers reach the store, [`worker`]
//! claims jobs, and [`attempt`] runs one. The expansion of the macro meets a run in [`task`].

mod attempt;
mod backoff;
mod call;
mod client;
mod context;
mod failure;
mod gate;
mod newest;
mod permanent;
mod refusals;
mod run;
mod status;
mod step;
mod task;
mod worker;

pub use crate::engine::{JobId, ParseJobIdError};
pub use call::{Durable, Job};
pub(crate) use client::Client;
pub use context::TaskContext;
pub use failure::JobError;
pub(crate) use gate::Gate;
pub use permanent::Permanent;
pub(crate) use run::CrashPoints;
pub use status::{JobStatus, cancel_job, job_status};
pub use step::{StepKey, StepName, keyed_step, step};
pub(crate) use task::Task;
pub use task::{Arguments, DurableRun, Encoded, RunFailure};
pub(crate) use worker::Worker;
