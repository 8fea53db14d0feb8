//! A client can make the agent keep only a bounded amount.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE};

const BINARY: &str = env!("CARGO_BIN_EXE_bounds");

/// The result of a task that is not awaited is dropped, and that drop is user code: the agent is busy with it, and a
/// stop waits for it.
#[test]
fn a_result_that_nobody_takes_is_dropped_while_its_task_counts() {
    let agent = Agent::start(BINARY, &[]);
    let test = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = test.local_addr().expect("an address").port();
    let started = agent.invoke(json!({ "action": "drop_a_result", "port": port }));
    assert_eq!(started.status, 200);
    let (mut dropping, _) = test.accept().expect("the drop has begun");
    dropping
        .set_read_timeout(Some(DEADLINE))
        .expect("a time limit");
    let mut said = [0; 8];
    dropping.read_exact(&mut said).expect("the drop has begun");
    assert!(agent.ping().busy);
    agent.signal("TERM");
    agent.line_with("SIGTERM");
    // The reply of the last invocation has left: only the drop is in progress.
    assert!(agent.ping().busy);
    drop::<TcpStream>(dropping);
    let (status, log) = agent.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("the result has been dropped"), "{log}");
}

/// Objects with one short key take ninety times the memory of their text.
#[cfg(target_os = "linux")]
#[test]
fn kept_results_take_the_memory_of_their_text() {
    let agent = Agent::start(BINARY, &[]);
    let value: Vec<Value> = vec![json!({ "": 0 }); 20_000];
    let keep = |count| {
        let event = json!({ "action": "keep", "count": count, "json": value });
        agent.invoke(event).json()
    };
    // The allocator keeps what one invocation takes for itself.
    keep(2);
    let before = agent.resident_kib();
    let tasks = keep(60);
    let grown = agent.resident_kib().saturating_sub(before);
    // 8 MB of text, which is 800 MB as values.
    assert!(grown < 200 * 1024, "{grown} KiB");
    let found = agent.invoke(json!({ "action": "find", "task": tasks[59] }));
    assert_eq!(found.json()["status"], "completed");
    assert_eq!(found.json()["result"], json!(value));
}

#[test]
fn a_body_of_too_many_values_is_refused_and_one_of_as_many_is_not() {
    let agent = Agent::start(BINARY, &[("AGENTCORE_MAX_JSON_NODES", "25")]);
    let echo = |values: usize| {
        let list = vec![Value::Null; values];
        agent.invoke(json!({ "action": "echo", "json": list }))
    };
    assert_eq!(echo(10).status, 200);
    let refused = echo(30);
    assert_eq!(
        refused.parts(),
        (
            413,
            json!({
                "error": "Payload Too Large",
                "details": "the JSON has more than 25 values and keys"
            })
        )
    );
    assert!(!agent.ping().busy);
}

#[test]
fn a_number_that_does_not_fit_is_refused_and_named() {
    let agent = Agent::start(BINARY, &[]);
    let ratio = |number: &str| agent.post(format!(r#"{{"action":"ratio","ratio":{number}}}"#));
    assert_eq!(ratio("3.4e38").status, 200);
    let refused = ratio("1e39");
    assert_eq!(
        (refused.status, &refused.json()["path"]),
        (422, &json!("ratio"))
    );
    assert_eq!(ratio("1e999").status, 400);
}
