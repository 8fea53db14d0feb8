//! The platform's warm-up request, in every order: before the start hooks have finished, after, at once, after a failure.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::support::{
    Agent, Client, DEADLINE, Latch, Reply, free_port, get, post, signal, spawn, wait, wait_until,
    was_cut_off,
};

const AGENT: &str = env!("CARGO_BIN_EXE_platform_hooks");

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn warm_up() -> Vec<u8> {
    request("POST", "/warmup", "{}")
}

/// Sends a warm-up request. Its reply is collected by `join`.
fn warm_up_later(agent: &Agent) -> JoinHandle<Reply> {
    let client = agent.connect().send(&warm_up());
    std::thread::spawn(move || client.reply())
}

/// An agent whose warm-up hook waits at the latch.
fn gated(variable: &str, environment: &[(&str, &str)]) -> (Agent, Latch) {
    let latch = Latch::new();
    let port = latch.port().to_string();
    let environment = [&[(variable, &*port)], environment].concat();
    (Agent::start(AGENT, &environment), latch)
}

fn end(mut held: TcpStream, how: &[u8]) {
    held.write_all(how).expect("the hook listens");
}

fn error(reply: &Reply) -> String {
    let body = reply.json();
    body["error"].as_str().expect("a text").to_owned()
}

/// How many runs of the first hook have begun.
fn warmups(agent: &Agent) -> Value {
    agent.invoke(json!({})).json()["warmups"].clone()
}

#[test]
fn a_run_is_answered_with_what_ran_and_keeps_the_agent_busy() {
    let (agent, latch) = gated("WARMUP", &[("AGENTCORE_BUSY_WHILE", "tasks")]);
    let reply = warm_up_later(&agent);
    let held = latch.held();
    assert!(agent.ping().busy);
    drop(held);
    let reply = reply.join().expect("a reply");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let body = reply.json();
    let hooks = body["hooks"].as_array().expect("a list");
    let names: Vec<_> = hooks.iter().map(|hook| hook["name"].clone()).collect();
    assert_eq!(names, ["first", "second"]);
    let took = |of: &Value| of["duration_ms"].as_f64().expect("a number");
    assert!(took(&body) >= took(&hooks[0]), "{body}");
    agent.until_idle();
    agent.line_with("warmed up after ");

    // From now on it is answered at once, with the report of the run.
    let again = agent.ask(&warm_up());
    assert_eq!(again.parts(), (200, body));
    assert_eq!(warmups(&agent), 1);
}

#[test]
fn a_second_request_waits_for_the_run_in_progress() {
    let (agent, latch) = gated("WARMUP", &[]);
    let first = warm_up_later(&agent);
    let held = latch.held();
    let second = warm_up_later(&agent);
    // The requests behind it on a new connection are answered, so it has been read.
    agent.ping();
    drop(held);
    let (first, second) = (first.join().expect("one"), second.join().expect("two"));
    assert_eq!(first.status, 200);
    assert_eq!(first.parts(), second.parts());
    assert_eq!(warmups(&agent), 1);
}

/// The platform may give up and try again.
#[test]
fn a_client_that_leaves_does_not_end_the_run() {
    let (agent, latch) = gated("WARMUP", &[]);
    let client = agent.connect().send(&warm_up());
    let held = latch.held();
    drop(client);
    let second = warm_up_later(&agent);
    drop(held);
    assert_eq!(second.join().expect("a reply").status, 200);
    assert_eq!(warmups(&agent), 1);
}

#[test]
fn a_failure_and_a_panic_are_500_with_their_text_and_the_next_request_runs_again() {
    for variable in ["WARMUP", "WARMUP_BLOCKING"] {
        let in_band = ("AGENTCORE_ERRORS", "in-band");
        let (agent, latch) = gated(variable, &[in_band]);
        let hook = if variable == "WARMUP" {
            "first"
        } else {
            "second"
        };
        for (how, text) in [
            (b"e", "failed: the weights are not there"),
            (b"p", "panicked: the weights are broken"),
        ] {
            let reply = warm_up_later(&agent);
            end(latch.held(), how);
            let reply = reply.join().expect("a reply");
            assert_eq!(reply.status, 500, "{reply:?}");
            let said = error(&reply);
            assert!(
                said.starts_with(&format!("warm-up hook `{hook}` (")),
                "{said}"
            );
            assert!(said.ends_with(text), "{said}");
            agent.until_idle();
        }
        agent.line_with("the weights are not there");
        let reply = warm_up_later(&agent);
        drop(latch.held());
        assert_eq!(reply.join().expect("a reply").status, 200);
        assert_eq!(warmups(&agent), 3);
    }
}

#[test]
fn after_the_limit_it_is_504_and_the_hook_is_dropped() {
    let limit = ("AGENTCORE_WARMUP_TIMEOUT", "2s");
    let (agent, latch) = gated("WARMUP", &[limit]);
    let reply = warm_up_later(&agent);
    let _first = latch.held();
    let reply = reply.join().expect("a reply");
    assert_eq!(reply.status, 504, "{reply:?}");
    let said = error(&reply);
    assert!(said.starts_with("warm-up hook `first` ("), "{said}");
    assert!(said.ends_with(" took longer than 2s"), "{said}");
    agent.until_idle();
    let _again = agent.connect().send(&warm_up());
    drop(latch.held());
}

/// A thread cannot be stopped. The agent stays busy with it, and no second run begins beside it.
#[test]
fn a_blocking_hook_beyond_the_limit_is_not_joined_by_another() {
    let limit = ("AGENTCORE_WARMUP_TIMEOUT", "2s");
    let (agent, latch) = gated("WARMUP_BLOCKING", &[limit]);
    let reply = warm_up_later(&agent);
    let held = latch.held();
    assert_eq!(reply.join().expect("a reply").status, 504);
    assert!(agent.ping().busy);
    assert_eq!(agent.ask(&warm_up()).status, 504);
    assert_eq!(warmups(&agent), 1);
    drop(held);
    agent.until_idle();
    agent.until("another run begins", |agent| {
        drop(agent.connect().send(&warm_up()));
        warmups(agent) == 2
    });
}

/// An agent whose start hook waits at a latch, with the start hook held.
fn starting(environment: &[(&str, &str)]) -> (Starting, TcpStream) {
    let (start, port) = (Latch::new(), free_port());
    let (start_port, own_port) = (start.port().to_string(), port.to_string());
    let own = [("START", &*start_port), ("AGENTCORE_PORT", &*own_port)];
    let (child, lines) = spawn(AGENT, &[&own, environment].concat());
    let held = start.held();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait_until(DEADLINE, "it listens", || {
        TcpStream::connect(address).is_ok()
    });
    let agent = Starting {
        child,
        lines,
        address,
    };
    (agent, held)
}

struct Starting {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
    address: std::net::SocketAddr,
}

impl Starting {
    fn ask(&self, request: &[u8]) -> Reply {
        Client::connect(self.address).send(request).reply()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn before_the_agent_is_ready_it_waits_for_the_start_hooks() {
    let latch = Latch::new();
    let (agent, start) = starting(&[("WARMUP", &latch.port().to_string())]);
    let client = Client::connect(agent.address).send(&warm_up());
    assert_eq!(agent.ask(&get("/ping")).status, 503);
    drop(start);
    let held = latch.held();
    let ping = agent.ask(&get("/ping"));
    assert_eq!(
        (ping.status, &ping.json()["status"]),
        (200, &json!("HealthyBusy"))
    );
    drop(held);
    assert_eq!(client.reply().status, 200);
}

#[test]
fn start_hooks_that_take_too_long_are_504() {
    let (agent, _start) = starting(&[("AGENTCORE_WARMUP_TIMEOUT", "1s")]);
    let reply = agent.ask(&warm_up());
    let expected = json!({ "error": "the start hooks have not finished within 1s" });
    assert_eq!(reply.parts(), (504, expected));
}

#[test]
fn a_stop_during_the_start_is_503() {
    let (mut agent, _start) = starting(&[]);
    let client = Client::connect(agent.address).send(&warm_up());
    // Read after it, by the same thread.
    assert_eq!(agent.ask(&get("/ping")).status, 503);
    signal(&agent.child, "TERM");
    assert_eq!(
        client.reply().parts(),
        (503, json!({ "error": "Shutting down" }))
    );
    let (status, stderr) = wait(&mut agent.child, &agent.lines);
    assert_eq!(status.code(), Some(0), "{stderr}");
}

/// The platform's log shows the status.
#[test]
fn a_start_that_fails_is_503() {
    let (mut agent, start) = starting(&[]);
    let client = Client::connect(agent.address).send(&warm_up());
    assert_eq!(agent.ask(&get("/ping")).status, 503);
    end(start, b"e");
    assert_eq!(
        client.reply().parts(),
        (503, json!({ "error": "Shutting down" }))
    );
    let (status, stderr) = wait(&mut agent.child, &agent.lines);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the weights are not there"), "{stderr}");
}

#[test]
fn a_run_has_the_grace_to_finish_and_later_requests_are_503() {
    let (agent, latch) = gated("WARMUP", &[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
    let reply = warm_up_later(&agent);
    let held = latch.held();
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping; 1 in progress");
    assert_eq!(agent.ask(&warm_up()).status, 503);
    drop(held);
    assert_eq!(reply.join().expect("a reply").status, 200);
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn a_run_beyond_the_grace_is_cut_off_and_named() {
    for variable in ["WARMUP", "WARMUP_BLOCKING"] {
        let (agent, latch) = gated(variable, &[("AGENTCORE_SHUTDOWN_GRACE", "1s")]);
        let reply = warm_up_later(&agent);
        let _held = latch.held();
        agent.signal("TERM");
        assert_eq!(reply.join().expect("a reply").status, 503);
        let (status, stderr) = agent.wait();
        assert_eq!(status.code(), Some(1), "{stderr}");
        let hook = if variable == "WARMUP" {
            "`first`"
        } else {
            "`second`"
        };
        assert!(was_cut_off(&stderr, hook), "{stderr}");
    }
}

#[test]
fn other_methods_paths_and_bodies() {
    let agent = Agent::start(AGENT, &[("AGENTCORE_WARMUP_PATH", "/hooks/warm")]);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let path = "/hooks/warm";
        let mut client = agent.connect().send(&request(method, path, ""));
        let (status, headers) = client.head();
        let allow = headers.iter().find(|(name, _)| name == "allow");
        assert_eq!(
            (status, allow.map(|(_, value)| &**value)),
            (405, Some("POST")),
            "{method}"
        );
    }
    assert_eq!(agent.ask(&warm_up()).status, 404);
    assert_eq!(warmups(&agent), 0);
    // No JSON.
    let body = "x".repeat(1 << 20);
    assert_eq!(
        agent.ask(&request("POST", "/hooks/warm", &body)).status,
        200
    );
}

/// A layer would answer a preflight, and count the request.
#[test]
fn without_a_hook_it_is_404_that_names_the_attribute_and_layers_do_not_see_it() {
    for binary in [
        env!("CARGO_BIN_EXE_layers"),
        env!("CARGO_BIN_EXE_agent_macros"),
    ] {
        let agent = Agent::start(binary, &[]);
        for method in ["POST", "OPTIONS"] {
            let reply = agent.ask(&request(method, "/warmup", ""));
            assert_eq!(reply.status, 404, "{reply:?}");
            let said = error(&reply);
            assert!(said.contains("`#[agentcore::on_warmup]`"), "{said}");
        }
    }
    let agent = Agent::start(AGENT, &[]);
    assert_eq!(agent.ask(&post(b"{}")).json()["calls"], 0);
    agent.ask(&warm_up());
    assert_eq!(agent.ask(&post(b"{}")).json()["calls"], 1);
}
