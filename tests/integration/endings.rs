//! How an agent ends: on which thread values are dropped, what the end waits for, and what it names.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::{
    Agent, Client, DEADLINE, Latch, failed_start, get, signal, spawn, wait, wait_until, was_cut_off,
};

const BINARY: &str = env!("CARGO_BIN_EXE_endings");

/// Longer than a test waits for anything.
const LONG: (&str, &str) = ("AGENTCORE_SHUTDOWN_GRACE", "10min");

/// Everything that the agent holds.
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
    let latch = Latch::new();
    let port = latch.port().to_string();
    let agent = Agent::start(BINARY, &[("MADE_DROP_AT", &port), LONG]);
    agent.signal("TERM");
    let held = latch.held();
    assert!(!agent.ping().busy);
    assert_eq!(agent.invoke(json!({})).status, 503);
    drop(held);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the made has been dropped"), "{stderr}");
    assert!(stderr.contains("the given is dropped on"), "{stderr}");
}

/// The last line that is not one of the fixture's drops. Drops on other threads go on while the process ends.
fn last_line(stderr: &str) -> &str {
    let of_a_drop = |line: &&str| line.starts_with("the ") && line.contains(" dropped");
    let mut lines = stderr.lines().filter(|line| !of_a_drop(line));
    lines.next_back().unwrap_or_default()
}

/// The names of everything that was cut off, as the last line on stderr says them.
fn last_words(stderr: &str) -> &str {
    let last = last_line(stderr);
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
    let last = last_line(&stderr);
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
    let latch = Latch::new();
    let port = latch.port().to_string();
    let agent = Agent::start(BINARY, &[("LATE_AT", &port), LONG]);
    agent.signal("TERM");
    let held = latch.held();
    agent.line_with("the second hook runs");
    assert!(agent.ping().busy);
    drop(held);
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
            // Of the two seconds that it has.
            ("LATE_SECONDS", "0.1"),
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

/// What the front did for some work, in nanoseconds of processor time. All of it is 0 where the kernel does not tell.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct FrontTime {
    in_all: u64,
    /// From a ping to its answer, at most.
    for_a_ping: u64,
}

#[cfg(target_os = "linux")]
impl FrontTime {
    /// Whether each ping has waited for a small part of the work, or all of the work was little.
    fn is_fair(&self) -> bool {
        self.for_a_ping < self.in_all / 6 || self.in_all < 20_000_000
    }
}

/// Pings again and again while `work` is done.
#[cfg(target_os = "linux")]
fn front_time(agent: &Agent, work: impl FnOnce()) -> FrontTime {
    let threads = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("a process");
    let mut threads = threads.map(|thread| thread.expect("a thread").path());
    let front = threads.find(|thread| {
        let name = std::fs::read_to_string(thread.join("comm"));
        name.is_ok_and(|name| name.trim() == "agentcore-front")
    });
    let used = || {
        let text = std::fs::read_to_string(front.as_ref()?.join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let used = || -> u64 { used().unwrap_or_default() };
    let (address, began, is_over) = (agent.address(), used(), AtomicBool::new(false));
    let for_a_ping = std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut client = Client::connect(address);
            let mut longest = 0;
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                let before = used();
                client.write(&get("/ping"));
                assert_eq!(client.next_reply().status, 200);
                longest = longest.max(used().saturating_sub(before));
                if is_last {
                    return longest;
                }
            }
        });
        work();
        is_over.store(true, Ordering::SeqCst);
        pings.join().expect("replies")
    });
    FrontTime {
        in_all: used().saturating_sub(began),
        for_a_ping,
    }
}

/// Enough to show what grows with them, in a build without optimisation too.
#[cfg(target_os = "linux")]
const TASKS: usize = 300_000;

/// Processor time is the subject. The front may have gone on before the test looks at a ping's answer, so one fair try tells: a
/// front that walks through all tasks at once has none.
#[cfg(target_os = "linux")]
#[test]
fn pings_do_not_wait_for_a_scrape_or_a_stop_with_many_tasks() {
    wait_until(2 * DEADLINE, "pings do not wait", || {
        let (scrape, stop) = scrape_and_stop_with_many_tasks();
        eprintln!("a scrape {scrape:?}, a stop {stop:?}");
        scrape.is_fair() && stop.is_fair()
    });
}

#[cfg(target_os = "linux")]
fn scrape_and_stop_with_many_tasks() -> (FrontTime, FrontTime) {
    let agent = with_tasks(TASKS, 1);
    let scrape = front_time(&agent, || {
        let page = String::from_utf8(agent.get("/metrics").body).expect("text");
        let others = format!(
            r#"agentcore_active_tasks{{name="(others)"}} {}"#,
            TASKS - 100
        );
        assert!(page.contains(&others), "{page}");
    });
    let stop = front_time(&agent, || {
        agent.signal("TERM");
        agent.line_with("the hook waits");
    });
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    let more = format!("{} more", TASKS - 500);
    assert!(last_words(&stderr).contains(&more), "{more}");
    (scrape, stop)
}

#[test]
fn a_tasks_name_is_kept_up_to_a_limit() {
    let agent = with_tasks(3, 5000);
    let longest = agent.invoke(json!({ "action": "longest_name" }));
    assert_eq!(longest.json(), json!(256));
}
