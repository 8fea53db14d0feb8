//! A database that is locked, takes no writes or does not answer in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use super::database::{DEADLINE, claim, engine, job, named, submit_until_accepted, task};
use super::server::{Server, server};
use super::world::{done, json};
use crate::engine::postgres::Postgres;
use crate::engine::{Cancel, Engine, Hold, Keep, Status, Wanted};

/// A session of another program.
async fn other_session(server: &Server) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until a session with the name of this task waits for a lock.
fn until_it_waits(server: &Server, task: &Arc<str>) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{task}' AND wait_event_type = 'Lock'"
    );
    let limit = Instant::now() + DEADLINE;
    while server.psql("jobs", &waiting).unwrap().trim() == "0" {
        assert!(Instant::now() < limit);
    }
}

/// Claims while another session keeps the queue locked, and returns the attempt of the job when it is claimed afterwards.
async fn attempt_after_a_lock(server: &Server, task: &Arc<str>, engine: &Postgres) -> u32 {
    engine.submit(job(task)).await.unwrap();
    let other = other_session(server).await;
    let lock = format!("BEGIN; LOCK TABLE absurd.\"r_{task}\" IN SHARE MODE");
    other.batch_execute(&lock).await.unwrap();
    let wanted = Wanted {
        tasks: vec![(task.clone(), 9)],
        free: 9,
        lease: Duration::from_secs(30),
    };
    let error = engine.claim(&wanted).await.unwrap_err();
    assert!(error.is_temporary() && !engine.is_reachable(), "{error}");
    other.batch_execute("COMMIT").await.unwrap();
    let limit = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < limit);
        let claims = engine.claim(&wanted).await.map(|claimed| claimed.claims);
        if let Some(claim) = claims.unwrap_or_default().pop() {
            assert!(engine.is_reachable(), "it has answered");
            return claim.attempt;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_claim_that_waits_for_a_lock_takes_nothing_later() {
    let Some(server) = server() else { return };
    let task = task();
    let engine = named(server, &task);
    assert_eq!(attempt_after_a_lock(server, &task, &engine).await, 1);
    // Where the server has no limit of its own, the statement is cancelled.
    let url = format!("{}?options=-c%20statement_timeout%3D0", server.url());
    let engine = Postgres::new(&url).unwrap();
    assert_eq!(
        attempt_after_a_lock(server, &super::database::task(), &engine).await,
        1
    );
}

#[tokio::test]
async fn jobs_of_a_claim_without_an_answer_are_due_again() {
    let Some(server) = server() else { return };
    let task = task();
    let engine = engine(server);
    let id = engine.submit(job(&task)).await.unwrap().id;
    let lost = claim(&engine, &task).await.remove(0);
    engine.lose(&lost.run);
    let again = claim(&engine, &task).await.remove(0);
    assert_eq!((&again.run.id, again.attempt), (&id, 1));
    assert_ne!(again.run.holder, lost.run.holder);
    assert_eq!(engine.finish(&lost.run, done("")).await, Ok(Hold::Lost));
    // Those of this claim, and of one from before a restore, stay.
    assert!(claim(&engine, &task).await.is_empty());
    engine.disconnect();
    engine.lose(&again.run);
    assert!(claim(&engine, &task).await.is_empty());
    assert_eq!(engine.finish(&again.run, done("")).await, Ok(Hold::Held));
}

#[tokio::test]
async fn jobs_of_one_task_are_claimed_although_the_next_task_fails() {
    let Some(server) = server() else { return };
    let (engine, first, second) = (engine(server), task(), task());
    let id = engine.submit(job(&first)).await.unwrap().id;
    engine.submit(job(&second)).await.unwrap();
    let drop = format!("DROP TABLE absurd.\"w_{second}\"");
    server.psql("jobs", &drop).unwrap();
    let wanted = Wanted {
        tasks: vec![(first, 9), (second, 9)],
        free: 9,
        lease: Duration::from_secs(30),
    };
    let claims = engine.claim(&wanted).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    assert_eq!((&claims[0].run.id, claims[0].attempt), (&id, 1));
}

#[tokio::test]
async fn a_finish_that_waits_for_its_own_first_try_is_accepted() {
    let Some(server) = server() else { return };
    let task = task();
    let engine = Arc::new(named(server, &task));
    let id = engine.submit(job(&task)).await.unwrap().id;
    let run = claim(&engine, &task).await.remove(0).run;
    let other = other_session(server).await;
    let number = format!("{:032x}", run.number);
    let first = format!("BEGIN; SELECT absurd.complete_run('{task}', '{number}', '\"result\"')");
    other.batch_execute(&first).await.unwrap();
    let again = tokio::spawn({
        let engine = engine.clone();
        async move { engine.finish(&run, done("result")).await }
    });
    // The spawned task needs this thread.
    tokio::task::spawn_blocking({
        let task = task.clone();
        move || until_it_waits(server, &task)
    })
    .await
    .unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(again.await.unwrap(), Ok(Hold::Held));
    let status = engine.state(&id).await.unwrap().unwrap().status;
    assert_eq!(status, Status::Done(json("result")));
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_left() {
    let Some(_) = server() else { return };
    let server = Server::start().unwrap();
    let task = task();
    let engine = named(&server, &task);
    engine.submit(job(&task)).await.unwrap();
    let connections = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{task}' AND state = 'idle'"
    );
    assert_eq!(server.psql("jobs", &connections).unwrap().trim(), "1");
    let read_only = |is: &str| {
        server
            .psql(
                "jobs",
                &format!("ALTER SYSTEM SET default_transaction_read_only = {is}"),
            )
            .and_then(|_| server.psql("jobs", "SELECT pg_reload_conf()"))
            .unwrap();
    };
    read_only("on");
    let limit = Instant::now() + DEADLINE;
    while engine.submit(job(&task)).await.is_ok() {
        assert!(Instant::now() < limit);
    }
    assert!(!engine.is_reachable());
    while server.psql("jobs", &connections).unwrap().trim() != "0" {
        assert!(Instant::now() < limit);
    }
    read_only("off");
    submit_until_accepted(&engine, &task).await;
    assert!(engine.is_reachable());
}

#[tokio::test]
async fn a_queue_in_partitions_is_cleaned_too() {
    let Some(server) = server() else { return };
    let (engine, task) = (engine(server), task());
    let make = format!("SELECT absurd.create_queue('{task}', 'partitioned')");
    server.psql("jobs", &make).unwrap();
    let id = engine.submit(job(&task)).await.unwrap().id;
    assert_eq!(engine.cancel(&id).await, Ok(Cancel::Cancelled));
    let keep = Keep {
        done: Duration::ZERO,
        failed: Duration::ZERO,
    };
    let limit = Instant::now() + DEADLINE;
    while engine
        .clean(std::slice::from_ref(&task), keep)
        .await
        .unwrap()
        == 0
    {
        assert!(Instant::now() < limit);
    }
    assert_eq!(engine.state(&id).await, Ok(None));
}
