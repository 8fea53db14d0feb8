//! `/livez` and `/readyz`, on the agent's port or on their own.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::support::{
    Agent, Client, DEADLINE, Latch, Reply, all_at_once, failed_start, free_port, signal, spawn,
    wait,
};

const AGENT: &str = env!("CARGO_BIN_EXE_agent_macros");
const PROBES: (&str, &str) = ("AGENTCORE_PROBES", "true");
const ADMIN: (&str, &str) = ("AGENTCORE_ADMIN_PORT", "0");

fn ask(address: SocketAddr, method: &str, path: &str) -> Client {
    Client::connect(address)
        .send(format!("{method} {path} HTTP/1.1\r\nhost: agent\r\n\r\n").as_bytes())
}

fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, "GET", path).reply()
}

/// The address of the probes of `agent`, which was started with `environment`.
fn operators(agent: &Agent, environment: (&str, &str)) -> SocketAddr {
    if environment == ADMIN {
        agent.admin_address()
    } else {
        agent.address()
    }
}

/// Status and JSON of both answers.
fn probes(address: SocketAddr) -> [(u16, Value); 2] {
    ["/livez", "/readyz"].map(|path| {
        let reply = get(address, path);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        reply.parts()
    })
}

fn answers(reason: &str) -> [(u16, Value); 2] {
    let ready = reason == "serving";
    [
        (200, json!({ "live": true, "reason": reason })),
        (
            if ready { 200 } else { 503 },
            json!({ "ready": ready, "reason": reason }),
        ),
    ]
}

#[test]
fn nobody_gets_probes_who_has_not_asked_for_them() {
    let agent = Agent::start(AGENT, &[]);
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(agent.address(), path).status, 404);
    }
}

#[test]
fn an_agent_that_serves_is_live_and_ready() {
    let agent = Agent::start(AGENT, &[PROBES]);
    assert_eq!(probes(agent.address()), answers("serving"));
    for path in ["/livez", "/readyz"] {
        let mut client = ask(agent.address(), "HEAD", path);
        let (status, headers) = client.head();
        assert_eq!(status, 200);
        assert!(headers.contains(&("content-type".to_owned(), "application/json".to_owned())));
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let reply = ask(agent.address(), method, path).reply();
            assert_eq!(
                reply.parts(),
                (405, json!({ "error": "Method Not Allowed" })),
                "{method}"
            );
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
    }
    assert_eq!(get(agent.address(), "/livez/").status, 404);
    assert!(!agent.ping().busy);
}

#[test]
fn an_agent_that_starts_is_live_and_not_ready() {
    let port = free_port();
    let admin = free_port();
    let (mut child, stderr) = spawn(
        env!("CARGO_BIN_EXE_start_fails"),
        &[
            ("HOW", "wait"),
            ("AGENTCORE_PORT", &port.to_string()),
            ("AGENTCORE_ADMIN_PORT", &admin.to_string()),
        ],
    );
    let line = stderr.recv_timeout(DEADLINE).expect("the hook runs");
    assert!(line.contains("the hook runs"), "{line}");
    let admin = SocketAddr::from(([127, 0, 0, 1], admin));
    assert_eq!(probes(admin), answers("starting"));
    signal(&child, "TERM");
    assert_eq!(wait(&mut child, &stderr).0.code(), Some(0));
}

#[test]
fn an_agent_that_drains_is_live_and_not_ready() {
    for environment in [PROBES, ADMIN] {
        let agent = Agent::start(AGENT, &[environment]);
        let address = operators(&agent, environment);
        assert_eq!(probes(address), answers("serving"));
        // It is in flight until its body is there.
        let running = agent.connect().begin_post();
        agent.signal("TERM");
        agent.line_with("SIGTERM: stopping");
        assert_eq!(probes(address), answers("draining"));
        let reply = running.send(b"2\r\n{}\r\n0\r\n\r\n").reply();
        assert_eq!(reply.status, 200);
        assert_eq!(agent.wait().0.code(), Some(0));
    }
}

#[test]
fn an_admin_port_serves_operators_alone_and_alone_serves_operators() {
    let agent = Agent::start(AGENT, &[ADMIN]);
    let admin = agent.admin_address();
    assert_ne!(admin, agent.address());
    assert_eq!(admin.ip(), agent.address().ip());
    assert_eq!(probes(admin), answers("serving"));
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(agent.address(), path).status, 404);
    }
    for path in ["/ping", "/invocations", "/ws", "/"] {
        assert_eq!(
            get(admin, path).parts(),
            (404, json!({ "error": "Not Found" }))
        );
    }
    let post = Client::connect(admin).send_post(b"{}").reply();
    assert_eq!(post.status, 404);
    assert!(!agent.ping().busy);
    // One connection serves many probes.
    let mut client = Client::connect(admin);
    for _ in 0..3 {
        client.write(b"GET /readyz HTTP/1.1\r\nhost: agent\r\n\r\n");
        assert_eq!(client.next_reply().status, 200);
    }
    // An idle connection does not delay the stop.
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(0));
}

#[test]
fn an_admin_port_without_probes_has_none() {
    let agent = Agent::start(AGENT, &[ADMIN, ("AGENTCORE_PROBES", "false")]);
    assert_eq!(get(agent.admin_address(), "/livez").status, 404);
}

#[test]
fn a_taken_admin_port_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (status, stderr) = failed_start(
        AGENT,
        &[
            ("AGENTCORE_LOG_FORMAT", "pretty"),
            ("AGENTCORE_ADMIN_PORT", &port),
        ],
    );
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        format!(
            "error: cannot start: cannot listen on 127.0.0.1:{port}: another process uses the port; stop it, or set \
             AGENTCORE_ADMIN_PORT to another port\n"
        )
    );
}

#[test]
fn one_port_cannot_be_both() {
    let (status, stderr) = failed_start(
        AGENT,
        &[
            ("AGENTCORE_LOG_FORMAT", "pretty"),
            ("AGENTCORE_PORT", "9000"),
            ("AGENTCORE_ADMIN_PORT", "9000"),
        ],
    );
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        stderr,
        "error: cannot start: AGENTCORE_ADMIN_PORT is `9000`; it takes another port than AGENTCORE_PORT\n"
    );
}

#[test]
fn probes_do_not_wait_for_workers() {
    all_at_once(&[PROBES, ADMIN], |&environment| {
        let agent = Agent::start(AGENT, &[environment, ("AGENTCORE_WORKER_THREADS", "1")]);
        let latch = Latch::new();
        let blocked = agent.invoke_later(json!({ "action": "block", "port": latch.port() }));
        let held = latch.held();
        assert_eq!(probes(operators(&agent, environment)), answers("serving"));
        drop(held);
        assert_eq!(blocked.join().expect("a reply").status, 200);
    });
}

#[test]
fn layers_do_not_see_probes() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_configured"), &[PROBES]);
    let added = "access-control-allow-origin";
    assert!(get(agent.address(), "/nowhere").header(added).is_some());
    let reply = get(agent.address(), "/readyz");
    assert_eq!((reply.status, reply.header(added)), (200, None));
}

#[test]
fn probes_are_not_logged() {
    let agent = Agent::start(AGENT, &[ADMIN, ("AGENTCORE_LOG", "debug")]);
    for _ in 0..3 {
        assert_eq!(probes(agent.admin_address()), answers("serving"));
    }
    assert_eq!(get(agent.admin_address(), "/nowhere").status, 404);
    agent.signal("TERM");
    let (_, stderr) = agent.wait();
    let is_of_the_stop =
        |line: &&str| line.contains("SIGTERM: stopping") || line.contains("stopped after ");
    let lines: Vec<_> = stderr
        .lines()
        .filter(|line| !is_of_the_stop(line))
        .collect();
    assert_eq!(lines, [""; 0]);
}

/// The admin port has its own limit of connections. At the limit the oldest is closed.
#[test]
fn a_crowd_at_the_admin_port_keeps_no_probe_out() {
    let agent = Agent::start(AGENT, &[ADMIN]);
    let admin = agent.admin_address();
    let mut crowd: Vec<_> = (0..64).map(|_| Client::connect(admin)).collect();
    for client in &mut crowd {
        client.write(b"GET /livez HTTP/1.1\r\nhost: agent\r\n\r\n");
        assert_eq!(client.next_reply().status, 200);
    }
    assert_eq!(get(admin, "/livez").status, 200);
    let mut crowd = crowd.into_iter();
    let oldest = crowd.next().expect("a crowd");
    assert_eq!(oldest.rest(), b"");
    for mut client in crowd {
        client.write(b"GET /livez HTTP/1.1\r\nhost: agent\r\n\r\n");
        assert_eq!(client.next_reply().status, 200);
    }
    assert!(!agent.ping().busy);
}
