//! The effect of SIGTERM on work in every state: on work that ends within the grace, and on work that does not.
//!
//! The test ends the work, so no cell depends on the speed of the machine. Work that fits ends as soon as the stop has begun.
//! The grace is longer than a test waits for anything: an agent that waited for the whole grace would fail. Work that does not
//! fit never ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::websocket::Peer;
use crate::support::{
    Agent, Client, DEADLINE, Latch, all_at_once, signal, spawn, wait, wait_until, was_cut_off,
};

const BINARY: &str = env!("CARGO_BIN_EXE_naps");

/// Longer than `DEADLINE`.
const LONG: (&str, &str) = ("AGENTCORE_SHUTDOWN_GRACE", "10min");

/// Nothing is asked of the agent meanwhile, so the test need not be quick.
const SHORT: (&str, &str) = ("AGENTCORE_SHUTDOWN_GRACE", "3s");

const GRACE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The rest of the head has not been sent.
    MidHead,
    /// The rest of the body has not been sent.
    MidBody,
    Handler,
    Stream,
    Socket,
    Background,
    Start,
    /// In a handler, with a second signal.
    Twice,
}

use State::{Background, Handler, Idle, MidBody, MidHead, Socket, Start, Stream, Twice};

/// Each state, and whether its work ends after the signal. An idle agent has no work. The stop does not wait for a start, and
/// after a second signal it waits for nothing.
const CELLS: [(State, bool); 15] = [
    (Idle, true),
    (MidHead, true),
    (MidHead, false),
    (MidBody, true),
    (MidBody, false),
    (Handler, true),
    (Handler, false),
    (Stream, true),
    (Stream, false),
    (Socket, true),
    (Socket, false),
    (Background, true),
    (Background, false),
    (Start, false),
    (Twice, false),
];

#[test]
fn work_that_fits_into_the_grace_is_finished_and_the_rest_is_named() {
    all_at_once(&CELLS, |&(state, fits)| match state {
        Start => during_the_start(),
        _ => stop(state, fits),
    });
}

/// A client and the progress of its call.
enum Caller {
    None,
    Http(Client),
    Socket(Peer),
}

/// Begins the work, and waits until it has reached its state.
fn begin(agent: &Agent, state: State, latch: &Latch) -> Caller {
    let nap = |place: &str| json!({ "place": place, "port": latch.port() }).to_string();
    match state {
        Idle | Start => Caller::None,
        MidHead => {
            let head = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-le";
            let client = agent.connect().send(head.as_bytes());
            // One thread reads from all connections, so it has read what was sent before this ping.
            agent.ping();
            Caller::Http(client)
        }
        MidBody => Caller::Http(agent.connect().begin_post().send(b"1\r\n{\r\n")),
        Handler | Twice => Caller::Http(agent.connect().send_post(nap("handler").as_bytes())),
        Stream => {
            let mut client = agent.connect().send_post(nap("stream").as_bytes());
            assert_eq!(client.head().0, 200);
            assert_eq!(client.chunk(), b"data: \"one\"\n\n");
            Caller::Http(client)
        }
        Socket => {
            let mut peer = Peer::open(agent);
            peer.text(&latch.port().to_string());
            Caller::Socket(peer)
        }
        Background => {
            let client = agent.connect().send_post(nap("background").as_bytes());
            assert_eq!(client.reply().status, 200);
            Caller::None
        }
    }
}

fn stop(state: State, fits: bool) {
    let latch = Latch::new();
    let grace = if fits || state == Twice { LONG } else { SHORT };
    let agent = Agent::start(BINARY, &[grace]);
    let caller = begin(&agent, state, &latch);
    let napping = match state {
        Idle | MidHead | MidBody => None,
        _ => Some(latch.held()),
    };
    let began = Instant::now();
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    if grace == LONG && !matches!(state, Idle | MidHead) {
        // For as long as there is work: new work is refused, and pings are answered.
        let refused = agent.invoke(json!({}));
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
        assert!(agent.ping().busy);
    }
    if state == Twice {
        agent.signal("TERM");
    }
    // From here on, code that reaches the latch continues at once, or never.
    let _never = (!fits).then_some((latch, napping));
    match caller {
        Caller::None => {}
        Caller::Http(client) => sees(client, state, fits),
        Caller::Socket(mut peer) => {
            if fits {
                assert_eq!(peer.next_text(), "rested");
            }
            // If the work does not fit, the close comes within the grace, because later it could not be sent.
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
    match state {
        // Only the log shows the end of this work.
        Background => assert_eq!(stderr.contains("rested"), fits, "{stderr}"),
        // The end comes within `DEADLINE`, which is far shorter than the grace.
        Idle | MidHead | Twice => {}
        _ if fits => {}
        _ => assert!(took >= GRACE, "it took {took:?}: {stderr}"),
    }
}

/// The client's view of an invocation: the whole reply if the work fits, and otherwise an error. A stream that has begun can only
/// end without its last chunk.
fn sees(mut client: Client, state: State, fits: bool) {
    let rest_of_the_body = r#""place":"handler"}"#;
    if fits {
        client = match state {
            MidHead => client.send(b"ngth: 2\r\n\r\n{}"),
            MidBody => client.send(
                format!(
                    "{:x}\r\n{rest_of_the_body}\r\n0\r\n\r\n",
                    rest_of_the_body.len()
                )
                .as_bytes(),
            ),
            _ => client,
        };
    }
    let rest = client.rest();
    let rest = String::from_utf8_lossy(&rest);
    if state == MidHead {
        if fits {
            assert!(rest.starts_with("HTTP/1.1 503"), "{rest}");
            assert!(rest.contains("retry-after: 1\r\n"), "{rest}");
        } else {
            assert_eq!(rest, "", "the rest of the head is not waited for");
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
        // After a second signal the agent waits for no reply.
        Twice => assert!(rest.is_empty() || told, "{rest}"),
        Stream => assert_eq!(rest, ""),
        _ => assert!(told, "{rest}"),
    }
}

/// Nothing is served yet, so the stop waits for nothing. The hook sleeps for longer than `DEADLINE`.
fn during_the_start() {
    let (mut child, stderr) = spawn(BINARY, &[("START_SECONDS", "600"), LONG]);
    let line = stderr.recv_timeout(DEADLINE).expect("the hook runs");
    assert!(line.contains("napping"), "{line}");
    signal(&child, "TERM");
    let (status, stderr) = wait(&mut child, &stderr);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("SIGTERM during the start: stopping"),
        "{stderr}"
    );
    assert!(!was_cut_off(&stderr, ""), "{stderr}");
}

/// The log, the exit code and the client agree.
#[test]
fn what_is_named_as_cut_off_is_cut_off() {
    let agent = Agent::start(BINARY, &[("AGENTCORE_SHUTDOWN_GRACE", "100ms")]);
    let latch = Latch::new();
    let Caller::Http(client) = begin(&agent, Handler, &latch) else {
        unreachable!()
    };
    let _held = latch.held();
    agent.signal("TERM");
    let reply = client.reply();
    let (status, stderr) = agent.wait();
    assert_eq!(
        reply.parts(),
        (503, json!({ "error": "Cut off by the shutdown" }))
    );
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        was_cut_off(&stderr, "invocation ") && was_cut_off(&stderr, " of `handler` after "),
        "{stderr}"
    );
}

/// Half a head delays the end for as long as replies may take to leave, because a request may be about to come.
fn at_the_last_moment() -> (Agent, Caller) {
    let agent = Agent::start(BINARY, &[]);
    let caller = begin(&agent, MidHead, &Latch::new());
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    (agent, caller)
}

/// The hook takes longer than `DEADLINE`, and its grace is longer still.
fn in_a_shutdown_hook() -> (Agent, Caller) {
    let agent = Agent::start(BINARY, &[("STOP_SECONDS", "600"), LONG]);
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
    // The hook would run for longer than `wait` waits.
    let (agent, _caller) = in_a_shutdown_hook();
    agent.signal("TERM");
    agent.wait();
    // Time is the subject: half a head would hold each end for the two seconds that replies have to leave. One quick end tells,
    // since any may be slow on a busy machine.
    wait_until(DEADLINE, "half a head does not hold the end", || {
        let (agent, _caller) = at_the_last_moment();
        let began = Instant::now();
        agent.signal("TERM");
        agent.wait();
        began.elapsed() < Duration::from_secs(2)
    });
}
