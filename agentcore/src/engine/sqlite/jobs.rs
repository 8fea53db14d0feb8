//! The state machine of jobs, in SQL. Each function runs within a transaction, and the time is an argument.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use crate::engine::clock::{from_micros, later, micros};
use crate::engine::error::EngineError;
use crate::engine::id::Uuid;
use crate::engine::stored;
use crate::engine::{
    Cancel, Counts, Failure, Hold, JobId, JobState, Json, Keep, NewJob, Outcome, Run, Status,
    Submitted,
};

const WAITING: i64 = 0;
const RUNNING: i64 = 1;
const DONE: i64 = 2;
const FAILED: i64 = 3;
const CANCELLED: i64 = 4;

/// The most jobs of a task that one call removes.
const MOST_REMOVED: i64 = 1000;

pub(super) type Answer<T> = Result<T, EngineError>;

pub(super) fn number(row: &Row<'_>, column: &str) -> rusqlite::Result<u128> {
    row.get(column).map(u128::from_be_bytes)
}

fn id(row: &Row<'_>) -> rusqlite::Result<JobId> {
    let task: String = row.get("task")?;
    Ok(JobId::new(task.into(), number(row, "id")?))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<SystemTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(from_micros))
}

pub(super) fn submit(file: &Connection, job: NewJob, now: SystemTime) -> Answer<Submitted> {
    if let Some(key) = &job.key {
        let earlier = file
            .prepare_cached("SELECT task, id, input FROM jobs WHERE task = ?1 AND key = ?2")?
            .query_row(params![&*job.task, key], |row| {
                Ok((id(row)?, row.get::<_, String>("input")?))
            })
            .optional()?;
        if let Some((id, input)) = earlier {
            if job.input.is_the_value_of(&input) {
                return Ok(Submitted { id, created: false });
            }
            return Err(EngineError::KeyConflict {
                key: key.clone(),
                earlier: id,
            });
        }
    }
    let id = JobId::new(job.task, Uuid::draw(now).0);
    file.prepare_cached(
        "INSERT INTO jobs (task, id, input, headers, key, max_attempts, due, run, submitted)
         VALUES (:task, :id, :input, :headers, :key, :max_attempts, :due, :run, :submitted)",
    )?
    .execute(named_params! {
        ":task": id.task(),
        ":id": id.number().to_be_bytes(),
        ":input": job.input.text(),
        ":headers": stored::of_headers(&job.headers),
        ":key": job.key,
        ":max_attempts": job.max_attempts,
        ":due": micros(later(now, job.after)),
        ":run": Uuid::draw(now).0.to_be_bytes(),
        ":submitted": micros(now),
    })?;
    Ok(Submitted { id, created: true })
}

fn job_state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let at = |column: &str| Ok::<_, rusqlite::Error>(from_micros(row.get(column)?));
    let status = match row.get("status")? {
        WAITING => Status::Waiting { due: at("due")? },
        RUNNING => Status::Running {
            until: at("until")?,
        },
        DONE => Status::Done(stored::value(row.get("result")?)),
        FAILED => Status::Failed,
        _ => Status::Cancelled,
    };
    let failure: Option<String> = row.get("failure")?;
    Ok(JobState {
        id: id(row)?,
        status,
        attempt: row.get("attempt")?,
        max_attempts: row.get("max_attempts")?,
        key: row.get("key")?,
        headers: stored::headers(&row.get::<_, String>("headers")?),
        submitted: at("submitted")?,
        started: time(row, "started")?,
        ended: time(row, "ended")?,
        failure: failure.map(|text| stored::failure(&text)),
    })
}

/// The columns that a state is made of.
macro_rules! select_state {
    ($rest:literal) => {
        concat!(
            "SELECT task, id, status, due, until, result, attempt, max_attempts, key, headers, submitted, started, ended, failure
             FROM jobs ",
            $rest
        )
    };
}

pub(super) fn state(file: &Connection, id: &JobId) -> Answer<Option<JobState>> {
    let mut select = file.prepare_cached(select_state!("WHERE task = ?1 AND id = ?2"))?;
    Ok(select
        .query_row(params![id.task(), id.number().to_be_bytes()], job_state)
        .optional()?)
}

pub(super) fn list(file: &Connection, tasks: &[Arc<str>], most: usize) -> Answer<Vec<JobState>> {
    let mut select =
        file.prepare_cached(select_state!("WHERE task = ?1 ORDER BY id DESC LIMIT ?2"))?;
    let mut found = Vec::new();
    for task in tasks {
        let jobs = select.query_map(params![&**task, limit(most)], job_state)?;
        found.extend(jobs.collect::<Result<Vec<_>, _>>()?);
    }
    found.sort_by_key(|job: &JobState| Reverse(job.id.number()));
    found.truncate(most);
    Ok(found)
}

pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

pub(super) fn cancel(file: &Connection, id: &JobId, now: SystemTime) -> Answer<Cancel> {
    let changed = file
        .prepare_cached(
            "UPDATE jobs SET status = 4, holder = NULL, until = NULL, ended = ?3
             WHERE task = ?1 AND id = ?2 AND status IN (0, 1)",
        )?
        .execute(params![id.task(), id.number().to_be_bytes(), micros(now)])?;
    Ok(match (changed, status(file, id)?) {
        (1.., _) => Cancel::Cancelled,
        (0, Some(_)) => Cancel::Ended,
        (0, None) => Cancel::Unknown,
    })
}

fn status(file: &Connection, id: &JobId) -> Answer<Option<i64>> {
    Ok(file
        .prepare_cached("SELECT status FROM jobs WHERE task = ?1 AND id = ?2")?
        .query_row(params![id.task(), id.number().to_be_bytes()], |row| {
            row.get(0)
        })
        .optional()?)
}

/// Ends an attempt, and makes the next one wait unless there is none.
pub(super) fn fail(
    file: &Connection,
    job: i64,
    failure: &Failure,
    next: SystemTime,
    now: SystemTime,
) -> Answer<()> {
    let failure = stored::of_failure(failure);
    file.prepare_cached(
        "INSERT INTO failures (job, run, holder, failure) SELECT job, run, holder, ?2 FROM jobs WHERE job = ?1",
    )?
    .execute(params![job, failure])?;
    file.prepare_cached(
        "UPDATE jobs SET holder = NULL, until = NULL, failure = :failure,
             status = iif(attempt < max_attempts, 0, 3),
             ended = iif(attempt < max_attempts, NULL, :now),
             due = iif(attempt < max_attempts, :next, due),
             run = iif(attempt < max_attempts, :run, run),
             attempt = min(attempt + 1, max_attempts)
         WHERE job = :job",
    )?
    .execute(named_params! {
        ":job": job,
        ":failure": failure,
        ":next": micros(next),
        ":now": micros(now),
        ":run": Uuid::draw(now).0.to_be_bytes(),
    })?;
    Ok(())
}

/// The row of a run's job, if the run has it.
fn held(file: &Connection, run: &Run) -> Answer<Result<i64, Hold>> {
    let job = file
        .prepare_cached(
            "SELECT job FROM jobs WHERE task = ?1 AND id = ?2 AND run = ?3 AND holder = ?4 AND status = 1",
        )?
        .query_row(
            params![
                run.id.task(),
                run.id.number().to_be_bytes(),
                run.number.to_be_bytes(),
                &*run.holder
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(match job {
        Some(job) => Ok(job),
        None if status(file, &run.id)? == Some(CANCELLED) => Err(Hold::Cancelled),
        None => Err(Hold::Lost),
    })
}

pub(super) fn renew(
    file: &Connection,
    run: &Run,
    lease: Duration,
    now: SystemTime,
) -> Answer<Hold> {
    let job = match held(file, run)? {
        Ok(job) => job,
        Err(not) => return Ok(not),
    };
    file.prepare_cached("UPDATE jobs SET until = ?2, leased = ?3 WHERE job = ?1")?
        .execute(params![job, micros(later(now, lease)), micros(now)])?;
    Ok(Hold::Held)
}

pub(super) fn record(file: &Connection, run: &Run, name: &str, value: &Json) -> Answer<Hold> {
    let job = match held(file, run)? {
        Ok(job) => job,
        Err(not) => return Ok(not),
    };
    // A record in place of another one is the newest.
    file.prepare_cached("INSERT OR REPLACE INTO steps (job, name, value) VALUES (?1, ?2, ?3)")?
        .execute(params![job, name, value.text()])?;
    Ok(Hold::Held)
}

pub(super) fn finish(
    file: &Connection,
    run: &Run,
    outcome: &Outcome,
    now: SystemTime,
) -> Answer<Hold> {
    let job = match held(file, run)? {
        Ok(job) => job,
        Err(_) if is_finished(file, run, outcome)? => return Ok(Hold::Held),
        Err(not) => return Ok(not),
    };
    match outcome {
        Outcome::Done(value) => {
            // The holder stays, for a call that is repeated.
            file.prepare_cached(
                "UPDATE jobs SET status = 2, until = NULL, result = ?2, ended = ?3 WHERE job = ?1",
            )?
            .execute(params![job, value.text(), micros(now)])?;
        }
        Outcome::Retry { failure, after } => {
            fail(file, job, failure, later(now, *after), now)?;
        }
        Outcome::Failed(failure) => {
            file.prepare_cached("UPDATE jobs SET max_attempts = attempt WHERE job = ?1")?
                .execute([job])?;
            fail(file, job, failure, now, now)?;
        }
    }
    Ok(Hold::Held)
}

/// Whether the run has ended like this.
fn is_finished(file: &Connection, run: &Run, outcome: &Outcome) -> Answer<bool> {
    let (statement, failure) = match outcome {
        Outcome::Done(_) => (
            "SELECT count(*) FROM jobs
             WHERE task = ?1 AND id = ?2 AND run = ?3 AND holder = ?4 AND status = 2 AND ?5 IS NULL",
            None,
        ),
        Outcome::Retry { failure, .. } | Outcome::Failed(failure) => (
            "SELECT count(*) FROM jobs JOIN failures USING (job)
             WHERE task = ?1 AND id = ?2 AND failures.run = ?3 AND failures.holder = ?4 AND failures.failure = ?5",
            Some(stored::of_failure(failure)),
        ),
    };
    let found: i64 = file.prepare_cached(statement)?.query_row(
        params![
            run.id.task(),
            run.id.number().to_be_bytes(),
            run.number.to_be_bytes(),
            &*run.holder,
            failure
        ],
        |row| row.get(0),
    )?;
    Ok(found > 0)
}

pub(super) fn release(file: &Connection, run: &Run, due: SystemTime) -> Answer<Hold> {
    let job = match held(file, run)? {
        Ok(job) => job,
        Err(not) => return Ok(not),
    };
    file.prepare_cached(
        "UPDATE jobs SET status = 0, holder = NULL, until = NULL, due = ?2 WHERE job = ?1",
    )?
    .execute(params![job, micros(due)])?;
    Ok(Hold::Held)
}

pub(super) fn counts(file: &Connection, task: &str, now: SystemTime) -> Answer<Counts> {
    let waiting =
        "SELECT count(*) FILTER (WHERE due <= ?2), count(*) FILTER (WHERE due > ?2), min(due)
         FROM jobs WHERE task = ?1 AND status = 0";
    let running = "SELECT count(*) FROM jobs WHERE task = ?1 AND status = 1";
    let (due, delayed, oldest) =
        file.prepare_cached(waiting)?
            .query_row(params![task, micros(now)], |row| {
                Ok((
                    row.get::<_, u32>(0)?,
                    row.get::<_, u32>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                ))
            })?;
    let running = file
        .prepare_cached(running)?
        .query_row([task], |row| row.get::<_, u32>(0))?;
    Ok(Counts {
        due: due.into(),
        delayed: delayed.into(),
        running: running.into(),
        oldest: oldest.and_then(|due| now.duration_since(from_micros(due)).ok()),
    })
}

pub(super) fn clean(file: &Connection, task: &str, keep: Keep, now: SystemTime) -> Answer<usize> {
    let before = |keep: Duration| micros(now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH));
    let deleted = file
        .prepare_cached(
            "DELETE FROM jobs WHERE job IN (
                 SELECT job FROM jobs
                 WHERE task = :task AND ended IS NOT NULL AND ended < iif(status = 3, :failed, :done)
                 ORDER BY ended LIMIT :most
             )",
        )?
        .execute(named_params! {
            ":task": task,
            ":failed": before(keep.failed),
            ":done": before(keep.done),
            ":most": MOST_REMOVED,
        })?;
    Ok(deleted)
}
