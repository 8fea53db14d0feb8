//! Where durable jobs are shown: `--check`, metrics, log lines, the dev page.

use std::process::Command;

use serde_json::{Value, json};

use crate::fleet::{FIXTURE, Fleet, ended, submit};
use crate::support::Latch;
#[cfg(feature = "durable-postgres")]
use crate::support::{failed_start, run};

fn check(arguments: &[&str], store: &str) -> String {
    let output = Command::new(FIXTURE)
        .args(arguments)
        .env("AGENTCORE_DURABLE", store)
        .env("AGENTCORE_DURABLE_WORK", "hold,pagse")
        .output()
        .expect("started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Messages name the host, and drivers take what follows the first `@` for it.
#[cfg(feature = "durable-postgres")]
#[test]
fn a_password_with_an_at_is_no_part_of_any_message() {
    let store = "postgres://me:S3cr3t@hunter2@127.0.0.1:1/jobs";
    let (status, log) = failed_start(FIXTURE, &[("AGENTCORE_DURABLE", store)]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("cannot start: AGENTCORE_DURABLE has an `@`"),
        "{log}"
    );
    assert!(!log.contains("hunter2") && !log.contains("S3cr3t"), "{log}");
}

/// With a missing folder no jobs can be stored.
#[test]
fn a_check_warns_of_a_folder_that_is_missing() {
    let said = check(&["--check"], "sqlite:/nonexistent/jobs.db");
    assert!(
        said.contains("warning: durable jobs cannot be stored")
            && said.contains("there is no such folder"),
        "{said}"
    );
}

/// On AgentCore a session's microVM would run the jobs of other sessions by default.
#[cfg(feature = "durable-postgres")]
#[test]
fn a_check_in_a_container_warns_if_a_shared_store_is_worked_on_by_default() {
    const WARNING: &str = "warning: AGENTCORE_DURABLE_WORK is not set";
    // Nothing listens there, which is a warning of its own.
    const NOWHERE: (&str, &str) = ("AGENTCORE_DURABLE", "postgres://127.0.0.1:1/jobs");
    const FILE: (&str, &str) = ("AGENTCORE_DURABLE", "sqlite:/nonexistent/jobs.db");
    const CONTAINER: (&str, &str) = ("DOCKER_CONTAINER", "1");
    let all = ("AGENTCORE_DURABLE_WORK", "all");
    for (environment, warns) in [
        (&[NOWHERE, CONTAINER][..], true),
        (&[NOWHERE, CONTAINER, all], false),
        (&[FILE, CONTAINER], false),
    ] {
        let outcome = run(FIXTURE, &["--check"], environment);
        let text = outcome.stdout;
        assert_eq!(text.contains(WARNING), warns, "{environment:?}: {text}");
    }
}

#[test]
fn a_check_lists_durable_tasks_and_makes_no_file() {
    let fleet = Fleet::on_sqlite("30s");
    let text = check(&["--check"], fleet.store());
    assert!(text.contains("durable tasks"), "{text}");
    assert!(text.contains("3 attempts, not run here"), "{text}");
    assert!(
        text.contains(&format!("stored in {}\n", fleet.store())),
        "{text}"
    );
    assert!(
        text.contains("warning: AGENTCORE_DURABLE_WORK names `pagse`, and there is no durable task of this name"),
        "{text}"
    );
    // Once there is a file, its schema is shown.
    let agent = fleet.start(&[]);
    let job = submit(&agent, json!({ "action": "nothing" }));
    ended(&agent, &job);
    let report: Value =
        serde_json::from_str(&check(&["--check", "--json"], fleet.store())).unwrap();
    let durable = &report["durable"];
    assert_eq!(durable["engine"], "sqlite", "{report}");
    assert!(durable["schema"].is_string(), "{report}");
    let tasks = durable["tasks"].as_array().expect("a list");
    let hold = tasks
        .iter()
        .find(|task| task["name"] == "hold")
        .expect("a task");
    assert_eq!(hold["attempts"], 5);
    assert_eq!(hold["runs_here"], true);
}

#[test]
fn a_store_of_another_kind_stops_the_start_and_shows_no_password() {
    let output = Command::new(FIXTURE)
        .arg("--check")
        .env("AGENTCORE_DURABLE", "mysql://me:secret@host/jobs")
        .output()
        .expect("started");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        text.contains("AGENTCORE_DURABLE is `mysql://..@host/jobs`; it takes sqlite:PATH"),
        "{text}"
    );
}

#[test]
fn a_line_of_the_start_says_where_jobs_are_stored() {
    const SAID: &str = "durable jobs are stored in sqlite:";
    let fleet = Fleet::on_sqlite("30s");
    for (work, runs_here) in [("all", true), ("none", false)] {
        let agent = fleet.start(&[("AGENTCORE_DURABLE_WORK", work)]);
        // The line may come before the agent is ready or after.
        let mut before = agent.log_of_start().lines();
        let line = before.find(|line| line.contains(SAID)).map(str::to_owned);
        let line = line.unwrap_or_else(|| agent.line_with(SAID));
        assert_eq!(
            line.contains("; none of them runs here"),
            !runs_here,
            "{line}"
        );
    }
}

#[test]
fn a_check_says_when_a_stop_hands_jobs_back() {
    const SAID: &str = "a stop leaves running jobs 1 s, then they are handed back";
    let text = check(&["--check"], "sqlite:/nonexistent/jobs.db?locks=none");
    assert!(text.contains(SAID), "{text}");
    let text = check(&["--check"], "sqlite:/nonexistent/jobs.db");
    assert!(!text.contains(SAID), "{text}");
}

#[test]
fn metrics_count_jobs_by_task_and_outcome() {
    let fleet = Fleet::on_sqlite("30s");
    let agent = fleet.start(&[("AGENTCORE_METRICS", "true")]);
    for _ in 0..2 {
        let job = submit(&agent, json!({ "action": "nothing" }));
        ended(&agent, &job);
    }
    agent.until_idle();
    let page = agent.get("/metrics").body;
    let page = String::from_utf8(page).expect("text");
    for line in [
        r#"agentcore_durable_submitted_total{task="nothing"} 2"#,
        r#"agentcore_durable_attempts_total{task="nothing",outcome="completed"} 2"#,
        r#"agentcore_durable_attempts_total{task="hold",outcome="completed"} 0"#,
        r#"agentcore_durable_takeovers_total{task="nothing"} 0"#,
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} in\n{page}");
    }
    agent.until("the store was counted", |agent| {
        let page = String::from_utf8(agent.get("/metrics").body).expect("text");
        page.contains(r#"agentcore_durable_pending{task="nothing"} "#)
    });
}

#[test]
fn the_line_at_the_end_of_an_attempt_has_the_job_and_the_session() {
    let fleet = Fleet::on_sqlite("30s");
    let agent = fleet.start(&[("AGENTCORE_LOG_FORMAT", "json")]);
    let job = submit(&agent, json!({ "action": "nothing" }));
    let line: Value = serde_json::from_str(&agent.line_with(&job)).expect("JSON");
    assert_eq!(line["jobId"], json!(job), "{line}");
    assert_eq!(line["jobAttempt"], "1", "{line}");
}

#[test]
fn the_dev_page_lists_jobs_and_cancels_them() {
    let fleet = Fleet::on_sqlite("30s");
    let latch = Latch::new();
    // The page is only for requests to localhost, which the others are not.
    let agent = fleet.start(&[("AGENTCORE_DEV", "1")]);
    let submitter = fleet.start(&[("AGENTCORE_DURABLE_WORK", "none")]);
    let ask = |method: &str, path: &str| {
        let request = format!(
            "{method} /_dev/jobs{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        );
        agent.ask(request.as_bytes())
    };
    let pages = json!({ "action": "pages", "pages": 2, "pause_ms": 0 });
    let done = submit(&submitter, pages);
    ended(&submitter, &done);
    let hold = json!({ "action": "hold", "port": latch.port() });
    let job = submit(&submitter, hold);
    let _held = latch.held();
    let jobs = ask("GET", "").json();
    let jobs = jobs.as_array().expect("a list");
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0]["id"], json!(job), "the newest is the first");
    assert_eq!(
        (&jobs[0]["status"], &jobs[0]["cancellable"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(jobs[1]["steps"], json!(["page:0", "page:1"]));
    let cancelled = ask("DELETE", &format!("/{job}"));
    assert_eq!(cancelled.json(), json!({ "cancelled": true }));
    let status = ended(&submitter, &job);
    assert_eq!(status, json!({ "status": "cancelled", "attempt": 1 }));
    assert_eq!(ask("GET", "/x").status, 404);
}
