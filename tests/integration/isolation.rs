//! `/ping` answers whatever handlers do to their threads.

use serde_json::json;

use crate::support::{Agent, Latch, get};

/// While eight handlers occupy both workers, every ping is answered: a ping that needed a worker would wait for the test itself.
/// `tests/load` measures how quick pings are.
fn pings_do_not_wait_for(action: &str) {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_WORKER_THREADS", "2")],
    );
    let latch = Latch::new();
    let event = json!({ "action": action, "port": latch.port() });
    let running: Vec<_> = (0..8).map(|_| agent.invoke_later(event.clone())).collect();
    let held = [latch.held(), latch.held()];
    let mut client = agent.connect();
    for _ in 0..100 {
        client.write(&get("/ping"));
        let reply = client.next_reply();
        assert_eq!(reply.json()["status"], "HealthyBusy", "{reply:?}");
    }
    drop((held, latch));
    for reply in running {
        assert_eq!(reply.join().expect("a reply").status, 200);
    }
}

#[test]
fn pings_do_not_wait_for_blocked_workers() {
    pings_do_not_wait_for("block");
}

#[test]
fn pings_do_not_wait_for_spinning_workers() {
    pings_do_not_wait_for("spin");
}

/// SIGTERM is noticed, too, while every worker is blocked.
#[test]
fn a_signal_is_noticed_while_every_worker_is_blocked() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[
            ("AGENTCORE_WORKER_THREADS", "1"),
            ("AGENTCORE_SHUTDOWN_GRACE", "50ms"),
        ],
    );
    let latch = Latch::new();
    let _blocked = agent.invoke_later(json!({ "action": "block", "port": latch.port() }));
    let _held = latch.held();
    agent.signal("TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cut off: invocation ") && stderr.contains(" of `handler` after "),
        "{stderr}"
    );
}

/// A poll may take a second. The handlers block until that is over.
#[test]
fn blocked_workers_are_reported_with_the_handlers_that_block_them() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_WORKER_THREADS", "2")],
    );
    let latch = Latch::new();
    let running: Vec<_> = ["first", "second"]
        .into_iter()
        .map(|id| {
            let body = json!({ "action": "block", "port": latch.port() }).to_string();
            let head = format!(
                "POST /invocations HTTP/1.1\r\nhost: a\r\nx-amzn-requestid: {id}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let client = agent.connect().send((head + &body).as_bytes());
            std::thread::spawn(move || client.reply())
        })
        .collect();
    let one = agent.line_with("has blocked its thread for 1 s");
    let cure = "; move blocking work to `tokio::task::spawn_blocking`, or make the entrypoint a plain `fn`";
    assert!(
        ["first", "second"].iter().any(|id| one.contains(&format!(
            "`handler` (invocation {id}) has blocked its thread for 1 s{cure}"
        ))),
        "{one}"
    );
    let all = agent.line_with("all workers (2) are blocked");
    for name in [
        "`handler` (invocation first) for ",
        "`handler` (invocation second) for ",
    ] {
        assert!(all.contains(name), "{all}");
    }
    drop(latch);
    agent.line_with("the workers run again");
    for reply in running {
        assert_eq!(reply.join().expect("a reply").status, 200);
    }
}

/// Time is the subject: a queue is not a stall. The task with which the server tests its workers waits for more than a second,
/// after tasks that were spawned before it. All the while the worker makes progress.
#[test]
fn a_busy_runtime_is_not_taken_for_a_blocked_one() {
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_agent_macros"),
        &[("AGENTCORE_WORKER_THREADS", "1")],
    );
    assert_eq!(agent.invoke(json!({ "action": "flood" })).status, 200);
    agent.until_idle();
    agent.signal("TERM");
    let (_, stderr) = agent.wait();
    assert!(!stderr.contains("are blocked"), "{stderr}");
}
