//! What an agent accepts, and how it says that there is no room.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, Client, DEADLINE, Latch, Reply, wait_until};

fn agent(environment: &[(&str, &str)]) -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_agent_macros"), environment)
}

/// Begins an invocation of a session.
fn invoke_in(agent: &Agent, session: &str, event: &Value) -> Client {
    let body = event.to_string();
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\nx-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    agent.connect().send((head + &body).as_bytes())
}

fn refusal(reply: &Reply) -> (u16, Option<&str>, String) {
    let error = reply.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (reply.status, reply.header("retry-after"), error)
}

#[test]
fn one_invocation_too_many_is_told_to_come_back() {
    let agent = agent(&[("AGENTCORE_MAX_INVOCATIONS", "2")]);
    let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
    agent.until_tasks(1);
    // An invocation counts from its head on.
    let sending = agent.connect().begin_post();
    assert_eq!(
        refusal(&agent.invoke(json!({}))),
        (503, Some("1"), "Too many invocations".to_owned())
    );
    assert!(agent.ping().busy);

    let body = br#"{"action": "open", "gate": "g"}"#;
    let sent = sending
        .send(format!("{:x}\r\n", body.len()).as_bytes())
        .send(body)
        .send(b"\r\n0\r\n\r\n");
    assert_eq!(sent.reply().status, 200);
    assert_eq!(running.join().expect("a reply").status, 200);
    assert_eq!(agent.invoke(json!({})).status, 200);
    agent.until_idle();
}

#[test]
fn a_refusal_is_in_band_where_errors_are() {
    let agent = agent(&[
        ("AGENTCORE_MAX_INVOCATIONS", "1"),
        ("AGENTCORE_ERRORS", "in-band"),
    ]);
    let _held = agent.connect().begin_post();
    assert_eq!(
        agent.invoke(json!({})).parts(),
        (
            200,
            json!({ "error": "Too many invocations", "status": 503 })
        )
    );
}

#[test]
fn a_busy_session_is_rejected_and_other_sessions_are_not() {
    let agent = agent(&[("AGENTCORE_SESSION_POLICY", "reject")]);
    let wait = json!({ "action": "wait", "gate": "g" });
    let running = invoke_in(&agent, "one", &wait);
    agent.until_tasks(1);
    assert_eq!(
        refusal(&invoke_in(&agent, "one", &json!({})).reply()),
        (409, Some("1"), "The session is busy".to_owned())
    );
    assert_eq!(invoke_in(&agent, "two", &json!({})).reply().status, 200);
    assert_eq!(
        agent
            .invoke(json!({ "action": "open", "gate": "g" }))
            .status,
        200
    );
    assert_eq!(running.reply().status, 200);
    agent.until("the session is free", |agent| {
        invoke_in(agent, "one", &json!({})).reply().status == 200
    });
}

#[test]
fn a_queued_invocation_is_busy_and_runs_in_its_turn() {
    let agent = agent(&[("AGENTCORE_SESSION_POLICY", "queue")]);
    let wait = |gate: &str| json!({ "action": "wait", "gate": gate });
    let first = invoke_in(&agent, "one", &wait("first"));
    agent.until_tasks(1);
    let second = invoke_in(&agent, "one", &wait("second"));
    // A session that queues does not delay other sessions.
    assert_eq!(invoke_in(&agent, "two", &json!({})).reply().status, 200);
    assert_eq!(agent.tasks()["active_tasks"], 1);
    agent.invoke(json!({ "action": "open", "gate": "first" }));
    assert_eq!(first.reply().json(), json!({ "passed": "first" }));
    agent.until_tasks(1);
    assert!(agent.ping().busy);
    agent.invoke(json!({ "action": "open", "gate": "second" }));
    assert_eq!(second.reply().json(), json!({ "passed": "second" }));
    agent.until_idle();
}

/// Accepted work is finished, also if its client does not wait for its turn.
#[test]
fn a_queued_invocation_whose_client_has_left_is_finished() {
    let agent = agent(&[("AGENTCORE_SESSION_POLICY", "queue")]);
    let first = invoke_in(&agent, "one", &json!({ "action": "wait", "gate": "first" }));
    agent.until_tasks(1);
    let spawn = json!({ "action": "spawn", "gate": "second" });
    let mut queued = invoke_in(&agent, "one", &spawn);
    // A second request on the connection shows that the first has been read, because it is answered after it.
    queued = queued.send(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
    agent.until("both are in flight", |agent| {
        let status = agent.invoke(json!({ "action": "status" })).json();
        status["active_tasks"] == 1
    });
    drop(queued.finish_sending());
    agent.invoke(json!({ "action": "open", "gate": "first" }));
    assert_eq!(first.reply().status, 200);
    agent.until("the queued invocation has run", |agent| {
        agent.tasks()["active_tasks"] == 1
    });
    agent.invoke(json!({ "action": "open", "gate": "second" }));
    agent.until_idle();
}

/// Time is the subject: bytes that come too slowly. Each byte comes long before a pause is over, and bytes keep coming until
/// the reply is there.
#[test]
fn a_body_that_trickles_is_given_up() {
    let agent = agent(&[("AGENTCORE_BODY_TIMEOUT", "1s")]);
    let mut client = agent
        .connect()
        .send(b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    wait_until(DEADLINE, "the body is given up", || {
        let is_answered = client.has_more();
        if !is_answered {
            client.try_write(b" ");
        }
        is_answered
    });
    assert_eq!(client.next_reply().status, 408);
    agent.until_idle();
}

/// A reply that its client does not take would keep the agent busy for as long as the client likes.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_takes_nothing_of_its_reply_is_given_up() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_replies"),
        &[("AGENTCORE_WRITE_TIMEOUT", "300ms")],
    );
    let mut client = agent.connect().send_post(b"\"large\"");
    assert_eq!(client.head().0, 200);
    agent.until_idle();
    // It was given up: what the client has not taken does not come any more.
    assert!(client.rest().len() < 40_000_000);
}

/// More connections than the process may open files. They send nothing, and may stay silent for long.
#[cfg(unix)]
#[test]
fn silent_connections_keep_out_neither_pings_nor_probes() {
    let mut limited = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_agent_macros");
    limited.args(["-c", "ulimit -n 200 && exec \"$0\"", binary]);
    let agent = Agent::start_command(
        limited,
        &[
            ("AGENTCORE_ADMIN_PORT", "0"),
            ("AGENTCORE_PROBES", "true"),
            ("AGENTCORE_HEADER_TIMEOUT", "10m"),
        ],
    );
    let mut silent: Vec<_> = (0..300).map(|_| agent.connect()).collect();
    for _ in 0..20 {
        assert!(!agent.ping().busy);
        let probe = Client::connect(agent.admin_address());
        let probe = probe
            .send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
            .reply();
        assert_eq!(probe.status, 200);
        // A new connection replaces each that is closed.
        silent.push(agent.connect());
    }
    // The first connections are full members: they may invoke, and have all the time they need.
    let first = silent.swap_remove(0).send_post(b"{}").reply();
    assert_eq!(first.status, 200);
}

/// Time is the subject: in each of the agent's time limits the client takes 150 kB, which is less than the kernel sends at once.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_reads_steadily_and_slowly_gets_its_reply() {
    const LIMIT: Duration = Duration::from_secs(2);
    let limit = format!("{}s", LIMIT.as_secs());
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_replies"),
        &[("AGENTCORE_WRITE_TIMEOUT", &limit)],
    );
    wait_until(DEADLINE, "a client reads steadily", || {
        reads_steadily(&agent, LIMIT)
    });
    agent.until_idle();
}

/// False if the client did not come to read for half of the limit.
#[cfg(target_os = "linux")]
fn reads_steadily(agent: &Agent, limit: Duration) -> bool {
    const BYTES_A_SECOND: f64 = 75_000.0;
    let (began, mut taken, mut last) = (Instant::now(), 0, Duration::ZERO);
    let mut client = agent.connect().send_post(b"\"large\"");
    let (status, headers) = client.head();
    assert_eq!(status, 200);
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.expect("a length").1.parse().expect("a number");
    while last < 3 * limit {
        let now = began.elapsed();
        let is_busy = agent.ping().busy;
        if began.elapsed() - last > limit / 2 {
            return false;
        }
        assert!(is_busy, "given up after {taken} bytes");
        let due = (now.as_secs_f64() * BYTES_A_SECOND) as usize;
        client.take(due - taken);
        (taken, last) = (due, now);
        std::thread::sleep(Duration::from_millis(50));
    }
    client.take(length - taken);
    true
}

/// The only full connection leaves. Others come again and again, and one of them gets its place.
#[test]
fn a_crowd_that_comes_again_keeps_nobody_out_of_a_free_place() {
    let agent = agent(&[("AGENTCORE_MAX_CONNECTIONS", "1")]);
    let first = agent
        .connect()
        .send(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut crowd = vec![agent.connect()];
    drop(first);
    wait_until(DEADLINE, "an invocation is let in", || {
        let reply = agent.connect().send_post(b"{}").reply();
        crowd.push(agent.connect());
        crowd.remove(0);
        reply.status == 200
    });
}

/// Beyond the maximum there are at most 32 connections, and none stays for as long as a head may take.
#[cfg(target_os = "linux")]
#[test]
fn a_crowd_is_bounded_in_number_and_in_time() {
    let agent = agent(&[
        ("AGENTCORE_MAX_CONNECTIONS", "1"),
        ("AGENTCORE_HEADER_TIMEOUT", "10m"),
    ]);
    let mut first = agent.connect();
    first.write(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(first.next_reply().status, 200);
    let before = agent.descriptors();
    let crowd: Vec<_> = (0..100).map(|_| agent.connect()).collect();
    // The kernel passes connections in their order: all of them have been accepted before this ping is answered.
    assert!(!agent.ping().busy);
    let open = agent.descriptors() - before;
    // Some connections may not be closed yet.
    assert!(open < 60, "{open} connections");
    for client in crowd {
        assert_eq!(client.try_rest().expect("an end in time"), b"");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_agent_without_descriptors_accepts_again_when_there_are_some() {
    let agent = agent(&[]);
    let mut client = agent.connect();
    // Lower than the number of files that the test may open itself.
    let limit = format!("--nofile={0}:{0}", 200);
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &agent.pid().to_string(), &limit])
        .status();
    assert!(limited.expect("a prlimit command").success());
    let latch = Latch::new();
    let event = json!({ "action": "open_files", "port": latch.port() }).to_string();
    client = client.send_post(event.as_bytes());
    let opened = client.next_reply().json()["opened"].as_u64();
    assert!(opened > Some(50), "{opened:?}");
    let held = latch.held();
    // The kernel connects it, and the agent accepts it when files have been closed.
    let waiting = agent.connect().send_post(br#"{ "still": "well" }"#);
    assert!(
        agent
            .line_with("cannot accept connections")
            .contains("trying again")
    );
    drop(held);
    assert_eq!(waiting.reply().status, 200);
}
