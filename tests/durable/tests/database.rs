//! A database whose connections are cut, and one that stops at once and starts again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, ended, submit};
use crate::not_tested::not_tested;
use crate::server::{Server, server};
use crate::storm::is_full;
use crate::support::{DEADLINE, Latch, signal_to, wait_until};

/// The server's data.
pub(crate) fn data(server: &Server) -> PathBuf {
    let folder = server.psql("postgres", "SHOW data_directory");
    folder.expect("a folder").trim().into()
}

/// The number of the server's first process.
pub(crate) fn first_process(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).expect("a file");
    text.lines().next().expect("a number").to_owned()
}

/// Starts a server again that has stopped, with its last options.
fn start_again(data: &Path) {
    let options = std::fs::read_to_string(data.join("postmaster.opts")).expect("a file");
    // A file of the server's user.
    let script = format!("{} >again.log 2>&1 &", options.trim());
    let user = Command::new("id")
        .arg("-u")
        .output()
        .expect("a user")
        .stdout;
    let mut command = if user == b"0\n" {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let started = command.current_dir(data).args(["-c", &script]).status();
    assert!(started.expect("a shell").success());
}

#[test]
fn no_job_is_lost_while_the_database_stops_at_once_and_starts_again() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(why) => return not_tested(why),
    };
    let outage = Duration::from_secs(if is_full() { 10 } else { 2 });
    let data = data(&server);
    // Longer than the outages: each attempt goes on after them.
    let fleet = Fleet::on(&server.url(), "1m");
    let most = [("AGENTCORE_DURABLE_CONCURRENCY", "12")];
    let workers = [fleet.start(&most), fleet.start(&most)];
    let pages = json!({ "action": "pages", "pages": 6, "pause_ms": 300 });
    let jobs: Vec<_> = (0..12)
        .map(|_| submit(&workers[0], pages.clone()))
        .collect();
    wait_until(DEADLINE, "each job has begun", || {
        jobs.iter()
            .all(|job| !fleet.begun(job, "page:0").is_empty())
    });
    for _ in 0..2 {
        // In the middle of a step of some job.
        let begun = fleet.trace().values().map(Vec::len).sum::<usize>();
        wait_until(DEADLINE, "another step has begun", || {
            fleet.trace().values().map(Vec::len).sum::<usize>() > begun
        });
        signal_to(&first_process(&data), "QUIT");
        wait_until(DEADLINE, "the server has stopped", || {
            !data.join("postmaster.pid").exists()
        });
        let refused = workers[1].invoke(json!({ "action": "nothing" }));
        assert_eq!(refused.status, 503, "{refused:?}");
        // The length of the outage is what is tried.
        std::thread::sleep(outage);
        start_again(&data);
        wait_until(DEADLINE, "the server answers", || {
            server.psql("postgres", "SELECT 1").is_ok()
        });
    }
    for job in &jobs {
        let status = ended(&workers[1], job);
        assert_eq!(status["status"], "completed", "{job}: {status}");
        assert_eq!(status["result"], json!({ "pages": 6, "sum": 15 }));
        assert_eq!(status["attempt"], 1, "{job}: {status}");
        for page in 1..6 {
            let of = |page| fleet.begun(job, &format!("page:{page}"));
            assert!(
                of(page - 1).last() <= of(page).first(),
                "{job}: a step ran again"
            );
        }
    }
}

#[test]
fn a_result_that_the_database_refuses_for_a_moment_is_kept() {
    let Some(fleet) = Fleet::on_postgres("30s") else {
        return;
    };
    let server = server().expect("it has been started");
    let database = fleet.store().rsplit('/').next().expect("a name");
    let rename = |from: &str, to: &str| {
        let sql = format!("ALTER FUNCTION absurd.{from} RENAME TO {to}");
        server.psql(database, &sql).expect("renamed");
    };
    let latch = Latch::new();
    let agent = fleet.start(&[]);
    let job = submit(&agent, json!({ "action": "hold", "port": latch.port() }));
    let held = latch.held();
    // As while its schema is changed.
    rename("complete_run", "complete_run_later");
    drop(held);
    agent.line_with("tries again to write to its store");
    rename("complete_run_later", "complete_run");
    assert_eq!(
        ended(&agent, &job),
        json!({ "status": "completed", "attempt": 1, "result": 1 })
    );
}

#[test]
fn an_attempt_that_cannot_read_its_steps_exceeds_its_time_limit() {
    const LOCK: &str =
        "LOCK TABLE absurd.c_hold_in_time IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)";
    const UNLOCK: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE query LIKE 'LOCK TABLE absurd.c_hold_in_time%'";
    let Some(fleet) = Fleet::on_postgres("30s") else {
        return;
    };
    let server = server().expect("it has been started");
    let database = fleet.store().rsplit('/').next().expect("a name");
    let latch = Latch::new();
    let agent = fleet.start(&[]);
    let job = submit(
        &agent,
        json!({ "action": "hold_in_time", "port": latch.port() }),
    );
    let _held = latch.held();
    std::thread::scope(|scope| {
        // Its session is ended below.
        scope.spawn(|| server.psql(database, LOCK).unwrap_err());
        for attempt in 1..=2 {
            agent.line_with("took longer than 2s");
            eprintln!("attempt {attempt} is over");
        }
        server.psql("postgres", UNLOCK).expect("unlocked");
    });
    let status = ended(&agent, &job);
    assert_eq!(
        (&status["status"], &status["attempt"]),
        (&json!("failed"), &json!(2)),
        "{status}"
    );
    assert_eq!(fleet.begun(&job, "hold_in_time"), [1]);
}

#[test]
fn no_job_is_lost_while_every_connection_is_cut_again_and_again() {
    let Some(fleet) = Fleet::on_postgres("5s") else {
        return;
    };
    let server = server().expect("it has been started");
    let workers = [fleet.start(&[]), fleet.start(&[])];
    let pages = json!({ "action": "pages", "pages": 4, "pause_ms": 200 });
    let jobs: Vec<_> = (0..12)
        .map(|_| submit(&workers[0], pages.clone()))
        .collect();
    let database = fleet.store().rsplit('/').next().expect("a name");
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'"
    );
    let began = Instant::now();
    let mut cuts = 0;
    while began.elapsed() < Duration::from_secs(4) {
        let answer = server.psql("postgres", &cut).expect("an answer");
        cuts += answer.trim().parse::<u32>().expect("a number");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(cuts > 0, "there was no connection to cut");
    for job in &jobs {
        let status = ended(&workers[1], job);
        assert_eq!(status["status"], "completed", "{job}: {status}");
        assert_eq!(status["result"], json!({ "pages": 4, "sum": 6 }));
    }
    eprintln!("{cuts} connections were cut");
}
