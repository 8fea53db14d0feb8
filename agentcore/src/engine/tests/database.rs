//! What only the engine of a database has.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::{Server, absurd_python, server};
use super::world::{done, json};
use crate::engine::error::EngineError;
use crate::engine::postgres::Postgres;
use crate::engine::{Claim, Engine, Hold, NewJob, Notice, Status, Wanted};
use crate::platform;

/// Long enough for anything that is expected to happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) fn task() -> Arc<str> {
    format!("task-{:x}", platform::random_number()).into()
}

pub(super) fn engine(server: &Server) -> Postgres {
    Postgres::new(&server.url()).unwrap()
}

/// An engine whose connections have the name of a task.
pub(super) fn named(server: &Server, task: &Arc<str>) -> Postgres {
    Postgres::new(&format!("{}?application_name={task}", server.url())).unwrap()
}

pub(super) fn job(task: &Arc<str>) -> NewJob {
    NewJob {
        task: task.clone(),
        input: json("input"),
        key: None,
        after: Duration::ZERO,
        max_attempts: 3,
        headers: [].into(),
    }
}

pub(super) async fn claim(engine: &Postgres, task: &Arc<str>) -> Vec<Claim> {
    let wanted = Wanted {
        tasks: vec![(task.clone(), 9)],
        free: 9,
        lease: Duration::from_secs(30),
    };
    engine.claim(&wanted).await.unwrap().claims
}

#[tokio::test]
async fn the_schema_is_checked_and_queues_are_made() {
    let Some(server) = server() else { return };
    let task = task();
    let about = engine(server)
        .check(std::slice::from_ref(&task))
        .await
        .unwrap();
    assert_eq!((about.engine, &*about.schema), ("postgres", "0.5.1"));
    assert!(about.location.ends_with("/jobs"), "{}", about.location);
    let queues = server
        .psql("jobs", "SELECT queue_name FROM absurd.queues")
        .unwrap();
    assert!(queues.lines().any(|queue| *queue == *task), "{queues}");
}

#[tokio::test]
async fn a_claim_reads_the_jobs_that_it_takes_and_not_all_that_wait() {
    const WAITING: u32 = 3000;
    const CLAIMS: u32 = 20;
    let Some(server) = server() else { return };
    let (engine, task) = (engine(server), task());
    engine.check(std::slice::from_ref(&task)).await.unwrap();
    let submit = format!(
        "SELECT count(*) FROM generate_series(1, {WAITING}),
             LATERAL absurd.spawn_task('{task}', '{task}', to_jsonb(generate_series), '{{}}')"
    );
    server.psql("jobs", &submit).unwrap();
    let wanted = Wanted {
        tasks: vec![(task.clone(), 1)],
        free: 1,
        lease: Duration::from_secs(60),
    };
    for _ in 0..CLAIMS {
        assert_eq!(engine.claim(&wanted).await.unwrap().claims.len(), 1);
    }
    // PostgreSQL counts what it reads in its index, and tells it a moment later.
    let counted = format!(
        "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'r_{task}_due'"
    );
    let read = loop {
        let counted = server.psql("jobs", &counted).unwrap();
        let (scans, read) = counted.trim().split_once('|').expect("the index");
        if scans.parse::<u32>().unwrap() >= CLAIMS {
            break read.parse::<u32>().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // With each claim that reads all that wait it is 60 000.
    assert!(read < WAITING, "{read}");
}

#[tokio::test]
async fn a_database_without_the_schema_or_of_another_version_says_which_command_to_run() {
    let Some(server) = server() else { return };
    server.psql("jobs", "CREATE DATABASE bare").unwrap();
    let url = server
        .url()
        .replace("/jobs", "/bare")
        .replace("postgres@", "postgres:hunter2@");
    let refused = async || {
        let error = Postgres::new(&url).unwrap().check(&[]).await.unwrap_err();
        assert!(matches!(error, EngineError::Schema(_)), "{error:?}");
        let text = error.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        text
    };
    let text = refused().await;
    assert!(
        text.contains("absurdctl@0.5.1 init -d 'postgres://postgres@127.0.0.1:"),
        "{text}"
    );
    let other = "CREATE SCHEMA absurd; CREATE FUNCTION absurd.get_schema_version() RETURNS text LANGUAGE sql AS
         $$ SELECT '0.4.0' $$";
    server.psql("bare", other).unwrap();
    let text = refused().await;
    assert!(
        text.contains("\"0.4.0\"") && text.contains("absurdctl@0.5.1 migrate"),
        "{text}"
    );
    let off = "ALTER DATABASE bare SET synchronous_commit = off; CREATE OR REPLACE FUNCTION absurd.get_schema_version()
         RETURNS text LANGUAGE sql AS $$ SELECT '0.5.9' $$";
    server.psql("bare", off).unwrap();
    let text = refused().await;
    assert!(text.contains("synchronous_commit"), "{text}");
    let on = "ALTER DATABASE bare SET synchronous_commit = on";
    server.psql("bare", on).unwrap();
    assert!(Postgres::new(&url).unwrap().check(&[]).await.is_ok());
}

#[tokio::test]
async fn a_user_who_may_not_make_queues_is_told_the_command() {
    let Some(server) = server() else { return };
    let task = task();
    let user = "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA absurd TO worker; GRANT SELECT ON absurd.queues TO worker";
    server.psql("jobs", user).unwrap();
    let url = server.url().replace("postgres@", "worker@");
    let error = Postgres::new(&url)
        .unwrap()
        .check(std::slice::from_ref(&task))
        .await
        .unwrap_err();
    let command = format!("absurdctl@0.5.1 create-queue {task}");
    assert!(error.to_string().contains(&command), "{error}");
}

#[tokio::test]
async fn a_user_who_may_only_read_is_told_before_the_first_job() {
    let Some(server) = server() else { return };
    let task = task();
    let tasks = std::slice::from_ref(&task);
    engine(server).check(tasks).await.unwrap();
    let user = "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA absurd TO reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA absurd TO reader";
    server.psql("jobs", user).unwrap();
    let url = server.url().replace("postgres@", "reader@");
    let reader = Postgres::new(&url).unwrap();
    let error = reader.check(tasks).await.unwrap_err().to_string();
    assert!(
        error.contains(&*task) && error.contains("`insert` and `update`"),
        "{error}"
    );
    let more = "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA absurd TO reader";
    server.psql("jobs", more).unwrap();
    reader.check(tasks).await.unwrap();
}

#[tokio::test]
async fn a_queue_whose_tables_belong_to_another_user_works_without_its_index() {
    let Some(server) = server() else { return };
    server.psql("postgres", "CREATE DATABASE owned").unwrap();
    let schema = "CREATE SCHEMA absurd;
         CREATE FUNCTION absurd.get_schema_version() RETURNS text LANGUAGE sql AS $$ SELECT '0.5.9' $$;
         CREATE TABLE absurd.queues (queue_name text);
         CREATE FUNCTION absurd.create_queue(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             INSERT INTO absurd.queues VALUES (name);
             EXECUTE format('CREATE TABLE absurd.%I (run_id uuid, state text, available_at timestamptz)', 'r_' || name);
             EXECUTE format('GRANT INSERT, UPDATE ON absurd.%I TO guest', 'r_' || name);
         END $$;
         CREATE ROLE guest LOGIN;
         GRANT USAGE ON SCHEMA absurd TO guest; GRANT SELECT ON absurd.queues TO guest";
    server.psql("owned", schema).unwrap();
    let url = server.url().replace("/jobs", "/owned");
    let indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'absurd'";
    for (user, has_index) in [("guest", false), ("postgres", true)] {
        let url = url.replace("postgres@", &format!("{user}@"));
        let task = task();
        let engine = Postgres::new(&url).unwrap();
        engine.check(std::slice::from_ref(&task)).await.unwrap();
        let queues = server.psql("owned", "SELECT * FROM absurd.queues").unwrap();
        assert!(queues.contains(&*task), "{queues}");
        let indexes = server.psql("owned", indexes).unwrap();
        let index = format!("r_{task}_due");
        assert_eq!(indexes.contains(&index), has_index, "{user}: {indexes}");
    }
}

#[tokio::test]
async fn a_run_without_a_lease_gets_none() {
    let Some(server) = server() else { return };
    let (engine, task) = (engine(server), task());
    engine.submit(job(&task)).await.unwrap();
    let run = claim(&engine, &task).await.remove(0).run;
    let renew = async || {
        let lease = Duration::from_secs(30);
        engine
            .renew(std::slice::from_ref(&run), lease)
            .await
            .unwrap()
    };
    assert_eq!(renew().await, [Hold::Held]);
    let none = format!("UPDATE absurd.\"r_{task}\" SET claim_expires_at = NULL");
    server.psql("jobs", &none).unwrap();
    assert_eq!(renew().await, [Hold::Lost]);
    let leases = format!("SELECT count(claim_expires_at) FROM absurd.\"r_{task}\"");
    assert_eq!(server.psql("jobs", &leases).unwrap().trim(), "0");
}

#[tokio::test]
async fn a_server_that_is_away_makes_calls_fail_and_is_connected_to_again() {
    let Some(server) = server() else { return };
    // Nothing listens there.
    let gone = Postgres::new("postgres://me:hunter2@127.0.0.1:1/jobs").unwrap();
    assert!(gone.is_reachable(), "before the first call");
    let error = gone.submit(job(&task())).await.unwrap_err();
    assert!(error.is_temporary() && !gone.is_reachable(), "{error}");
    let text = format!("{error} {gone:?}");
    assert!(
        text.contains("refused") && !text.contains("hunter2"),
        "{text}"
    );

    // Connections that are cut: what may be repeated is, and what may not fails and works the next time.
    let task = task();
    let engine = named(server, &task);
    let id = engine.submit(job(&task)).await.unwrap().id;
    let run = claim(&engine, &task).await.remove(0).run;
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{task}'"
    );
    server.psql("jobs", &cut).unwrap();
    assert_eq!(engine.record(&run, "step", json("")).await, Ok(Hold::Held));
    assert!(engine.state(&id).await.unwrap().is_some());
    server.psql("jobs", &cut).unwrap();
    assert_eq!(engine.finish(&run, done("")).await, Ok(Hold::Held));
    submit_until_accepted(&engine, &task).await;
    assert!(engine.is_reachable());
}

pub(super) async fn submit_until_accepted(engine: &Postgres, task: &Arc<str>) {
    let limit = Instant::now() + DEADLINE;
    while let Err(error) = engine.submit(job(task)).await {
        assert!(error.is_temporary(), "{error}");
        assert!(Instant::now() < limit, "{error}");
    }
}

#[tokio::test]
async fn a_disconnected_engine_connects_at_the_next_call() {
    let Some(server) = server() else { return };
    let task = task();
    let engine = named(server, &task);
    let id = engine.submit(job(&task)).await.unwrap().id;
    let connections =
        format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{task}'");
    assert_eq!(server.psql("jobs", &connections).unwrap().trim(), "1");
    engine.disconnect();
    let limit = Instant::now() + DEADLINE;
    while server.psql("jobs", &connections).unwrap().trim() != "0" {
        assert!(Instant::now() < limit);
    }
    assert!(engine.state(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn processes_wake_each_other_up() {
    let Some(server) = server() else { return };
    let (submitter, worker, task) = (engine(server), engine(server), task());
    // The worker listens from its first claim on.
    assert!(claim(&worker, &task).await.is_empty());
    let mut notices = worker.notices();
    let id = submitter.submit(job(&task)).await.unwrap().id;
    let due = Notice::Due(task.clone());
    assert_eq!(notices.recv().await, Ok(due.clone()));
    let claims = claim(&worker, &task).await;
    assert_eq!(claims[0].run.id, id);
    worker
        .release(&[claims[0].run.clone()], Duration::ZERO)
        .await
        .unwrap();
    submitter.cancel(&id).await.unwrap();
    let cancelled = Notice::Cancelled(id);
    while notices.recv().await.unwrap() != cancelled {}
}

#[tokio::test]
async fn a_claim_takes_a_job_once_however_many_ask() {
    let Some(server) = server() else { return };
    let task = task();
    let engines: Vec<_> = (0..4).map(|_| Arc::new(engine(server))).collect();
    for _ in 0..40 {
        engines[0].submit(job(&task)).await.unwrap();
    }
    let workers = engines.into_iter().map(|engine| {
        let task = task.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let claims = claim(&engine, &task).await;
                if claims.is_empty() {
                    return ids;
                }
                for claim in claims {
                    let hold = engine.finish(&claim.run, done("")).await;
                    assert_eq!(hold, Ok(Hold::Held));
                    ids.push(claim.run.id);
                }
            }
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    assert_eq!(all.len(), 40);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
}

#[tokio::test]
async fn a_python_worker_runs_a_job_that_was_submitted_here() {
    let Some(server) = server() else { return };
    let (engine, task) = (engine(server), task());
    let input = crate::engine::json::Json::of(&serde_json::json!({ "n": 20 }), "it").unwrap();
    let id = engine
        .submit(NewJob {
            input,
            ..job(&task)
        })
        .await
        .unwrap()
        .id;
    let program = "
import sys
from absurd_sdk import Absurd
url, queue = sys.argv[1:]
app = Absurd(url, queue_name=queue)
@app.register_task(queue)
def run(params, context):
    return {'answer': context.step('double', lambda: params['n'] * 2) + 2}
app.work_batch('python', 30, 1)
";
    let mut worker = Command::new(absurd_python().unwrap());
    worker.args(["-c", program, &server.url(), &task]);
    let made = worker.output().unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let Status::Done(result) = engine.state(&id).await.unwrap().unwrap().status else {
        panic!("it has not ended");
    };
    let result: serde_json::Value = result.read().unwrap();
    assert_eq!(result, serde_json::json!({ "answer": 42 }));
    let steps = engine.steps(&id).await.unwrap();
    assert_eq!((&*steps[0].name, steps[0].value.text()), ("double", "40"));
}

#[tokio::test]
async fn a_job_of_another_program_in_the_queue_is_handed_back() {
    let Some(server) = server() else { return };
    let (engine, task) = (engine(server), task());
    engine.check(std::slice::from_ref(&task)).await.unwrap();
    let foreign = format!("SELECT task_id FROM absurd.spawn_task('{task}', 'theirs', '1')");
    server.psql("jobs", &foreign).unwrap();
    assert!(claim(&engine, &task).await.is_empty());
    let counts = engine.counts(&[task]).await.unwrap().remove(0);
    assert_eq!((counts.due, counts.delayed, counts.running), (0, 1, 0));
}
