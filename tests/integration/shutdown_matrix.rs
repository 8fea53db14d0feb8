//! What a SIGTERM does to work in every state, against a grace of three seconds. Time is the subject: the work sleeps for
//! one, two or four seconds from the signal on, and all cells run at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::websocket::Peer;
use crate::support::{Agent, Client, DEADLINE, all_at_once, signal, spawn, wait, was_cut_off};

const BINARY: &str = env!("CARGO_BIN_EXE_naps");

const GRACE: Duration = Duration::from_secs(3);

/// What replies have to leave, once work has ended or has been cut off.
const FLUSH: Duration = Duration::from_secs(2);

/// What a stop may take beyond all this on a slow machine.
const SLACK: Duration = Duration::from_millis(1500);

/// What the agent is at when the signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The rest of the head comes after so many seconds.
    MidHead,
    /// The rest of the body does.
    MidBody,
    Handler,
    Stream,
    Socket,
    Background,
    Start,
    /// In a handler, and a second signal follows.
    Twice,
}

use State::{Background, Handler, Idle, MidBody, MidHead, Socket, Start, Stream, Twice};

/// Where seconds say nothing there is one cell. A head that takes just the two seconds of the replies could go either way.
const CELLS: [(State, u64); 22] = [
    (Idle, 0),
    (MidHead, 1),
    (MidHead, 4),
    (MidBody, 1),
    (MidBody, 2),
    (MidBody, 4),
    (Handler, 1),
    (Handler, 2),
    (Handler, 4),
    (Stream, 1),
    (Stream, 2),
    (Stream, 4),
    (Socket, 1),
    (Socket, 2),
    (Socket, 4),
    (Background, 1),
    (Background, 2),
    (Background, 4),
    (Start, 4),
    (Twice, 1),
    (Twice, 2),
    (Twice, 4),
];

#[test]
fn work_that_fits_into_the_grace_is_finished_and_the_rest_is_named() {
    all_at_once(&CELLS, |&(state, seconds)| match state {
        Start => during_the_start(seconds),
        _ => stop(state, seconds),
    });
}

/// A client, as far as it has come.
enum Caller {
    None,
    Http(Client),
    Socket(Peer),
}

fn begin(agent: &Agent, state: State, seconds: u64) -> Caller {
    let nap = |place: &str| json!({ "place": place, "seconds": seconds }).to_string();
    let caller = match state {
        Idle | Start => return Caller::None,
        MidHead => {
            let head = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-le";
            let client = agent.connect().send(head.as_bytes());
            // One thread reads from all connections: what was sent before this is read before it.
            agent.ping();
            return Caller::Http(client);
        }
        MidBody => return Caller::Http(agent.connect().begin_post().send(b"1\r\n{\r\n")),
        Handler | Twice => Caller::Http(agent.connect().send_post(nap("handler").as_bytes())),
        Stream => {
            let mut client = agent.connect().send_post(nap("stream").as_bytes());
            assert_eq!(client.head().0, 200);
            assert_eq!(client.chunk(), b"data: \"one\"\n\n");
            Caller::Http(client)
        }
        Socket => {
            let mut peer = Peer::open(agent);
            peer.text(&seconds.to_string());
            Caller::Socket(peer)
        }
        Background => {
            let client = agent.connect().send_post(nap("background").as_bytes());
            assert_eq!(client.reply().status, 200);
            Caller::None
        }
    };
    agent.line_with("napping");
    caller
}

fn stop(state: State, seconds: u64) {
    let agent = Agent::start(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "3s")]);
    let caller = begin(&agent, state, seconds);
    let work = Duration::from_secs(seconds);
    let fits = work < GRACE && state != Twice;
    let began = Instant::now();
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    if !matches!(state, Idle | MidHead) {
        // For as long as there is work: new work is refused, and pings are answered.
        let refused = agent.invoke(json!({}));
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
        assert!(agent.ping().busy);
    }
    if state == Twice {
        agent.signal("TERM");
    }
    match caller {
        Caller::None => {}
        Caller::Http(client) => sees(client, state, work, fits),
        Caller::Socket(mut peer) => {
            if fits {
                assert_eq!(peer.next_text(), "rested");
            }
            // Where it does not fit, the close comes within the grace: later nobody could send it.
            assert_eq!(peer.expect_close(1001), "");
        }
    }

    let (status, stderr) = agent.wait();
    let took = began.elapsed();
    let named = match state {
        Idle | MidHead | Start => None,
        MidBody | Handler | Stream | Twice => Some("invocation"),
        Socket => Some("socket"),
        Background => Some("task `nap`"),
    };
    match named.filter(|_| !fits) {
        None => {
            assert_eq!(status.code(), Some(0), "{stderr}");
            assert!(!was_cut_off(&stderr, ""), "{stderr}");
        }
        Some(what) => {
            assert_eq!(status.code(), Some(1), "{stderr}");
            assert!(was_cut_off(&stderr, what), "{stderr}");
        }
    }
    let (least, most) = match state {
        // We do not look before the work's time is over.
        MidHead => (Duration::ZERO, work.max(FLUSH) + SLACK),
        Idle | Twice => (Duration::ZERO, SLACK),
        // It began a little before the signal.
        _ if fits => (work.mul_f64(0.8), work + SLACK),
        _ => (GRACE, GRACE + FLUSH + SLACK),
    };
    assert!((least..most).contains(&took), "it took {took:?}: {stderr}");
}

/// What the client of an invocation gets: all of the reply where the work fits, and where it does not, word of that. A
/// stream that has begun can only be left without its end.
fn sees(mut client: Client, state: State, work: Duration, fits: bool) {
    if matches!(state, MidHead | MidBody) {
        std::thread::sleep(work);
        let body = r#""place":"handler","seconds":0}"#;
        client = match state {
            MidHead => client.try_send(b"ngth: 2\r\n\r\n{}"),
            _ => client.try_send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()),
        };
    }
    let rest = client.rest();
    let rest = String::from_utf8_lossy(&rest);
    if state == MidHead {
        if work < FLUSH {
            assert!(rest.starts_with("HTTP/1.1 503"), "{rest}");
            assert!(rest.contains("retry-after: 1\r\n"), "{rest}");
        } else {
            assert_eq!(rest, "", "nobody is there any more");
        }
        return;
    }
    let whole = match state {
        Stream => rest == "10\r\ndata: \"rested\"\n\n\r\n0\r\n\r\n",
        _ => rest.starts_with("HTTP/1.1 200") && rest.ends_with("\r\n\r\n\"rested\""),
    };
    let told = rest.starts_with("HTTP/1.1 503") && rest.ends_with("Cut off by the shutdown\"}");
    match state {
        _ if fits => assert!(whole, "{rest}"),
        // Whoever asks twice waits for nobody.
        Twice => assert!(rest.is_empty() || told, "{rest}"),
        Stream => assert_eq!(rest, ""),
        _ => assert!(told, "{rest}"),
    }
}

/// Nothing is being served yet, so nothing is waited for.
fn during_the_start(seconds: u64) {
    let (mut child, stderr) = spawn(BINARY, &[("START_SECONDS", &seconds.to_string())]);
    let line = stderr.recv_timeout(DEADLINE).expect("the hook runs");
    assert!(line.contains("napping"), "{line}");
    let began = Instant::now();
    signal(&child, "TERM");
    let (status, stderr) = wait(&mut child, &stderr);
    assert!(began.elapsed() < SLACK, "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("SIGTERM during the start: stopping"),
        "{stderr}"
    );
    assert!(!was_cut_off(&stderr, ""), "{stderr}");
}

/// The log, the exit code and the client say the same.
#[test]
fn what_is_named_as_cut_off_is_cut_off() {
    let agent = Agent::start(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "100ms")]);
    let Caller::Http(client) = begin(&agent, Handler, 1) else {
        unreachable!()
    };
    agent.signal("TERM");
    let reply = client.reply();
    let (status, stderr) = agent.wait();
    assert_eq!(
        reply.parts(),
        (503, json!({ "error": "Cut off by the shutdown" }))
    );
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        was_cut_off(&stderr, "invocation ") && was_cut_off(&stderr, " of `handler` after 1"),
        "{stderr}"
    );
}

/// Half a head holds the end for as long as replies have to leave: somebody may be about to ask for something.
fn at_the_last_moment() -> (Agent, Caller) {
    let agent = Agent::start(BINARY, &[]);
    let caller = begin(&agent, MidHead, 0);
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    (agent, caller)
}

/// The hook takes longer than any slack.
fn in_a_shutdown_hook() -> (Agent, Caller) {
    let agent = Agent::start(BINARY, &[("STOP_SECONDS", "9")]);
    agent.signal("TERM");
    agent.line_with("napping");
    (agent, Caller::None)
}

#[test]
fn pings_are_answered_until_the_process_ends() {
    for (agent, _caller) in [at_the_last_moment(), in_a_shutdown_hook()] {
        assert!(!agent.ping().busy);
        assert_eq!(agent.invoke(json!({})).status, 503);
    }
}

#[test]
fn a_second_signal_stops_at_once_whatever_the_end_waits_for() {
    for (agent, _caller) in [at_the_last_moment(), in_a_shutdown_hook()] {
        let began = Instant::now();
        agent.signal("TERM");
        let (_, stderr) = agent.wait();
        assert!(began.elapsed() < SLACK, "{stderr}");
    }
}
