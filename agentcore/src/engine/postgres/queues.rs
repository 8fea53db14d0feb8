//! The schema's version, and the queues: one for each task, under its name.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::fault::{self, Fault};
use crate::engine::error::EngineError;
use crate::util::sync::Mutex;

/// The releases of Absurd whose functions these statements know.
const RELEASES: &str = "0.5.";
/// The one that the commands of messages install.
const RELEASE: &str = "0.5.1";

/// The queues that are known to exist.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<BTreeSet<Arc<str>>>);

impl Queues {
    /// Makes the queues that are not known to exist.
    pub(super) async fn make(&self, client: &Client, tasks: &[Arc<str>]) -> Result<(), Fault> {
        let new: Vec<_> = {
            let known = self.0.lock();
            let new = tasks.iter().filter(|task| !known.contains(*task));
            new.cloned().collect()
        };
        if !new.is_empty() {
            make(client, &new).await?;
            self.0.lock().extend(new);
        }
        Ok(())
    }

    /// Carries out a call that needs the queue of a task. A queue that has been dropped is made again.
    pub(super) async fn with<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        client: &Client,
        tasks: &[Arc<str>],
        call: impl Fn() -> F,
    ) -> Result<T, Fault> {
        self.make(client, tasks).await?;
        match call().await {
            Err(Fault::NoQueue) => {
                self.0.lock().clear();
                self.make(client, tasks).await?;
                call().await
            }
            answer => answer,
        }
    }
}

/// The schema's version, which is one of those that are known.
pub(super) async fn check(client: &Client, url: &str) -> Result<String, Fault> {
    let statement = "SELECT absurd.get_schema_version(), current_setting('synchronous_commit')";
    let row = match client
        .query_typed_one(statement, &[])
        .await
        .map_err(Fault::from)
    {
        Ok(row) => row,
        Err(Fault::Other(EngineError::Schema(why))) => {
            return Err(schema(format!(
                "{why}; run `uvx absurdctl@{RELEASE} init -d '{url}'` once, with the password in PGPASSWORD"
            )));
        }
        Err(fault) => return Err(fault),
    };
    let version: String = row.try_get(0)?;
    if !version.starts_with(RELEASES) {
        return Err(schema(format!(
            "the database has version {version:?} of Absurd's schema, and {RELEASES}x is needed; run \
             `uvx absurdctl@{RELEASE} migrate -d '{url}'`, with the password in PGPASSWORD"
        )));
    }
    let commit: String = row.try_get(1)?;
    if commit == "off" {
        return Err(schema(
            "the database has `synchronous_commit` off, so it may forget jobs that it has accepted; set it to `on` for this user"
                .to_owned(),
        ));
    }
    Ok(version)
}

/// Checks that jobs can be stored in the queues.
pub(super) async fn may_write(client: &Client, tasks: &[Arc<str>]) -> Result<(), Fault> {
    let names: Vec<&str> = tasks.iter().map(|task| &**task).collect();
    // A table that is not there has no privileges, and is no problem of theirs.
    let statement = "SELECT name FROM unnest($1) AS name, unnest(ARRAY['t_', 'r_']) AS kind, \
                     to_regclass(format('absurd.%I', kind || name)) AS stored \
                     WHERE NOT (has_table_privilege(stored, 'INSERT') AND has_table_privilege(stored, 'UPDATE')) LIMIT 1";
    let rows = client
        .query_typed(statement, &[(&names, Type::TEXT_ARRAY)])
        .await?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let name: String = row.try_get(0)?;
            Err(schema(format!(
                "the database does not let this user store jobs in the queue {name:?}; it needs `insert` and `update` on the \
                 tables of the queue"
            )))
        }
    }
}

fn schema(text: String) -> Fault {
    Fault::Other(EngineError::Schema(text))
}

/// Makes the queues that there are not yet.
pub(super) async fn make(client: &Client, tasks: &[Arc<str>]) -> Result<(), Fault> {
    let names: Vec<&str> = tasks.iter().map(|task| &**task).collect();
    let known = "SELECT queue_name FROM absurd.queues WHERE queue_name = ANY($1)";
    let rows = client
        .query_typed(known, &[(&names, Type::TEXT_ARRAY)])
        .await?;
    let mut known = Vec::new();
    for row in rows {
        known.push(row.try_get::<_, String>(0)?);
    }
    for name in names {
        if known.iter().any(|known| known == name) {
            continue;
        }
        if let Err(error) = client.batch_execute(&made(name)).await {
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                return Err(schema(format!(
                    "the database has no queue {name:?}, and does not let this user make it ({}); run \
                     `uvx absurdctl@{RELEASE} create-queue {name}` as the owner of the schema",
                    fault::text(&error)
                )));
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// The statements that make a queue, which are one transaction. The lock is for processes that start together: two that make one
/// queue would collide.
///
/// Absurd's own indexes make a claim read all jobs that wait. With the index of the last statement it reads those that it takes. A queue
/// that has been made by another program does not get it here, because its table may be large, and making an index locks it.
///
/// Where the function makes tables that belong to another user, this one may not make an index on them. Then the block undoes the index
/// alone, and the queue works without it.
fn made(name: &str) -> String {
    format!(
        "SELECT pg_advisory_xact_lock(7211605);
         SELECT absurd.create_queue('{name}');
         DO $$ BEGIN
             CREATE INDEX IF NOT EXISTS \"r_{name}_due\" ON absurd.\"r_{name}\" (available_at, run_id)
                 WHERE state IN ('pending', 'sleeping');
         EXCEPTION WHEN insufficient_privilege THEN
             NULL;
         END $$"
    )
}
