//! A database whose connections are cut.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, ended, submit};
use crate::server::server;

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
