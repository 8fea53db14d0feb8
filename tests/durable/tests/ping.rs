//! How long a ping takes while the store does not answer, is away, or has too much to say.
//!
//! A front that waited for the store would answer after its calls' time limits. The pings of an agent that has no store to wait for,
//! which are taken just before, say how long a ping takes on this machine now. The figure of 5 ms is checked at full length
//! (`AGENTCORE_DURABLE_FULL=1`), because nothing else may need the processors then.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, submit};
use crate::storm::is_full;
use crate::support::{Agent, Observer};

/// Pings in `situation`, while invocations that use the store are waiting. Those get 503 if the store is out of reach.
fn assert_pings_are_quick(situation: &str, agent: &Agent) {
    let usual = {
        let fleet = Fleet::on_sqlite("30s");
        let idle = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
        pings(&idle, 200)
    };
    let (count, most, slack) = if is_full() {
        (3000, Duration::from_millis(5), Duration::ZERO)
    } else {
        // Where other programs need the processors, a few pings of any agent wait for them.
        (600, Duration::from_millis(50), 5 * at(&usual, 99))
    };
    let submits: Vec<_> = (0..4)
        .map(|_| agent.invoke_later(json!({ "action": "nothing" })))
        .collect();
    let times = pings(agent, count);
    eprintln!(
        "{situation}: ping p50 {:?}, p99 {:?}, longest {:?}; without a store p50 {:?}, p99 {:?}",
        at(&times, 50),
        at(&times, 99),
        times[count - 1],
        at(&usual, 50),
        at(&usual, 99),
    );
    assert!(at(&times, 99) < most + slack, "{situation}");
    assert!(
        at(&times, 50) < Duration::from_millis(10) + 5 * at(&usual, 50),
        "{situation}"
    );
    for submit in submits {
        let status = submit.join().expect("a reply").status;
        assert!(matches!(status, 200 | 503), "{situation}: {status}");
    }
    // User code runs as before.
    assert_eq!(agent.invoke(json!({ "action": "echo" })).json(), "here");
}

/// The times of so many pings, the shortest first.
fn pings(agent: &Agent, count: usize) -> Vec<Duration> {
    let mut observer = Observer::new(agent.address());
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            // Several looks for jobs, and the end of the calls that wait.
            std::thread::sleep(Duration::from_millis(10));
            let began = Instant::now();
            observer.ping();
            began.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times[times.len() * percent / 100]
}

#[test]
fn while_another_process_has_locked_the_file() {
    const LOCK: &str = "
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
sys.stdin.read()
";
    let fleet = Fleet::on_sqlite("30s");
    let agent = fleet.start(&[]);
    submit(&agent, json!({ "action": "nothing" }));
    let path = fleet.store().strip_prefix("sqlite:").expect("a file");
    let mut lock = Command::new("python3")
        .args(["-c", LOCK, path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut said = String::new();
    let stdout = lock.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut said).expect("a line");
    assert_eq!(said, "locked\n");
    assert_pings_are_quick("a locked file", &agent);
    drop(lock.stdin.take());
    let _ = lock.wait();
    submit(&agent, json!({ "action": "nothing" }));
}

#[test]
fn while_jobs_come_faster_than_they_run() {
    let fleet = Fleet::on_sqlite("30s");
    let agent = fleet.start(&[("AGENTCORE_DURABLE_CONCURRENCY", "64")]);
    flooded(&fleet, &agent, "a flood of jobs in a file");
}

/// Submits jobs from four connections to `agent`, and from another process, as quickly as it can.
fn flooded(fleet: &Fleet, agent: &Agent, situation: &str) {
    let other = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        for address in [agent.address(), other.address()] {
            for _ in 0..4 {
                scope.spawn(move || {
                    let mut client = Observer::new(address);
                    while !is_over.load(Ordering::Relaxed) {
                        client.invoke(json!({ "action": "nothing" }));
                    }
                });
            }
        }
        let end = SetOnDrop(is_over);
        assert_pings_are_quick(situation, agent);
        drop(end);
    });
}

/// Also where the test fails, so that its other threads end.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(feature = "durable-postgres")]
mod postgres {
    use std::net::TcpListener;

    use super::*;
    use crate::database::{data, first_process};
    use crate::not_tested::not_tested;
    use crate::server::Server;
    use crate::support::{DEADLINE, wait_until};

    fn own_server() -> Option<Server> {
        Server::start().map_err(not_tested).ok()
    }

    /// The processes of a database, which stand still until this is dropped.
    struct StandsStill(Vec<String>);

    impl StandsStill {
        fn new(server: &Server) -> Self {
            let first = first_process(&data(server));
            // It starts no further ones from here on.
            signal(&first, "STOP");
            let mut all = children(&first);
            all.iter().for_each(|process| signal(process, "STOP"));
            all.push(first);
            Self(all)
        }
    }

    impl Drop for StandsStill {
        fn drop(&mut self) {
            for process in &self.0 {
                signal(process, "CONT");
            }
        }
    }

    /// A process that has just ended needs no signal.
    fn signal(process: &str, name: &str) {
        let sent = Command::new("kill").args(["-s", name, process]).status();
        sent.expect("a kill command");
    }

    fn children(parent: &str) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("Linux");
        let names = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_child = |process: &String| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
            // The fields behind the name of the program: the state and the parent.
            let fields = stat.ok().and_then(|stat| {
                let (_, fields) = stat.rsplit_once(')')?;
                fields.split_whitespace().nth(1).map(str::to_owned)
            });
            fields.as_deref() == Some(parent)
        };
        names.filter(is_child).collect()
    }

    #[test]
    fn while_nothing_listens_at_the_address() {
        let fleet = Fleet::on("postgres://127.0.0.1:1/jobs", "30s");
        let agent = fleet.start(&[]);
        assert_pings_are_quick("nothing listens", &agent);
    }

    #[test]
    fn while_a_listener_accepts_connections_and_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fleet = Fleet::on(&format!("postgres://127.0.0.1:{port}/jobs"), "30s");
        let agent = fleet.start(&[]);
        assert_pings_are_quick("a listener that says nothing", &agent);
        drop(listener);
    }

    #[test]
    fn while_the_database_stands_still_and_when_it_has_gone() {
        let Some(server) = own_server() else { return };
        let fleet = Fleet::on(&server.url(), "30s");
        let agent = fleet.start(&[("AGENTCORE_PROBES", "true")]);
        submit(&agent, json!({ "action": "nothing" }));
        let stopped = StandsStill::new(&server);
        assert_pings_are_quick("a database that stands still", &agent);
        drop(stopped);
        // It goes on, and so does the agent.
        wait_until(DEADLINE, "the agent has connected again", || {
            agent.invoke(json!({ "action": "nothing" })).status == 200
        });
        drop(server);
        wait_until(DEADLINE, "the database has gone", || {
            agent.get("/readyz").status == 503
        });
        assert_pings_are_quick("a database that has gone", &agent);
    }

    #[test]
    fn while_jobs_and_notifications_come_faster_than_they_are_handled() {
        let Some(server) = own_server() else { return };
        let fleet = Fleet::on(&server.url(), "30s");
        let agent = fleet.start(&[("AGENTCORE_DURABLE_CONCURRENCY", "64")]);
        submit(&agent, json!({ "action": "nothing" }));
        // Each of them is about another job that does not exist.
        let notify = "SELECT count(pg_notify('ac:nothing', 'x' || lpad(to_hex(n), 32, '0')))
             FROM generate_series(1, 20000) n";
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    server.psql("jobs", notify).expect("an answer");
                }
            });
            let end = SetOnDrop(&is_over);
            flooded(&fleet, &agent, "a flood of jobs and notifications");
            drop(end);
        });
    }
}
