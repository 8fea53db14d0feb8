//! SIGTERM: no accepted work is lost silently.

use serde_json::json;

use crate::support::Agent;

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_agent_macros"), environment)
}

#[test]
fn an_idle_agent_stops_at_once_with_0() {
    for signal in ["TERM", "INT"] {
        let agent = agent(&[]);
        agent.signal(signal);
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }
}

#[test]
fn an_idle_keep_alive_connection_does_not_hold_the_stop() {
    let agent = agent(&[]);
    let mut client = agent
        .connect()
        .send(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
    client.next_reply();
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(client.rest().is_empty());
}

#[test]
fn work_in_progress_is_finished_while_new_work_is_refused_and_pings_are_answered() {
    let agent = agent(&[]);
    let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
    agent.until_tasks(1);
    // This opens the gate, so it has to be in flight before the signal.
    let opener = agent.connect().begin_post().send(b"1\r\n{\r\n");
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");

    let refused = agent.invoke(json!({}));
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(refused.json()["error"], "Shutting down");
    assert!(agent.ping().busy);

    let rest = br#""action": "open", "gate": "g"}"#;
    let opener = opener
        .send(format!("{:x}\r\n", rest.len()).as_bytes())
        .send(rest)
        .send(b"\r\n0\r\n\r\n");
    assert_eq!(opener.reply().json(), json!({ "opened": "g" }));
    assert_eq!(
        running.join().expect("a reply").parts(),
        (200, json!({ "passed": "g" }))
    );
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn what_does_not_finish_within_the_grace_is_named_and_the_exit_code_is_1() {
    let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "50ms")]);
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cut off: task `gated`"), "{stderr}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let agent = agent(&[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("again: stopping at once") && stderr.contains("cut off: task `gated`"),
        "{stderr}"
    );
}

#[test]
fn hooks_run_at_both_ends_and_a_state_reaches_the_handler() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_hooks"), &[]);
    assert_eq!(
        agent.invoke(json!({})).parts(),
        (200, json!("made by a hook"))
    );
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the shutdown hook ran"), "{stderr}");
}

#[test]
fn app_stops_when_its_future_says_so() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_agent_app"), &[]);
    let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
    agent.until_tasks(1);
    agent.invoke(json!({ "action": "open", "gate": "g" }));
    agent.signal("TERM");
    assert_eq!(running.join().expect("a reply").status, 200);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

/// Processor time is the subject. The test spins meanwhile, so however busy the machine is, an agent that spun would get about as
/// much as the test does.
#[cfg(target_os = "linux")]
#[test]
fn waiting_for_work_costs_nothing() {
    for binary in [
        env!("CARGO_BIN_EXE_agent_app"),
        env!("CARGO_BIN_EXE_agent_macros"),
    ] {
        let agent = Agent::start(binary, &[]);
        agent.invoke(json!({ "action": "spawn", "gate": "never" }));
        agent.signal("TERM");
        agent.until("the drain has begun", |agent| {
            agent.invoke(json!({})).status == 503
        });
        let of_the_agent = format!("/proc/{}/stat", agent.pid());
        let of_the_test = "/proc/thread-self/stat";
        let (before, began) = (ticks(&of_the_agent), ticks(of_the_test));
        while ticks(of_the_test) < began + 40 {}
        let used = ticks(&of_the_agent) - before;
        assert!(used < 10, "{used} ticks, and the test used 40");
    }
}

/// The processor time in a `stat` file, in hundredths of a second.
#[cfg(target_os = "linux")]
fn ticks(stat: &str) -> u64 {
    let stat = std::fs::read_to_string(stat).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let fields: Vec<u64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse().expect("a number"))
        .collect();
    fields.iter().sum()
}
