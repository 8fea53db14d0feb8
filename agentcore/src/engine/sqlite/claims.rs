//! Claims, in SQL.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::jobs::{Answer, fail, limit, number, time};
use crate::engine::clock::{from_micros, later, micros};
use crate::engine::stored;
use crate::engine::{Claim, Claimed, Failure, JobId, Json, Run, Wanted};

/// Tasks that have a job that waits or a lease: the earliest time of one, the task, and how many jobs are wanted of it.
pub(super) type Due = Vec<(i64, Arc<str>, usize)>;

/// The tasks of which jobs are wanted, the one with the oldest due job first.
///
/// A task with a lease from the future counts as due. [`claim`] shortens such leases.
pub(super) fn oldest(file: &Connection, wanted: &Wanted, now: SystemTime) -> Answer<Due> {
    // Two sub-queries, each of which reads one entry of an index.
    let mut select = file.prepare_cached(
        "SELECT min(at) FROM (
             SELECT min(due) AS at FROM jobs WHERE task = ?1 AND status = 0
             UNION ALL SELECT min(until) FROM jobs WHERE task = ?1 AND status = 1
         )",
    )?;
    let mut due = Due::new();
    for (task, most) in wanted.tasks.iter().filter(|(_, most)| *most > 0) {
        let mut oldest: Option<i64> = select.query_row([&**task], |row| row.get(0))?;
        if is_from_the_future(file, task, now)? {
            oldest = Some(micros(now));
        }
        due.extend(oldest.map(|oldest| (oldest, task.clone(), *most)));
    }
    due.sort_by_key(|(oldest, ..)| *oldest);
    Ok(due)
}

/// Whether the longest lease of a task was given in what is the future by now: the clock has been set back since. The process
/// that has it may be dead, and without a change its job would wait for as long as the clock was set back.
fn is_from_the_future(file: &Connection, task: &str, now: SystemTime) -> Answer<bool> {
    let leased: Option<i64> = file
        .prepare_cached(
            "SELECT leased FROM jobs WHERE task = ?1 AND status = 1 ORDER BY until DESC LIMIT 1",
        )?
        .query_row([task], |row| row.get(0))
        .optional()?;
    Ok(leased.is_some_and(|leased| leased > micros(now)))
}

/// Lets leases that were given in the future begin now. A process that lives renews its own in time, because it does so by the
/// monotonic clock.
fn shorten_leases(file: &Connection, task: &str, now: SystemTime) -> Answer<()> {
    file.prepare_cached(
        "UPDATE jobs SET until = ?2 + until - leased, leased = ?2 WHERE task = ?1 AND status = 1 AND leased > ?2",
    )?
    .execute(params![task, micros(now)])?;
    Ok(())
}

/// How long it is until something is due.
pub(super) fn next(due: &Due, now: SystemTime) -> Option<Duration> {
    let (oldest, ..) = due.first()?;
    let until = from_micros(*oldest).duration_since(now);
    Some(until.unwrap_or_default())
}

pub(super) fn claim(
    file: &Connection,
    wanted: &Wanted,
    holder: &Arc<str>,
    now: SystemTime,
) -> Answer<Claimed> {
    let mut claims = Vec::new();
    for (oldest, task, most) in oldest(file, wanted, now)? {
        let free = most.min(wanted.free - claims.len());
        if oldest <= micros(now) && free > 0 {
            shorten_leases(file, &task, now)?;
            end_leases(file, &task, free, now)?;
            claims.extend(take(file, &task, free, holder, wanted.lease, now)?);
        }
    }
    let next = match claims.len() {
        0 => next(&self::oldest(file, wanted, now)?, now),
        _ => None,
    };
    Ok(Claimed { claims, next })
}

/// Fails the attempts with ended leases, at most `most` of them, the earliest first.
fn end_leases(file: &Connection, task: &str, most: usize, now: SystemTime) -> Answer<()> {
    let failure = Failure {
        name: Failure::LEASE_ENDED.to_owned(),
        message: Failure::LEASE_ENDED_MESSAGE.to_owned(),
    };
    let ended: Vec<i64> = file
        .prepare_cached(
            "SELECT job FROM jobs WHERE task = ?1 AND status = 1 AND until <= ?2 ORDER BY until, run LIMIT ?3",
        )?
        .query_map(params![task, micros(now), limit(most)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for job in ended {
        fail(file, job, &failure, now, now)?;
    }
    Ok(())
}

fn take(
    file: &Connection,
    task: &Arc<str>,
    most: usize,
    holder: &Arc<str>,
    lease: Duration,
    now: SystemTime,
) -> Answer<Vec<Claim>> {
    let mut update = file.prepare_cached(
        "UPDATE jobs SET status = 1, holder = :holder, until = :until, leased = :now, claims = claims + 1, started = coalesce(started, :now)
         WHERE job IN (
             SELECT job FROM jobs WHERE task = :task AND status = 0 AND due <= :now ORDER BY due, run LIMIT :most
         )
         RETURNING task, id, run, due, attempt, max_attempts, input, headers, key, started, claims",
    )?;
    let claims = update.query_map(
        named_params! {
            ":task": &**task,
            ":holder": &**holder,
            ":until": micros(later(now, lease)),
            ":now": micros(now),
            ":most": limit(most),
        },
        |row| {
            let claims: i64 = row.get("claims")?;
            let started = time(row, "started")?.filter(|_| claims > 1);
            let run = Run {
                id: JobId::new(task.clone(), number(row, "id")?),
                number: number(row, "run")?,
                holder: holder.clone(),
            };
            let order = (row.get::<_, i64>("due")?, run.number);
            let claim = Claim {
                run,
                attempt: row.get("attempt")?,
                max_attempts: row.get("max_attempts")?,
                input: Json::stored(row.get("input")?),
                headers: stored::headers(&row.get::<_, String>("headers")?),
                key: row.get("key")?,
                since_first_start: started.map(|at| now.duration_since(at).unwrap_or_default()),
            };
            Ok((order, claim))
        },
    )?;
    let mut claims = claims.collect::<Result<Vec<_>, _>>()?;
    claims.sort_by_key(|(order, _)| *order);
    Ok(claims.into_iter().map(|(_, claim)| claim).collect())
}
