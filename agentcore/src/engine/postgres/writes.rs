//! The statements that write. All changes are made by Absurd's functions, except for one column in [`finish`] and one in [`renew`].
//!
//! Absurd's functions compare the number of a run only. After a release the next holder has that number too, so each
//! statement here also compares `claimed_by`, under a lock of the run's row. The order of locks is Absurd's: run, then task.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::fault::Fault;
use super::types::{JsonText, Number};
use super::wake_up;
use crate::engine::error::EngineError;
use crate::engine::stored;
use crate::engine::{Cancel, Failure, Hold, JobId, Json, NewJob, Outcome, Run, Submitted};

/// The header that has the delay of a job, in microseconds.
pub(super) const DELAY: &str = "agentcore-delay";

/// Parameters with their types.
pub(super) type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A time in microseconds, as far as PostgreSQL's times go.
pub(super) fn micros(time: Duration) -> i64 {
    const MOST: i64 = 100 * 365 * 24 * 60 * 60 * 1_000_000;
    i64::try_from(time.as_micros()).unwrap_or(MOST).min(MOST)
}

/// Whole seconds of a lease: Absurd counts in them.
pub(super) fn seconds(lease: Duration) -> i32 {
    let up = u64::from(lease.subsec_nanos() > 0);
    i32::try_from(lease.as_secs().saturating_add(up))
        .unwrap_or(i32::MAX)
        .max(1)
}

pub(super) async fn submit(client: &Client, job: &NewJob) -> Result<Submitted, Fault> {
    let mut headers = job.headers.clone();
    let delay = micros(job.after);
    if delay > 0 {
        headers.insert(DELAY.to_owned(), delay.to_string());
    }
    let options = serde_json::json!({
        "headers": headers,
        "max_attempts": job.max_attempts,
        // After a crash the lease was the pause; errors name their own.
        "retry_strategy": { "kind": "none" },
        "idempotency_key": job.key,
    });
    let options = JsonText(options.to_string());
    let input = JsonText(job.input.text());
    let channel = wake_up::channel(&job.task);
    let task = &*job.task;
    let row = if delay == 0 {
        let statement =
            "SELECT s.task_id, s.created, CASE WHEN s.created THEN pg_notify($4, '')::text END
             FROM absurd.spawn_task($1, $1, $2, $3) s";
        let parameters: Parameters<'_> = &[
            (&task, Type::TEXT),
            (&input, Type::JSONB),
            (&options, Type::JSONB),
            (&channel, Type::TEXT),
        ];
        client.query_typed_one(statement, parameters).await?
    } else {
        // `spawn_task` knows no delay. It makes jobs that are due at what the session says is the time, which is a later one
        // for this statement.
        let statement = "SELECT s.task_id, s.created FROM (
                 SELECT set_config(
                     'absurd.fake_now', (absurd.current_time() + $4 * interval '1 microsecond')::text, true
                 ) AS later OFFSET 0
             ) f, LATERAL absurd.spawn_task($1, $1, $2, CASE WHEN f.later IS NOT NULL THEN $3 END) s";
        let parameters: Parameters<'_> = &[
            (&task, Type::TEXT),
            (&input, Type::JSONB),
            (&options, Type::JSONB),
            (&delay, Type::INT8),
        ];
        client.query_typed_one(statement, parameters).await?
    };
    let Number(number) = row.try_get(0)?;
    let id = JobId::new(job.task.clone(), number);
    let created: bool = row.try_get(1)?;
    if created || is_input(client, &id, &input).await? {
        return Ok(Submitted { id, created });
    }
    Err(Fault::Other(EngineError::KeyConflict {
        key: job.key.clone().unwrap_or_default(),
        earlier: id,
    }))
}

/// Whether a job has this input. One that has just been removed had it as well.
async fn is_input(client: &Client, id: &JobId, input: &JsonText<&str>) -> Result<bool, Fault> {
    let statement = format!(
        "SELECT params = $2 FROM absurd.\"t_{}\" WHERE task_id = $1",
        id.task()
    );
    let parameters: Parameters<'_> = &[(&Number(id.number()), Type::UUID), (input, Type::JSONB)];
    let row = client.query_typed_opt(&statement, parameters).await?;
    Ok(row.map_or(Ok(true), |row| row.try_get(0))?)
}

pub(super) async fn cancel(client: &Client, id: &JobId) -> Result<Cancel, Fault> {
    let number = Number(id.number());
    let task = id.task();
    let statement = format!(
        "SELECT t.state IN ('completed', 'failed', 'cancelled'),
                absurd.cancel_task($1, t.task_id)::text,
                CASE WHEN t.state IN ('pending', 'sleeping', 'running') THEN pg_notify($3, $4)::text END
         FROM absurd.\"t_{task}\" t WHERE t.task_id = $2"
    );
    let (channel, payload) = (wake_up::channel(task), wake_up::cancelled(id));
    let parameters: Parameters<'_> = &[
        (&task, Type::TEXT),
        (&number, Type::UUID),
        (&channel, Type::TEXT),
        (&payload, Type::TEXT),
    ];
    let Some(row) = client.query_typed_opt(&statement, parameters).await? else {
        return Ok(Cancel::Unknown);
    };
    if row.try_get(0)? {
        return Ok(Cancel::Ended);
    }
    // It may have ended between the look and the call.
    let statement = format!("SELECT state FROM absurd.\"t_{task}\" WHERE task_id = $1");
    let row = client
        .query_typed_opt(&statement, &[(&number, Type::UUID)])
        .await?;
    let state: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(match state.as_deref() {
        Some("cancelled") | None => Cancel::Cancelled,
        Some(_) => Cancel::Ended,
    })
}

/// Runs of one task, as parameters.
struct Given {
    runs: Vec<Number>,
    holders: Vec<String>,
    jobs: Vec<Number>,
}

impl Given {
    fn new(runs: &[&Run]) -> Self {
        Self {
            runs: runs.iter().map(|run| Number(run.number)).collect(),
            holders: runs.iter().map(|run| run.holder.to_string()).collect(),
            jobs: runs.iter().map(|run| Number(run.id.number())).collect(),
        }
    }
}

/// Changes each of the runs that have their jobs. `change` is the SQL that does it: it reads `h.n` and `h.run_id` of the runs
/// from `held h`, and returns `n` of those that it has changed. `$1` is the task and `$5` the argument.
async fn for_each(
    client: &Client,
    task: &str,
    runs: &[&Run],
    change: &str,
    argument: (&(dyn ToSql + Sync), Type),
) -> Result<Vec<Hold>, Fault> {
    let given = Given::new(runs);
    let statement = format!(
        "WITH given AS MATERIALIZED (
             SELECT * FROM unnest($2, $3, $4) WITH ORDINALITY AS g (run_id, holder, task_id, n)
         ), held AS MATERIALIZED (
             SELECT r.run_id, g.n FROM given g JOIN absurd.\"r_{task}\" r ON r.run_id = g.run_id
             WHERE r.claimed_by = g.holder AND r.state = 'running'
             ORDER BY r.run_id FOR UPDATE OF r
         ), changed AS MATERIALIZED ({change})
         SELECT count(c.n) > 0, bool_or(t.state = 'cancelled')
         FROM given g LEFT JOIN changed c ON c.n = g.n LEFT JOIN absurd.\"t_{task}\" t ON t.task_id = g.task_id
         GROUP BY g.n ORDER BY g.n"
    );
    let parameters: Parameters<'_> = &[
        (&task, Type::TEXT),
        (&given.runs, Type::UUID_ARRAY),
        (&given.holders, Type::TEXT_ARRAY),
        (&given.jobs, Type::UUID_ARRAY),
        argument,
    ];
    let mut holds = Vec::with_capacity(runs.len());
    for row in client.query_typed(&statement, parameters).await? {
        holds.push(match (row.try_get(0)?, row.try_get(1)?) {
            (true, _) => Hold::Held,
            (false, Some(true)) => Hold::Cancelled,
            (false, _) => Hold::Lost,
        });
    }
    Ok(holds)
}

/// Extends the leases of runs. `absurd.extend_claim` does it for one run, and costs the server ten times as much for each. As that
/// function, this one refuses a run without a lease.
pub(super) async fn renew(
    client: &Client,
    task: &str,
    runs: &[&Run],
    lease: Duration,
) -> Result<Vec<Hold>, Fault> {
    let change = format!(
        "UPDATE absurd.\"r_{task}\" r SET claim_expires_at = absurd.current_time() + make_interval(secs => $5)
         FROM held h WHERE r.run_id = h.run_id AND r.claim_expires_at IS NOT NULL RETURNING h.n"
    );
    for_each(client, task, runs, &change, (&seconds(lease), Type::INT4)).await
}

pub(super) async fn release(
    client: &Client,
    task: &str,
    runs: &[&Run],
    after: Duration,
) -> Result<Vec<Hold>, Fault> {
    let change = format!(
        "SELECT h.n,
                absurd.schedule_run($1, h.run_id, absurd.current_time() + $5 * interval '1 microsecond')::text,
                CASE WHEN $5 = 0 THEN pg_notify('{}', '')::text END
         FROM held h",
        wake_up::channel(task)
    );
    for_each(client, task, runs, &change, (&micros(after), Type::INT8)).await
}

pub(super) async fn record(
    client: &Client,
    run: &Run,
    name: &str,
    value: &Json,
) -> Result<Hold, Fault> {
    let call = Call {
        function: "absurd.set_task_checkpoint_state($1, $4, $5, $6, h.run_id)",
        of: "held h",
        repeated: "false",
        before: "",
    };
    let arguments: Parameters<'_> = &[(&name, Type::TEXT), (&JsonText(value.text()), Type::JSONB)];
    call.of_run(client, run, arguments).await
}

pub(super) async fn finish(client: &Client, run: &Run, outcome: &Outcome) -> Result<Hold, Fault> {
    let reason = |failure: &Failure| JsonText(stored::of_failure(failure));
    let has_failed = "r.state = 'failed' AND r.failure_reason = $5";
    match outcome {
        Outcome::Done(value) => {
            let call = Call {
                function: "absurd.complete_run($1, h.run_id, $5)",
                of: "held h",
                repeated: "r.state = 'completed'",
                before: "",
            };
            let value = JsonText(value.text());
            call.of_run(client, run, &[(&value, Type::JSONB)]).await
        }
        Outcome::Retry { failure, after } => {
            let call = Call {
                function: "absurd.fail_run($1, h.run_id, $5, absurd.current_time() + $6 * interval '1 microsecond')",
                of: "held h",
                repeated: has_failed,
                before: "",
            };
            let arguments: Parameters<'_> = &[
                (&reason(failure), Type::JSONB),
                (&micros(*after), Type::INT8),
            ];
            call.of_run(client, run, arguments).await
        }
        Outcome::Failed(failure) => {
            // No function of Absurd ends a task before its last attempt. So this attempt is made the last one, which
            // `retry_task` can change.
            let task = run.id.task();
            let before = format!(
                ", last AS (
                     UPDATE absurd.\"t_{task}\" t SET max_attempts = least(t.max_attempts, t.attempts)
                     FROM held WHERE t.task_id = $4 RETURNING held.run_id
                 )"
            );
            let call = Call {
                function: "absurd.fail_run($1, h.run_id, $5)",
                of: "last h",
                repeated: has_failed,
                before: &before,
            };
            call.of_run(client, run, &[(&reason(failure), Type::JSONB)])
                .await
        }
    }
}

/// A call of a function for one run, if that has its job. In all parts `$1` is the task, `$2` the run, `$3` its holder and `$4`
/// the job; from `$5` on there are arguments.
struct Call<'a> {
    /// The function, for a row `h` with the run.
    function: &'a str,
    /// Where the row comes from: `held h`, or what `before` makes of it.
    of: &'a str,
    /// Whether the row `r` of a run that has ended shows that this call was made before.
    repeated: &'a str,
    before: &'a str,
}

impl Call<'_> {
    async fn of_run(
        &self,
        client: &Client,
        run: &Run,
        arguments: Parameters<'_>,
    ) -> Result<Hold, Fault> {
        let Self {
            function,
            of,
            repeated,
            before,
        } = self;
        let task = run.id.task();
        let statement = format!(
            "WITH held AS MATERIALIZED (
                 SELECT run_id FROM absurd.\"r_{task}\"
                 WHERE run_id = $2 AND claimed_by = $3 AND state = 'running' FOR UPDATE
             ){before}, called AS MATERIALIZED (
                 SELECT {function}::text AS done FROM {of}
             )
             SELECT (SELECT count(done) FROM called) > 0,
                    (SELECT state = 'cancelled' FROM absurd.\"t_{task}\" WHERE task_id = $4),
                    (SELECT {repeated} FROM absurd.\"r_{task}\" r WHERE r.run_id = $2 AND r.claimed_by = $3)"
        );
        let (number, job, holder) = (Number(run.number), Number(run.id.number()), &*run.holder);
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&task, Type::TEXT),
            (&number, Type::UUID),
            (&holder, Type::TEXT),
            (&job, Type::UUID),
        ];
        parameters.extend(arguments.iter().cloned());
        let row = client.query_typed_one(&statement, &parameters).await?;
        let is_called: bool = row.try_get(0)?;
        let is_cancelled: Option<bool> = row.try_get(1)?;
        let is_repeated: Option<bool> = row.try_get(2)?;
        if is_called || is_repeated == Some(true) {
            return Ok(Hold::Held);
        }
        if is_cancelled == Some(true) {
            return Ok(Hold::Cancelled);
        }
        // The statement may have waited for another one that has ended the run, such as the first one of this call. It sees the
        // rows as they were before. The next statement sees them as they are.
        let statement = format!(
            "SELECT (SELECT state = 'cancelled' FROM absurd.\"t_{task}\" WHERE task_id = $4),
                    (SELECT {repeated} FROM absurd.\"r_{task}\" r WHERE r.run_id = $2 AND r.claimed_by = $3)"
        );
        let row = client.query_typed_one(&statement, &parameters).await?;
        let (is_cancelled, is_repeated): (Option<bool>, Option<bool>) =
            (row.try_get(0)?, row.try_get(1)?);
        Ok(match (is_repeated, is_cancelled) {
            (Some(true), _) => Hold::Held,
            (_, Some(true)) => Hold::Cancelled,
            _ => Hold::Lost,
        })
    }
}
