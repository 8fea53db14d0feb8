//! Restore hooks: once for each restore, before any request reaches user code.
//!
//! libfaketime moves the wall clock of a running agent ahead, as a restore from a snapshot does.

use std::time::Instant;

use serde_json::{Value, json};

use crate::restorable::Restorable;
use crate::routes::own_port;
use crate::support::websocket::{Peer, handshake};
use crate::support::{Agent, Client, Latch, Observer, Reply, get, post, was_cut_off};

const AGENT: &str = env!("CARGO_BIN_EXE_platform_hooks");

fn restores(agent: &Agent) -> Value {
    agent.invoke(json!({})).json()["restores"].clone()
}

/// 64 requests arrive at once. Pings are answered while they wait.
#[test]
fn each_restore_runs_the_hooks_once_before_any_of_64_requests() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let Some(mut restorable) = Restorable::start(AGENT, &[("RESTORE", &port)]) else {
        return;
    };
    assert_eq!(restores(&restorable.agent), 0);
    let before = restorable.agent.ping();
    for round in 1..=2 {
        restorable.restore();
        let agent = &restorable.agent;
        let clients: Vec<_> = (0..64)
            .map(|_| agent.connect().send(&post(b"{}")))
            .collect();
        let held = latch.held();
        let mut observer = Observer::new(agent.address());
        let mut quickest = None;
        for _ in 0..64 {
            let began = Instant::now();
            let ping = observer.ping();
            let took = began.elapsed();
            quickest = quickest.map_or(Some(took), |known| Some(took.min(known)));
            assert!(ping.busy);
            assert!(ping.stamp - before.stamp >= 7200 * round, "{ping:?}");
        }
        // A ping does not wait for anything. On a busy machine not every ping is quick, but one is.
        assert!(quickest.expect("a time").as_millis() < 5, "{quickest:?}");
        assert!(clients.iter().all(|client| !client.has_more()));
        drop(held);
        for client in clients {
            let reply = client.reply();
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.json()["restores"], round);
        }
        agent.until_idle();
        assert_eq!(restores(agent), round);
    }
}

/// A ping that notices the restore begins the run, and does not wait for it.
#[test]
fn a_ping_begins_the_run_and_sockets_routes_and_unknown_paths_wait_for_it() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let Some(mut restorable) = Restorable::start(AGENT, &[("RESTORE", &port)]) else {
        return;
    };
    restorable.restore();
    let agent = &restorable.agent;
    agent.ping();
    let held = latch.held();
    let mut socket = agent.connect().send(handshake("").as_bytes());
    let unknown = agent.connect().send(&get("/nowhere"));
    let port = own_port(agent);
    let routed = Client::connect(port).send(&get("/restores"));
    assert_eq!(
        Client::connect(port).send(&get("/ping")).reply().status,
        200
    );
    let warmup = agent
        .connect()
        .send(b"POST /warmup HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert!(agent.ping().busy);
    assert!(!unknown.has_more() && !warmup.has_more() && !socket.has_more() && !routed.has_more());
    drop(held);
    assert_eq!(routed.reply().body, b"1");
    assert_eq!(socket.next_reply().status, 101);
    assert_eq!(Peer::upgraded(socket).next_text(), "open");
    assert_eq!(unknown.reply().status, 404);
    assert_eq!(warmup.reply().status, 200);
    assert_eq!(restores(agent), 1);
}

/// The head came before the restore was noticed, and the rest of the body while the hook ran.
#[test]
fn an_invocation_whose_body_still_comes_waits_too() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let Some(mut restorable) = Restorable::start(AGENT, &[("RESTORE", &port)]) else {
        return;
    };
    for how in [None, Some(b'e')] {
        let agent = &restorable.agent;
        let before = restores(agent);
        let mut client = agent.connect().begin_post();
        restorable.restore();
        let agent = &restorable.agent;
        agent.ping();
        let mut held = latch.held();
        client.write(b"2\r\n{}\r\n0\r\n\r\n");
        for _ in 0..20 {
            agent.ping();
        }
        assert!(!client.has_more());
        if let Some(how) = how {
            std::io::Write::write_all(&mut held, &[how]).expect("the hook listens");
            refused(&client.reply());
        } else {
            drop(held);
            let count = client.reply().json()["restores"].as_u64();
            assert_eq!(count, before.as_u64().map(|before| before + 1));
        }
        agent.until_idle();
    }
}

fn refused(reply: &Reply) {
    let expected = json!({ "error": "The agent has not been restored from its snapshot" });
    assert_eq!(reply.parts(), (503, expected));
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[test]
fn a_hook_that_fails_refuses_those_that_wait_and_runs_again_for_the_next() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let Some(mut restorable) = Restorable::start(AGENT, &[("RESTORE", &port)]) else {
        return;
    };
    restorable.restore();
    let agent = &restorable.agent;
    for (how, line) in [
        (b'e', "failed: the weights are not there"),
        (b'p', "the weights are broken"),
    ] {
        let client = agent.connect().send(&post(b"{}"));
        let mut held = latch.held();
        std::io::Write::write_all(&mut held, &[how]).expect("the hook listens");
        refused(&client.reply());
        assert!(agent.line_with(line).contains("restore hook `on_restore`"));
        agent.until_idle();
    }
    let client = agent.connect().send(&post(b"{}"));
    drop(latch.held());
    let reply = client.reply().json();
    assert_eq!(
        (&reply["restores"], &reply["calls"]),
        (&json!(3), &json!(0))
    );
}

/// Only an invocation has its errors in-band.
#[test]
fn a_refusal_is_in_band_for_invocations_alone() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let environment = [("RESTORE", &*port), ("AGENTCORE_ERRORS", "in-band")];
    let Some(mut restorable) = Restorable::start(AGENT, &environment) else {
        return;
    };
    restorable.restore();
    let agent = &restorable.agent;
    // After a failure, the next request begins a run of its own.
    let refusal = |request: &[u8]| {
        let client = agent.connect().send(request);
        let held = latch.held();
        std::io::Write::write_all(&mut &held, b"e").expect("the hook listens");
        client.reply()
    };
    let reply = refusal(&post(b"{}"));
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!(503)));
    refused(&refusal(&get("/invocations")));
    refused(&refusal(&get("/nowhere")));
}

#[test]
fn a_hook_that_takes_too_long_is_503_and_named() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let limit = [("RESTORE", &*port), ("RESTORE_SECONDS", "2")];
    let Some(mut restorable) = Restorable::start(AGENT, &limit) else {
        return;
    };
    restorable.restore();
    let agent = &restorable.agent;
    let client = agent.connect().send(&post(b"{}"));
    let _held = latch.held();
    refused(&client.reply());
    let line = agent.line_with(" took longer than 2s");
    assert!(line.contains("restore hook `on_restore` ("), "{line}");
    agent.until_idle();
}

#[test]
fn a_run_beyond_the_grace_is_cut_off_and_named() {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let environment = [("RESTORE", &*port), ("AGENTCORE_SHUTDOWN_GRACE", "1s")];
    let Some(mut restorable) = Restorable::start(AGENT, &environment) else {
        return;
    };
    restorable.restore();
    let client = restorable.agent.connect().send(&post(b"{}"));
    let _held = latch.held();
    restorable.agent.signal("TERM");
    assert_eq!(client.reply().status, 503);
    let (status, stderr) = restorable.agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(was_cut_off(&stderr, "`on_restore`"), "{stderr}");
}
