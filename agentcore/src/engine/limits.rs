//! What no engine stores: the checks that all have in common.

use std::sync::Arc;

use super::error::EngineError;
use super::id::check_task_name;
use super::json::{Json, MOST_NAME_BYTES, check_headers, check_text};
use super::{NewJob, Outcome};

pub(super) fn check_task(name: &str) -> Result<(), EngineError> {
    check_task_name(name).map_err(EngineError::Refused)
}

pub(super) fn check_tasks(names: &[Arc<str>]) -> Result<(), EngineError> {
    names.iter().try_for_each(|name| check_task(name))
}

pub(super) fn check_job(job: &NewJob) -> Result<(), EngineError> {
    check_task(&job.task)?;
    job.input.check("the input of a job")?;
    check_headers(&job.headers)?;
    if let Some(key) = &job.key {
        check_text(key, "the key of a job", MOST_NAME_BYTES)?;
    }
    if job.max_attempts == 0 || i32::try_from(job.max_attempts).is_err() {
        return Err(EngineError::Refused(format!(
            "a job of {} attempts was submitted; at least 1 is needed",
            job.max_attempts
        )));
    }
    Ok(())
}

pub(super) fn check_step(name: &str, value: &Json) -> Result<(), EngineError> {
    check_text(name, "the name of a step", MOST_NAME_BYTES)?;
    if name.trim().is_empty() {
        return Err(EngineError::NotStorable {
            what: "the name of a step",
            why: "it is empty".to_owned(),
        });
    }
    value.check("the value of a step")
}

/// The outcome as every store takes it.
pub(super) fn check_outcome(outcome: Outcome) -> Result<Outcome, EngineError> {
    Ok(match outcome {
        Outcome::Done(value) => {
            value.check("the result of a job")?;
            Outcome::Done(value)
        }
        Outcome::Retry { failure, after } => Outcome::Retry {
            failure: failure.storable(),
            after,
        },
        Outcome::Failed(failure) => Outcome::Failed(failure.storable()),
    })
}
