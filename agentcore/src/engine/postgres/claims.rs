//! The statements that claim.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::fault::Fault;
use super::reads::{after, at_least_zero, oldest};
use super::types::{JsonText, Number};
use super::writes::{self, DELAY, Parameters, seconds};
use crate::engine::holder::Holders;
use crate::engine::stored;
use crate::engine::{Claim, Claimed, JobId, Run, Wanted};
use crate::util::sync::Mutex;

/// How long a job waits if its task's name differs from its queue's. Another program put it there, and may know the task.
const FOREIGN_PAUSE: Duration = Duration::from_secs(5);

/// Holders of claims whose answers were lost. The server may carry such a claim out later, and no process would run its jobs.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<Vec<(Arc<str>, Instant)>>);

impl Unanswered {
    /// How long after its loss a claim may still be carried out. The server's limit for a statement and the cancellation
    /// are over long before.
    const WATCHED: Duration = Duration::from_secs(30);

    pub(super) fn note(&self, holder: Arc<str>) {
        self.0.lock().push((holder, Instant::now()));
    }

    /// Those of this process. What one that was restored from a snapshot asked for before, its original may have got.
    fn holders(&self, of_process: &Holders) -> Vec<String> {
        let mut claims = self.0.lock();
        claims.retain(|(holder, since)| {
            since.elapsed() < Self::WATCHED && of_process.has_named(holder)
        });
        claims
            .iter()
            .map(|(holder, _)| holder.to_string())
            .collect()
    }
}

/// A claim that waits for its answer. Dropping it notes that the answer was lost.
struct Asked<'a> {
    holder: Arc<str>,
    unanswered: &'a Unanswered,
    is_answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.unanswered.note(self.holder.clone());
        }
    }
}

/// Makes the jobs due again that claims without an answer have taken. Their attempts are not used up.
async fn release_unanswered(
    client: &Client,
    wanted: &Wanted,
    holders: &[String],
) -> Result<(), Fault> {
    if holders.is_empty() {
        return Ok(());
    }
    for (task, _) in &wanted.tasks {
        let statement = format!(
            "WITH held AS MATERIALIZED (
                 SELECT run_id FROM absurd.\"r_{task}\" WHERE state = 'running' AND claimed_by = ANY($2)
                 ORDER BY run_id FOR UPDATE
             )
             SELECT absurd.schedule_run($1, h.run_id, absurd.current_time())::text FROM held h"
        );
        let name = &**task;
        let parameters: Parameters<'_> = &[(&name, Type::TEXT), (&holders, Type::TEXT_ARRAY)];
        client.query_typed(&statement, parameters).await?;
    }
    Ok(())
}

/// Claims due jobs. One statement finds none; of a single task, one statement claims.
pub(super) async fn claim(
    client: &Client,
    wanted: &Wanted,
    holders: &Holders,
    unanswered: &Unanswered,
) -> Result<Claimed, Fault> {
    release_unanswered(client, wanted, &unanswered.holders(holders)).await?;
    // Each claim has a holder of its own, so that one without an answer can be told from the others.
    let asked = || Asked {
        holder: holders.next(),
        unanswered,
        is_answered: false,
    };
    let tasks: Vec<_> = wanted
        .tasks
        .iter()
        .filter(|(_, most)| *most > 0)
        .cloned()
        .collect();
    let mut claims = Vec::new();
    if tasks.is_empty() || wanted.free == 0 {
        return Ok(Claimed::default());
    }
    if let [(task, most)] = &tasks[..] {
        let free = wanted.free.min(*most);
        claims = of_task(client, task, free, asked(), wanted).await?;
    }
    if !claims.is_empty() {
        return Ok(Claimed { claims, next: None });
    }
    let mut due = oldest(client, &tasks).await?;
    if tasks.len() > 1 && due.first().is_some_and(|(until, ..)| *until <= 0) {
        for (until, task, most) in &due {
            let free = (*most).min(wanted.free - claims.len());
            if *until <= 0 && free > 0 {
                match of_task(client, task, free, asked(), wanted).await {
                    Ok(more) => claims.extend(more),
                    // What has been claimed before is run. The fault comes again if it lasts.
                    Err(_) if !claims.is_empty() => break,
                    Err(fault) => return Err(fault),
                }
            }
        }
        if !claims.is_empty() {
            return Ok(Claimed { claims, next: None });
        }
        // The due jobs have failed with their last attempt, or other processes have taken them.
        due = oldest(client, &tasks).await?;
    }
    let next = due.first().map(|(until, ..)| after(*until));
    Ok(Claimed { claims, next })
}

async fn of_task(
    client: &Client,
    task: &Arc<str>,
    free: usize,
    mut asked: Asked<'_>,
    wanted: &Wanted,
) -> Result<Vec<Claim>, Fault> {
    let holder = asked.holder.clone();
    // Without statistics of the queue, PostgreSQL sorts all jobs that wait instead of reading them in the order of the index, and
    // compiles the query of each claim. The settings end with the statement.
    //
    // The sub-query sees the job as it was before this claim, and not at all if it was submitted while the statement runs.
    let statement = format!(
        "WITH planner AS MATERIALIZED (
             SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)
         )
         SELECT c.run_id, c.task_id, c.attempt, c.task_name, c.params, c.max_attempts, c.headers,
                (SELECT jsonb_build_array(
                     t.idempotency_key,
                     (extract(epoch FROM absurd.current_time() - t.first_started_at) * 1000000)::bigint
                 ) FROM absurd.\"t_{task}\" t WHERE t.task_id = c.task_id) AS earlier
         FROM planner, LATERAL absurd.claim_task($1, $2, $3, CASE WHEN planner IS NOT NULL THEN $4 END) c"
    );
    let quantity = i32::try_from(free).unwrap_or(i32::MAX);
    let (name, holder_text) = (&**task, &*holder);
    let parameters: Parameters<'_> = &[
        (&name, Type::TEXT),
        (&holder_text, Type::TEXT),
        (&seconds(wanted.lease), Type::INT4),
        (&quantity, Type::INT4),
    ];
    let mut claims = Vec::new();
    let mut foreign = Vec::new();
    for row in client.query_typed(&statement, parameters).await? {
        let Number(job) = row.try_get("task_id")?;
        let Number(number) = row.try_get("run_id")?;
        let run = Run {
            id: JobId::new(task.clone(), job),
            number,
            holder: holder.clone(),
        };
        if row.try_get::<_, &str>("task_name")? == &**task {
            claims.push(claimed(client, &row, run).await?);
        } else {
            foreign.push(run);
        }
    }
    if !foreign.is_empty() {
        let runs: Vec<_> = foreign.iter().collect();
        writes::release(client, task, &runs, FOREIGN_PAUSE).await?;
    }
    asked.is_answered = true;
    Ok(claims)
}

async fn claimed(client: &Client, row: &Row, run: Run) -> Result<Claim, Fault> {
    let json = |column: &str| row.try_get::<_, Option<JsonText<String>>>(column);
    let (key, since) = match json("earlier")? {
        Some(JsonText(earlier)) => serde_json::from_str(&earlier).unwrap_or_default(),
        None => (key(client, &run.id).await?, None),
    };
    let mut headers =
        json("headers")?.map_or_else(Default::default, |text| stored::headers(&text.0));
    headers.remove(DELAY);
    Ok(Claim {
        run,
        attempt: at_least_zero(row.try_get("attempt")?),
        max_attempts: row
            .try_get::<_, Option<i32>>("max_attempts")?
            .map_or(u32::MAX, at_least_zero),
        input: stored::value(json("params")?.map(|text| text.0)),
        headers,
        key,
        since_first_start: since.map(after),
    })
}

async fn key(client: &Client, id: &JobId) -> Result<Option<String>, Fault> {
    let statement = format!(
        "SELECT idempotency_key FROM absurd.\"t_{}\" WHERE task_id = $1",
        id.task()
    );
    let row = client
        .query_typed_opt(&statement, &[(&Number(id.number()), Type::UUID)])
        .await?;
    Ok(row.map_or(Ok(None), |row| row.try_get(0))?)
}
