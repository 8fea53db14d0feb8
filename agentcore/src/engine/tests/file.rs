//! What only the engine of a file has.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::world::{Folder, LEASE, World, done, json};
use crate::engine::error::EngineError;
use crate::engine::sqlite::{Locks, Sqlite};
use crate::engine::{Engine, Hold, NewJob, Status, Wanted};

/// The variable that makes a test binary the worker of a file.
const WORKER: &str = "AGENTCORE_TEST_DURABLE_FILE";

fn sqlite(folder: &Folder) -> Sqlite {
    Sqlite::new(folder.path("jobs.db"), Locks::File).unwrap()
}

fn task() -> Arc<str> {
    "task".into()
}

fn job() -> NewJob {
    NewJob {
        task: task(),
        input: json("input"),
        key: None,
        after: Duration::ZERO,
        max_attempts: 100,
        headers: [].into(),
    }
}

#[tokio::test]
async fn a_file_is_opened_by_the_first_call_after_its_folder_exists() {
    let folder = Folder::new();
    let mount = folder.path("mount");
    let engine = Sqlite::new(mount.join("jobs.db"), Locks::File).unwrap();
    assert!(engine.is_reachable(), "before the first call");
    let error = engine.submit(job()).await.unwrap_err();
    assert!(error.to_string().contains("not mounted yet"), "{error}");
    assert!(error.is_temporary() && !engine.is_reachable());
    std::fs::create_dir(&mount).unwrap();
    assert!(engine.submit(job()).await.is_ok());
    assert!(engine.is_reachable());
}

#[tokio::test]
async fn jobs_are_stored_where_other_processes_look_for_them() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let moved = engine.submit(job()).await.unwrap().id;
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (format!("jobs.db{end}"), format!("moved.db{end}"));
        std::fs::rename(folder.path(&from), folder.path(&to)).unwrap();
    }
    let id = engine.submit(job()).await.unwrap().id;
    let other = sqlite(&folder);
    assert!(other.state(&id).await.unwrap().is_some());
    assert!(other.state(&moved).await.unwrap().is_none());
    let at_the_other_path = Sqlite::new(folder.path("moved.db"), Locks::File).unwrap();
    assert!(at_the_other_path.state(&moved).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_locked_is_not_usable_again_until_it_can_be_written() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    engine.submit(job()).await.unwrap();
    let lock = Connection::open(folder.path("jobs.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(engine.check(&[task()]).await.is_err());
    assert!(!engine.is_reachable());
    lock.execute_batch("ROLLBACK").unwrap();
    engine.check(&[task()]).await.unwrap();
    assert!(engine.is_reachable());
}

#[tokio::test]
async fn jobs_outlive_the_engine() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let id = engine.submit(job()).await.unwrap().id;
    engine.disconnect();
    assert!(
        engine.state(&id).await.unwrap().is_some(),
        "after a disconnect"
    );
    drop(engine);
    assert!(sqlite(&folder).state(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn without_locks_a_file_works_without_shared_memory() {
    let folder = Folder::new();
    let engine = Sqlite::new(folder.path("jobs.db"), Locks::None).unwrap();
    let id = engine.submit(job()).await.unwrap().id;
    assert!(folder.path("jobs.db-wal").exists());
    assert!(!folder.path("jobs.db-shm").exists());
    // A process that is killed leaves its WAL behind; the next one finds in it what was accepted.
    let copy = Folder::new();
    for name in ["jobs.db", "jobs.db-wal"] {
        std::fs::copy(folder.path(name), copy.path(name)).unwrap();
    }
    let next = Sqlite::new(copy.path("jobs.db"), Locks::None).unwrap();
    assert!(next.state(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_without_locks_has_one_process_where_its_mount_can_tell() {
    let folder = Folder::new();
    let open = || Sqlite::new(folder.path("jobs.db"), Locks::None).unwrap();
    let first = open();
    let id = first.submit(job()).await.unwrap().id;
    let second = open();
    let error = second.submit(job()).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(
        error.to_string().contains("another process uses"),
        "{error}"
    );
    assert!(first.submit(job()).await.is_ok());
    drop(first);
    let limit = Instant::now() + Duration::from_secs(60);
    while let Err(error) = second.submit(job()).await {
        assert!(Instant::now() < limit, "{error}");
    }
    assert!(second.state(&id).await.unwrap().is_some());
    assert_eq!(second.counts(&[task()]).await.unwrap()[0].due, 3);
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    assert!(engine.look().await.is_err(), "there is no file");
    assert!(!folder.path("jobs.db").exists());
    let id = engine.submit(job()).await.unwrap().id;
    // As an agent that was killed, and as one that runs.
    let copy = Folder::new();
    for name in ["jobs.db", "jobs.db-wal"] {
        std::fs::copy(folder.path(name), copy.path(name)).unwrap();
    }
    for folder in [&copy, &folder] {
        let about = sqlite(folder).look().await.unwrap();
        assert_eq!((about.engine, &*about.schema), ("sqlite", "1"));
        let kept = std::fs::metadata(folder.path("jobs.db-wal")).unwrap();
        assert!(kept.len() > 0, "the journal is left alone");
    }
    assert!(engine.state(&id).await.unwrap().is_some());
    // An older file stays as it is.
    let old = Folder::new();
    std::fs::write(old.path("jobs.db"), "").unwrap();
    assert_eq!(sqlite(&old).look().await.unwrap().schema, "0");
    assert_eq!(std::fs::read(old.path("jobs.db")).unwrap(), b"");
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_is_not_carried_out_late() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let run = {
        engine.submit(job()).await.unwrap();
        let wanted = Wanted {
            tasks: vec![(task(), 1)],
            free: 1,
            lease: LEASE,
        };
        engine.claim(&wanted).await.unwrap().claims.remove(0).run
    };
    let other = Connection::open(folder.path("jobs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let kept = engine.submit(job());
    drop(engine.submit(job()));
    // That of a run is carried out, because the job would stay as it is.
    drop(engine.finish(&run, done("")));
    other.execute_batch("COMMIT").unwrap();
    assert!(kept.await.unwrap().created);
    let counts = engine.counts(&[task()]).await.unwrap().remove(0);
    assert_eq!((counts.due, counts.running), (1, 0));
}

#[tokio::test]
async fn calls_that_wait_for_a_file_are_bounded_in_bytes() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    engine.submit(job()).await.unwrap();
    let other = Connection::open(folder.path("jobs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let text = "x".repeat(1_000_000);
    let large = || NewJob {
        input: json(&text),
        ..job()
    };
    let waiting: Vec<_> = (0..60).map(|_| engine.submit(large())).collect();
    let mut more: Vec<_> = (0..10).map(|_| engine.submit(large())).collect();
    let error = more.pop().unwrap().await.unwrap_err();
    assert!(error.to_string().contains("too many calls"), "{error}");
    drop(more);
    other.execute_batch("COMMIT").unwrap();
    for submitted in waiting {
        assert!(submitted.await.unwrap().created);
    }
    assert!(
        engine.submit(large()).await.unwrap().created,
        "there is room again"
    );
}

#[tokio::test]
async fn a_lease_ends_although_the_clock_is_set_back() {
    let world = World::sqlite();
    let dead = world.submit(world.job()).await;
    world.claim().await;
    let living = world.submit(world.job()).await;
    let run = world.claim().await.run;
    let hour = Duration::from_secs(3600);
    world.set_back(hour);
    assert!(world.claims(2).await.is_empty());
    world.pass(LEASE / 2).await;
    assert_eq!(world.renew(&run).await, Hold::Held);
    world.pass(LEASE / 2).await;
    let again = world.claim().await;
    assert_eq!((&again.run.id, again.attempt), (&dead, 2));
    assert_eq!(world.finish(&run, done("")).await, Hold::Held);
    assert!(world.status(&living).await.is_final());
}

#[tokio::test]
async fn a_file_of_another_program_or_version_is_refused() {
    let folder = Folder::new();
    let path = folder.path("jobs.db");
    let refused = async || {
        let error = sqlite(&folder).check(&[task()]).await.unwrap_err();
        assert!(matches!(error, EngineError::Schema(_)), "{error}");
        error.to_string()
    };
    Connection::open(&path)
        .and_then(|file| file.execute_batch("CREATE TABLE theirs (a)"))
        .unwrap();
    let text = refused().await;
    assert!(text.contains("another program"), "{text}");
    std::fs::remove_file(&path).unwrap();
    let about = sqlite(&folder).check(&[task()]).await.unwrap();
    assert_eq!((about.engine, &*about.schema), ("sqlite", "1"));
    assert_eq!(about.location, path.display().to_string());
    Connection::open(&path)
        .and_then(|file| file.pragma_update(None, "user_version", 2))
        .unwrap();
    let text = refused().await;
    assert!(
        text.contains("has version 2") && text.contains("up to 1"),
        "{text}"
    );
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(folder.path(name));
    }
    std::fs::write(&path, "no database, but text of some length ".repeat(99)).unwrap();
    let text = refused().await;
    assert!(text.contains("no SQLite database"), "{text}");
}

#[tokio::test]
async fn a_lock_that_another_process_keeps_makes_calls_fail_and_not_hang() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let id = engine.submit(job()).await.unwrap().id;
    let other = Connection::open(folder.path("jobs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(engine.state(&id).await.is_ok(), "reading needs no lock");
    let asked = Instant::now();
    let error = engine.submit(job()).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(error.to_string().contains("locked"), "{error}");
    assert!(
        asked.elapsed() >= Duration::from_secs(4),
        "it waits for its turn"
    );
    other.execute_batch("ROLLBACK").unwrap();
    assert!(engine.submit(job()).await.is_ok());
}

#[tokio::test]
async fn calls_that_wait_are_carried_out_together_and_fail_alone() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let keyed = |input: &str| NewJob {
        key: Some("k".to_owned()),
        input: json(input),
        ..job()
    };
    let first = engine.submit(keyed("a")).await.unwrap().id;
    // The thread waits for this lock, so that the calls wait for the thread.
    let other = Connection::open(folder.path("jobs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let one = engine.submit(job());
    let conflict = engine.submit(keyed("b"));
    let again = engine.submit(keyed("a"));
    let two = engine.submit(job());
    other.execute_batch("COMMIT").unwrap();
    assert!(one.await.unwrap().created && two.await.unwrap().created);
    assert!(matches!(
        conflict.await,
        Err(EngineError::KeyConflict { .. })
    ));
    assert_eq!(again.await.unwrap().id, first);
    assert_eq!(engine.counts(&[task()]).await.unwrap()[0].due, 3);
}

/// Starts this binary as a worker of the file.
fn worker(folder: &Folder, lease: Duration) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine::tests::file::be_a_worker", "--ignored"])
        .env(WORKER, folder.path("jobs.db"))
        .env("AGENTCORE_TEST_DURABLE_LEASE", lease.as_secs().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A worker process: it runs jobs of two recorded steps until it is killed.
#[tokio::test]
#[ignore = "it is the worker process of other tests"]
async fn be_a_worker() {
    let Some(path) = std::env::var_os(WORKER) else {
        return;
    };
    let seconds = std::env::var("AGENTCORE_TEST_DURABLE_LEASE").unwrap();
    let engine = Sqlite::new(path.into(), Locks::File).unwrap();
    let wanted = Wanted {
        tasks: vec![(task(), 4)],
        free: 4,
        lease: Duration::from_secs(seconds.parse().unwrap()),
    };
    loop {
        let Ok(claimed) = engine.claim(&wanted).await else {
            continue;
        };
        if claimed.claims.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for claim in claimed.claims {
            let known = engine.steps(&claim.run.id).await.unwrap();
            for name in ["one", "two"] {
                if known.iter().all(|step| step.name != name) {
                    let value = json(&claim.run.holder);
                    let _ = engine.record(&claim.run, name, value).await;
                }
            }
            let holder = done(&claim.run.holder);
            let _ = engine.finish(&claim.run, holder).await;
        }
    }
}

#[tokio::test]
async fn processes_share_a_file_and_each_job_has_one_of_them() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(engine.submit(job()).await.unwrap().id);
    }
    let mut workers: Vec<_> = (0..3).map(|_| worker(&folder, LEASE)).collect();
    wait_for(&engine).await;
    for worker in &mut workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    for id in &ids {
        let state = engine.state(id).await.unwrap().unwrap();
        assert_eq!(state.attempt, 1);
        let Status::Done(result) = state.status else {
            panic!("{state:?}");
        };
        let steps = engine.steps(id).await.unwrap();
        assert_eq!(steps.len(), 2);
        assert!(steps.iter().all(|step| step.value == result));
    }
}

#[tokio::test]
async fn jobs_of_killed_processes_are_finished_by_others() {
    let folder = Folder::new();
    let engine = sqlite(&folder);
    let mut ids = Vec::new();
    let lease = Duration::from_secs(1);
    let mut workers: Vec<_> = (0..3).map(|_| worker(&folder, lease)).collect();
    for round in 0..12 {
        for _ in 0..10 {
            ids.push(engine.submit(job()).await.unwrap().id);
        }
        // Each is killed while it has jobs, or before.
        let worker_of_round = &mut workers[round % 3];
        worker_of_round.kill().unwrap();
        worker_of_round.wait().unwrap();
        *worker_of_round = worker(&folder, lease);
    }
    wait_for(&engine).await;
    for worker in &mut workers {
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    for id in &ids {
        let state = engine.state(id).await.unwrap().unwrap();
        assert!(matches!(state.status, Status::Done(_)), "{state:?}");
        assert_eq!(engine.steps(id).await.unwrap().len(), 2);
    }
}

/// Waits until no job waits or runs.
async fn wait_for(engine: &Sqlite) {
    let limit = Instant::now() + Duration::from_secs(100);
    loop {
        let counts = engine.counts(&[task()]).await.unwrap().remove(0);
        if counts.due + counts.delayed + counts.running == 0 {
            return;
        }
        assert!(Instant::now() < limit, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn both_ways_of_locking_obey_one_set_of_rules() {
    let world = World::sqlite_without_locks();
    let id = world.submit(world.job()).await;
    let run = world.claim().await.run;
    world.pass(LEASE).await;
    assert_eq!(world.claim().await.attempt, 2);
    assert_eq!(world.finish(&run, done("")).await, Hold::Lost);
    assert!(!world.status(&id).await.is_final());
}
