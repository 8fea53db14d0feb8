//! How an agent ends: on which thread values are dropped, what the end waits for, and what it names.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Agent, Client, failed_start, signal, spawn, wait, was_cut_off};

const BINARY: &str = env!("CARGO_BIN_EXE_endings");

/// All user values that the agent holds.
const HELD: [&str; 7] = ["given", "made", "handler", "start", "stop", "layer", "ping"];

/// Checks that all of `held` is dropped, and none of it on the front.
fn all_dropped_elsewhere(stderr: &str, held: &[&str]) {
    for name in held {
        let begins = format!("the {name} is dropped on ");
        let line = stderr.lines().find(|line| line.starts_with(&begins));
        let line = line.unwrap_or_else(|| panic!("the {name} is not dropped:\n{stderr}"));
        assert!(!line.contains("front"), "{line}");
    }
}

#[test]
fn what_is_the_users_is_never_dropped_on_the_front() {
    // A clean stop.
    let agent = Agent::start(BINARY, &[]);
    agent.invoke(json!({}));
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    all_dropped_elsewhere(&stderr, &HELD);

    // A second signal. What cannot be dropped in the remaining moment is not dropped at all.
    let agent = Agent::start(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
    let client = agent.connect().send_post(br#"{"action":"wait"}"#);
    agent.line_with("the handler waits");
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        !stderr.contains("is dropped on agentcore-front"),
        "{stderr}"
    );
    drop(client);

    // A start that fails after a state has been made.
    let (status, stderr) = failed_start(BINARY, &[("START", "fails")]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no database"), "{stderr}");
    all_dropped_elsewhere(&stderr, &HELD);

    // A signal during the start.
    let (mut child, lines) = spawn(BINARY, &[("START", "waits")]);
    let line = lines.recv().expect("a line");
    assert!(line.contains("the start waits"), "{line}");
    signal(&child, "TERM");
    let (status, stderr) = wait(&mut child, &lines);
    assert_eq!(status.code(), Some(0), "{stderr}");
    all_dropped_elsewhere(&stderr, &HELD);
}

/// A start hook has begun a task, and another start hook still runs.
#[test]
fn work_that_the_start_has_begun_is_named_when_a_stop_cuts_it_off() {
    let grace = ("AGENTCORE_SHUTDOWN_GRACE", "100ms");
    let (mut child, lines) = spawn(BINARY, &[("START", "works"), grace]);
    let line = lines.recv().expect("a line");
    assert!(line.contains("the start waits"), "{line}");
    signal(&child, "TERM");
    let (status, stderr) = wait(&mut child, &lines);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cut off: task `warm_up`"), "{stderr}");
}

#[test]
fn a_drop_that_fits_into_the_grace_is_waited_for_and_pings_are_answered_meanwhile() {
    let agent = Agent::start(BINARY, &[("MADE_DROP_SECONDS", "2")]);
    agent.signal("TERM");
    agent.line_with("the made is dropped on");
    assert!(!agent.ping().busy);
    assert_eq!(agent.invoke(json!({})).status, 503);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the made has been dropped"), "{stderr}");
    assert!(stderr.contains("the given is dropped on"), "{stderr}");
}

/// The names of all work that was cut off, from the last line on stderr.
fn last_words(stderr: &str) -> &str {
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("stopped before everything was finished"),
        "{stderr}"
    );
    last
}

#[test]
fn a_drop_that_takes_longer_than_the_grace_is_named() {
    for (variable, named) in [
        ("MADE_DROP_SECONDS", "the drop of state `endings::Made`"),
        (
            "HANDLER_DROP_SECONDS",
            "the drop of the agent's handlers, layers and hooks",
        ),
    ] {
        let agent = Agent::start(
            BINARY,
            &[("AGENTCORE_SHUTDOWN_GRACE", "50ms"), (variable, "3600")],
        );
        agent.signal("TERM");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(last_words(&stderr).contains(named), "{stderr}");
    }
}

#[test]
fn a_second_signal_ends_the_wait_for_a_drop() {
    for (held, named) in [("made", "state `endings::Made`"), ("handler", "handlers")] {
        let variable = format!("{}_DROP_SECONDS", held.to_uppercase());
        let agent = Agent::start(
            BINARY,
            &[("AGENTCORE_SHUTDOWN_GRACE", "10min"), (&variable, "3600")],
        );
        agent.signal("TERM");
        agent.line_with(&format!("the {held} is dropped on"));
        agent.signal("TERM");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("again: stopping at once"), "{stderr}");
        assert!(last_words(&stderr).contains(named), "{stderr}");
    }
}

#[test]
fn a_drop_that_takes_too_long_behind_a_failed_start_is_named() {
    let (status, stderr) = failed_start(
        BINARY,
        &[
            ("START", "fails"),
            ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
            ("MADE_DROP_SECONDS", "3600"),
        ],
    );
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        was_cut_off(&stderr, "the drop of state `endings::Made`"),
        "{stderr}"
    );
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("cannot start: ") && last.contains("no database"),
        "{stderr}"
    );
}

#[test]
fn a_hook_that_takes_longer_than_its_time_is_named() {
    let agent = Agent::start(
        BINARY,
        &[
            ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
            ("HOOK_SECONDS", "3600"),
        ],
    );
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let named = last_words(&stderr);
    assert!(named.contains("shutdown hook `on_shutdown` ("), "{named}");
    // No time is left for the second hook.
    assert!(named.contains(", not called"), "{named}");
    assert!(!stderr.contains("the second hook runs"), "{stderr}");
}

#[test]
fn a_second_signal_during_a_hook_is_no_clean_stop() {
    let agent = Agent::start(BINARY, &[("HOOK_SECONDS", "3600")]);
    agent.signal("TERM");
    agent.line_with("the hook waits");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let named = last_words(&stderr);
    assert!(named.contains("shutdown hook `on_shutdown` ("), "{named}");
    assert!(named.contains(", not called"), "{named}");
}

#[test]
fn a_second_signal_during_a_hook_does_not_hide_what_was_cut_off_before() {
    let agent = Agent::start(
        BINARY,
        &[
            ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
            ("HOOK_SECONDS", "3600"),
        ],
    );
    let client = agent.connect().send_post(br#"{"action":"wait"}"#);
    agent.line_with("the handler waits");
    agent.signal("TERM");
    agent.line_with("the hook waits");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let named = last_words(&stderr);
    assert!(named.contains("invocation "), "{named}");
    assert!(named.contains("shutdown hook `on_shutdown` ("), "{named}");
    drop(client);
}

#[test]
fn work_that_a_hook_begins_is_waited_for() {
    let agent = Agent::start(BINARY, &[("LATE_SECONDS", "0.3")]);
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the late work is done"), "{stderr}");
}

#[test]
fn work_that_a_hook_begins_is_waited_for_when_other_work_was_cut_off() {
    let agent = Agent::start(
        BINARY,
        &[
            ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
            ("LATE_SECONDS", "0.3"),
        ],
    );
    agent.invoke(json!({ "action": "add" }));
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the late work is done"), "{stderr}");
    let named = last_words(&stderr);
    assert!(
        named.contains("task `0`") && !named.contains("late"),
        "{named}"
    );
}

#[test]
fn work_that_a_hook_begins_is_named_if_it_takes_too_long() {
    for adds in [false, true] {
        let agent = Agent::start(
            BINARY,
            &[
                ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
                ("LATE_SECONDS", "3600"),
            ],
        );
        if adds {
            agent.invoke(json!({ "action": "add" }));
        }
        agent.signal("TERM");
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        let named = last_words(&stderr);
        assert_eq!(named.matches("task `late`").count(), 1, "{named}");
        assert_eq!(
            named.matches("task `0`").count(),
            usize::from(adds),
            "{named}"
        );
    }
}

#[test]
fn a_second_signal_during_work_that_a_hook_began_names_it() {
    let agent = Agent::start(BINARY, &[("LATE_SECONDS", "3600")]);
    agent.signal("TERM");
    agent.line_with("the second hook runs");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(last_words(&stderr).contains("task `late`"), "{stderr}");
}

/// An agent with many tasks.
fn with_tasks(count: usize, length: usize) -> Agent {
    let agent = Agent::start(
        BINARY,
        &[
            ("AGENTCORE_METRICS", "true"),
            ("AGENTCORE_SHUTDOWN_GRACE", "100ms"),
            ("HOOK_SECONDS", "3600"),
        ],
    );
    let add = json!({ "action": "add", "count": count, "length": length });
    assert_eq!(agent.invoke(add).status, 200);
    agent
}

/// The time of the longest ping while `work` runs.
fn longest_ping(agent: &Agent, work: impl FnOnce()) -> Duration {
    let (address, is_over) = (agent.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut client = Client::connect(address);
            let mut longest = Duration::ZERO;
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                let began = Instant::now();
                client = client.send(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
                assert_eq!(client.next_reply().status, 200);
                longest = longest.max(began.elapsed());
                if is_last {
                    return longest;
                }
            }
        });
        work();
        is_over.store(true, Ordering::SeqCst);
        pings.join().expect("replies")
    })
}

/// Enough tasks to show a cost for each, also in a build without optimisation.
const TASKS: usize = 300_000;

/// The limit for a ping on a slow machine. Before the front worked in slices, these pings took one second or more.
const LONGEST_PING: Duration = Duration::from_millis(400);

#[test]
fn pings_do_not_wait_for_a_scrape_or_a_stop_with_many_tasks() {
    let agent = with_tasks(TASKS, 1);
    let scraped = longest_ping(&agent, || {
        let page = String::from_utf8(agent.get("/metrics").body).expect("text");
        let others = format!(
            r#"agentcore_active_tasks{{name="(others)"}} {}"#,
            TASKS - 100
        );
        assert!(page.contains(&others), "{page}");
    });
    let stopped = longest_ping(&agent, || {
        agent.signal("TERM");
        agent.line_with("the hook waits");
    });
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let more = format!("{} more", TASKS - 500);
    assert!(last_words(&stderr).contains(&more), "{more}");
    eprintln!("a scrape {scraped:?}, a stop {stopped:?}");
    assert!(scraped < LONGEST_PING, "{scraped:?}");
    assert!(stopped < LONGEST_PING, "{stopped:?}");
}

#[test]
fn a_tasks_name_is_kept_up_to_a_limit() {
    let agent = with_tasks(3, 5000);
    let longest = agent.invoke(json!({ "action": "longest_name" }));
    assert_eq!(longest.json(), json!(256));
}
