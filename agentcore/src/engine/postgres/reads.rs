//! The statements that read: what has become of jobs, and how many there are.

pub(super) mod steps;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::fault::Fault;
use super::types::{JsonText, Number};
use super::writes::DELAY;
use crate::engine::clock::from_micros;
use crate::engine::stored;
use crate::engine::{Counts, JobId, JobState, Status};

/// The microseconds since 1970 of a time, as SQL. An infinite time has none.
macro_rules! micros {
    ($time:literal) => {
        concat!(
            "(extract(epoch FROM CASE WHEN isfinite(",
            $time,
            ") THEN ",
            $time,
            " END) * 1000000)::bigint"
        )
    };
}

/// The columns of a job's state, for `{task}`.
const STATE: &str = concat!(
    "SELECT t.task_id, t.state, t.attempts, t.max_attempts, t.idempotency_key, t.headers, t.completed_payload, ",
    micros!("t.enqueue_at"),
    " AS submitted, ",
    micros!("t.first_started_at"),
    " AS started, ",
    micros!("coalesce(t.cancelled_at, r.completed_at, r.failed_at)"),
    " AS ended, ",
    micros!("r.available_at"),
    " AS due, ",
    micros!("r.claim_expires_at"),
    " AS until,
     (SELECT f.failure_reason FROM absurd.\"r_{task}\" f
      WHERE f.task_id = t.task_id AND f.state = 'failed' ORDER BY f.attempt DESC LIMIT 1) AS failure
     FROM absurd.\"t_{task}\" t LEFT JOIN absurd.\"r_{task}\" r ON r.run_id = t.last_attempt_run "
);

fn of_task(statement: &str, task: &str) -> String {
    statement.replace("{task}", task)
}

fn job_state(row: &Row, task: &Arc<str>) -> Result<JobState, tokio_postgres::Error> {
    let time = |column: &str| row.try_get::<_, Option<i64>>(column);
    let json = |column: &str| row.try_get::<_, Option<JsonText<String>>>(column);
    let status = match row.try_get("state")? {
        "completed" => Status::Done(stored::value(json("completed_payload")?.map(|text| text.0))),
        "failed" => Status::Failed,
        "cancelled" => Status::Cancelled,
        "running" => Status::Running {
            until: from_micros(time("until")?.unwrap_or_default()),
        },
        _ => Status::Waiting {
            due: from_micros(time("due")?.unwrap_or_default()),
        },
    };
    let ended = time("ended")?.filter(|_| status.is_final());
    let Number(number) = row.try_get("task_id")?;
    let mut headers =
        json("headers")?.map_or_else(Default::default, |text| stored::headers(&text.0));
    // The database counts such a job as submitted when it is due.
    let delay = headers.remove(DELAY).and_then(|delay| delay.parse().ok());
    let submitted = time("submitted")?.unwrap_or_default() - delay.unwrap_or(0);
    Ok(JobState {
        id: JobId::new(task.clone(), number),
        status,
        attempt: at_least_zero(row.try_get("attempts")?),
        max_attempts: row
            .try_get::<_, Option<i32>>("max_attempts")?
            .map_or(u32::MAX, at_least_zero),
        key: row.try_get("idempotency_key")?,
        headers,
        submitted: from_micros(submitted),
        started: time("started")?.map(from_micros),
        ended: ended.map(from_micros),
        failure: json("failure")?.map(|text| stored::failure(&text.0)),
    })
}

pub(super) fn at_least_zero(number: i32) -> u32 {
    number.try_into().unwrap_or(0)
}

pub(super) async fn state(client: &Client, id: &JobId) -> Result<Option<JobState>, Fault> {
    let statement = of_task(STATE, id.task()) + "WHERE t.task_id = $1";
    let found = client
        .query_typed_opt(&statement, &[(&Number(id.number()), Type::UUID)])
        .await?;
    let task = id.task_name();
    Ok(found.map(|row| job_state(&row, task)).transpose()?)
}

/// The newest jobs of a task.
pub(super) async fn list(
    client: &Client,
    task: &Arc<str>,
    most: i64,
) -> Result<Vec<JobState>, Fault> {
    let statement = of_task(STATE, task) + "ORDER BY t.task_id DESC LIMIT $1";
    let rows = client
        .query_typed(&statement, &[(&most, Type::INT8)])
        .await?;
    let states = rows.iter().map(|row| job_state(row, task));
    Ok(states.collect::<Result<_, _>>()?)
}

pub(super) async fn counts(client: &Client, task: &str) -> Result<Counts, Fault> {
    let statement = of_task(
        "SELECT count(*) FILTER (WHERE state <> 'running' AND available_at <= now),
                count(*) FILTER (WHERE state <> 'running' AND available_at > now),
                count(*) FILTER (WHERE state = 'running'),
                (extract(epoch FROM now - min(available_at) FILTER (WHERE state <> 'running' AND available_at <= now))
                 * 1000000)::bigint
         FROM absurd.\"r_{task}\", (SELECT absurd.current_time() AS now OFFSET 0) n
         WHERE state IN ('pending', 'sleeping', 'running') GROUP BY now",
        task,
    );
    let Some(row) = client.query_typed_opt(&statement, &[]).await? else {
        return Ok(Counts::default());
    };
    let count = |column: usize| {
        row.try_get::<_, i64>(column)
            .map(|n| n.try_into().unwrap_or(0))
    };
    Ok(Counts {
        due: count(0)?,
        delayed: count(1)?,
        running: count(2)?,
        oldest: row.try_get::<_, Option<i64>>(3)?.map(after),
    })
}

/// So many microseconds; none for a time that has passed.
pub(super) fn after(micros: i64) -> Duration {
    Duration::from_micros(micros.try_into().unwrap_or(0))
}

/// The microseconds until the earliest job of each task is due or the earliest lease ends. Tasks without either are left out. The
/// task that has been due for longest comes first.
pub(super) async fn oldest(
    client: &Client,
    tasks: &[(Arc<str>, usize)],
) -> Result<Vec<(i64, Arc<str>, usize)>, Fault> {
    // Each sub-query reads one entry of an index.
    let of_task = |(index, (task, _)): (usize, &(Arc<str>, usize))| {
        of_task(
            "SELECT {index}::bigint AS task, least(
                 (SELECT available_at FROM absurd.\"r_{task}\" WHERE state = 'pending' ORDER BY available_at LIMIT 1),
                 (SELECT available_at FROM absurd.\"r_{task}\" WHERE state = 'sleeping' ORDER BY available_at LIMIT 1),
                 (SELECT claim_expires_at FROM absurd.\"r_{task}\"
                  WHERE state = 'running' AND claim_expires_at IS NOT NULL ORDER BY claim_expires_at LIMIT 1)
             ) AS at",
            task,
        )
        .replace("{index}", &index.to_string())
    };
    let each: Vec<_> = tasks.iter().enumerate().map(of_task).collect();
    // A job that waits for an event has no time.
    let statement = format!(
        "SELECT task, (extract(epoch FROM at - absurd.current_time()) * 1000000)::bigint AS until
         FROM ({}) o WHERE at < 'infinity' ORDER BY at",
        each.join(" UNION ALL ")
    );
    let mut due = Vec::new();
    for row in client.query_typed(&statement, &[]).await? {
        let index: i64 = row.try_get(0)?;
        let (task, most) = &tasks[usize::try_from(index).unwrap_or(0)];
        due.push((row.try_get(1)?, task.clone(), *most));
    }
    Ok(due)
}
