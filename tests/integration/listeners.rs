//! Listeners that the agent does not open itself: the program's, and those from a service manager.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Agent, Client, DEADLINE, free_port, get, run_passing, wait_until};

const AGENT: &str = env!("CARGO_BIN_EXE_agent_macros");
const SUPPLIED: &str = env!("CARGO_BIN_EXE_supplied");

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

/// A descriptor for a program to start with. The manager keeps its own.
fn passed(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().expect("a descriptor").into()
}

/// An agent that a service manager has started, with `descriptors` from 3 on.
fn start(descriptors: Vec<OwnedFd>, environment: &[(&str, &str)]) -> Agent {
    Agent::start_passing(&Command::new(AGENT), descriptors, environment)
}

/// The error of a start with these descriptors.
fn refused(descriptors: Vec<OwnedFd>, environment: &[(&str, &str)]) -> String {
    let outcome = run_passing(&Command::new(AGENT), descriptors, environment);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    outcome.stderr
}

fn livez(address: SocketAddr) -> u16 {
    Client::connect(address).send(&get("/livez")).reply().status
}

#[test]
fn the_programs_own_listeners_are_served_and_not_the_settings() {
    let (agent, admin) = (free_port(), free_port());
    let agent_at = format!("127.0.0.1:{agent}");
    let admin_at = format!("127.0.0.1:{admin}");
    let environment = [
        ("AGENT", &*agent_at),
        ("ADMIN", &*admin_at),
        // This setting is not used.
        ("AGENTCORE_HOST", "192.0.2.1"),
        ("AGENTCORE_PORT", "1"),
        ("AGENTCORE_ADMIN_PORT", "1"),
    ];
    let agent = Agent::start(SUPPLIED, &environment);
    assert_eq!(agent.address().to_string(), agent_at);
    assert_eq!(agent.admin_address().to_string(), admin_at);
    assert_eq!(agent.invoke(json!(1)).parts(), (200, json!(1)));
    assert_eq!(livez(agent.admin_address()), 200);
    assert_eq!(agent.get("/livez").status, 404);
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(0));
}

/// A listener that is open to other machines does not open the metrics and the probes to them.
#[test]
fn an_admin_port_beside_a_listener_is_on_the_host_of_the_settings() {
    for host in ["127.0.0.1", "127.0.0.2"] {
        let at = format!("0.0.0.0:{}", free_port());
        let environment = [
            ("AGENT", &*at),
            ("AGENTCORE_HOST", host),
            ("AGENTCORE_ADMIN_PORT", "0"),
        ];
        let agent = Agent::start(SUPPLIED, &environment);
        assert_eq!(agent.address().to_string(), at);
        assert_eq!(agent.admin_address().ip().to_string(), host);
        assert_eq!(livez(agent.admin_address()), 200);
    }
}

#[test]
fn with_the_dev_page_a_listener_for_others_stops_the_start_by_its_name() {
    let at = format!("0.0.0.0:{}", free_port());
    let outcome = crate::support::run(SUPPLIED, &[], &[("AGENT", &at), ("AGENTCORE_DEV", "1")]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let named = format!("The program passes a listener at `{at}` to `App::listener`; open it");
    assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
    assert!(
        !outcome.stderr.contains("AGENTCORE_HOST"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_check_names_the_listeners() {
    let port = free_port();
    let at = format!("127.0.0.1:{port}");
    let check = |flags: &[&str], environment: &[(&str, &str)]| {
        let outcome = crate::support::run(SUPPLIED, flags, environment);
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
        outcome.stdout
    };
    let text = check(&["--check"], &[("AGENT", &at)]);
    let row = format!("\nlisteners       agent at {at}, from the program\n");
    assert!(text.contains(&row), "{text}");
    assert!(text.ends_with("\nnot tried: the start hooks\n"), "{text}");

    let json = check(&["--check", "--json"], &[("AGENT", &at)]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        json["listeners"],
        json!([{ "role": "agent", "address": at, "source": "program" }])
    );
    assert_eq!(json["not_tried"], json!(["start_hooks"]));

    let json = check(&["--check", "--json"], &[]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["listeners"], json!([]));
    assert_eq!(json["not_tried"], json!(["port", "start_hooks"]));
}

#[test]
fn a_listener_that_is_passed_is_served_and_stays_with_the_agent() {
    let listener = listener();
    let agent = start(vec![passed(&listener)], &[("AGENTCORE_PORT", "1")]);
    assert_eq!(agent.address(), address(&listener));
    assert_eq!(agent.invoke(json!({ "a": 1 })).status, 200);
    // Processes that the agent starts do not inherit it: `O_CLOEXEC`.
    let flags = fs::read_to_string(format!("/proc/{}/fdinfo/3", agent.pid())).expect("fd 3");
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("a number");
    assert_eq!(flags & 0o2_000_000, 0o2_000_000, "{flags:o}");
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(0));
}

#[test]
fn a_second_listener_or_the_one_of_that_name_is_the_admin_ports() {
    let (first, second) = (listener(), listener());
    for (names, agent_at, admin_at) in [
        ("", &first, &second),
        ("agent.socket:agent.socket", &first, &second),
        ("admin:agent", &second, &first),
    ] {
        let descriptors = vec![passed(&first), passed(&second)];
        let agent = start(descriptors, &[("LISTEN_FDNAMES", names)]);
        assert_eq!(agent.address(), address(agent_at), "{names}");
        assert_eq!(agent.admin_address(), address(admin_at), "{names}");
        assert_eq!(livez(agent.admin_address()), 200);
        assert_eq!(agent.get("/livez").status, 404);
    }
}

#[test]
fn what_is_passed_to_another_process_is_left_alone() {
    let listener = listener();
    let agent = Agent::start(AGENT, &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]);
    assert_ne!(agent.address(), address(&listener));
    assert!(!agent.ping().busy);
}

#[test]
fn what_cannot_be_served_stops_the_start_with_its_reason() {
    let null = File::open("/dev/null").expect("/dev/null").into();
    let said = refused(vec![null], &[]);
    assert!(
        said.contains("cannot take the listeners that LISTEN_FDS passes: fd 3 is not a socket"),
        "{said}"
    );
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port").into();
    let said = refused(vec![udp], &[]);
    assert!(said.contains("fd 3 is not a valid tcp socket"), "{said}");
    let listener = listener();
    let connected = TcpStream::connect(address(&listener)).expect("a connection");
    let said = refused(vec![connected.into()], &[]);
    assert!(
        said.contains("fd 3 is not a listening TCP socket"),
        "{said}"
    );
    let said = refused(vec![passed(&listener)], &[("LISTEN_FDS", "3")]);
    assert!(
        said.contains("LISTEN_FDS is `3`; an agent takes at most two listeners"),
        "{said}"
    );
    // The message comes together with all other problems.
    let said = refused(
        vec![passed(&listener)],
        &[("LISTEN_FDS", "x"), ("AGENTCORE_DEBUG", "maybe")],
    );
    assert!(
        said.contains("LISTEN_FDS is `x`; it takes a number of listeners")
            && said.contains("AGENTCORE_DEBUG is `maybe`"),
        "{said}"
    );
}

/// The manager's variable names its own child, which is init. The process that serves is another process.
#[test]
fn as_pid_1_the_agent_gets_what_is_passed_to_init() {
    let Some(mut command) = crate::platform::unshare_if_allowed() else {
        return;
    };
    command.arg(AGENT);
    let listener = listener();
    let agent = Agent::start_passing(&command, vec![passed(&listener)], &[("LISTEN_PID", "1")]);
    assert_eq!(agent.address(), address(&listener));
    assert_eq!(agent.invoke(json!({ "a": 1 })).status, 200);
    let pid_1 = crate::platform::pid_1(&agent);
    crate::support::signal_to(&pid_1, "TERM");
    let (status, stderr) = agent.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

/// While a stopping agent still works, new connections wait for the next agent. Open connections have their pings
/// answered.
#[test]
fn an_agent_that_stops_leaves_new_connections_to_the_next_one() {
    let listener = listener();
    let old = start(vec![passed(&listener)], &[]);
    let running = old.connect().send_post(br#"{"action":"wait","gate":"g"}"#);
    old.until_tasks(1);
    let mut open = old.connect().send(&get("/ping"));
    assert_eq!(open.next_reply().status, 200);
    old.signal("TERM");
    old.line_with("SIGTERM: stopping");
    let waiting = Client::connect(address(&listener)).send_post(br#"{"for":"the next"}"#);
    open = open.send(&get("/ping"));
    assert_eq!(open.next_reply().json()["status"], "HealthyBusy");

    let new = start(vec![passed(&listener)], &[]);
    assert_eq!(new.address(), address(&listener));
    let reply = waiting.reply();
    assert_eq!(reply.status, 200, "{reply:?}");
    drop((open, running));
    drop(old);
    assert!(!new.ping().busy);
}

/// Clients come all the time, each on a new connection. Meanwhile agents are started and stopped, one after the other.
#[test]
fn a_reload_refuses_no_connection() {
    const CLIENTS: usize = 4;
    const RELOADS: usize = 3;
    let listener = listener();
    let at = address(&listener);
    let (is_over, answered, told_to_come_back) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        // Panics when the connection is refused or breaks.
                        let reply = Client::connect(at).send_post(b"{}").reply();
                        match reply.status {
                            200 => answered.fetch_add(1, Ordering::Relaxed),
                            // Accepted before the signal, and read after it.
                            503 if reply.header("retry-after").is_some() => {
                                told_to_come_back.fetch_add(1, Ordering::Relaxed)
                            }
                            _ => panic!("{reply:?}"),
                        };
                    }
                })
            })
            .collect();
        let stop = OnDrop(&is_over);
        for _ in 0..RELOADS {
            let agent = start(vec![passed(&listener)], &[]);
            let before = answered.load(Ordering::Relaxed);
            wait_until(DEADLINE, "the agent answers many", || {
                answered.load(Ordering::Relaxed) > before + 50
                    || clients.iter().any(thread::ScopedJoinHandle::is_finished)
            });
            agent.signal("TERM");
            let (status, stderr) = agent.wait();
            assert_eq!(status.code(), Some(0), "{stderr}");
        }
        // This agent answers the connections that wait now.
        let last = start(vec![passed(&listener)], &[]);
        drop(stop);
        for client in clients {
            client.join().expect("every connection is served");
        }
        drop(last);
    });
    let (answered, told) = (answered.into_inner(), told_to_come_back.into_inner());
    assert!(told <= RELOADS * CLIENTS, "{told} of {answered}");
}

/// Ends the clients, also when the test fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
