//! The fault matrix: every kind of work with every way to end. The agent is always busy until the end of the work and idle after
//! it, and nothing is left.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::websocket::Peer;
use crate::support::{
    Agent, Client, DEADLINE, LOOK_EVERY, Observer, all_at_once, wait_until, was_cut_off,
};

/// The number of works in one round of a cell, all at once. There are two rounds: in the first a process makes its one-time
/// allocations, and the second must not add to them.
const WORKS: usize = 50;

/// How much the agent may have grown in the second round, in KiB. Every work holds 128, so half of them would show.
const GROWTH: usize = 3 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The entrypoint does the work itself.
    Plain,
    /// It awaits an `#[async_task]`.
    Task,
    /// It starts a background task and answers with its id.
    Spawned,
    /// Its reply is a stream, which does the work between two items.
    Stream,
    /// The handler of a socket does it.
    Socket,
    /// The entrypoint is not async, and blocks.
    Blocking,
}

use Kind::{Blocking, Plain, Socket, Spawned, Stream, Task};

/// What the client gets at the end.
#[derive(Clone, Copy, Debug)]
enum Sees<'a> {
    /// Status, and JSON.
    Reply(u16, &'a str),
    /// All events, as a JSON array.
    Events(&'a str),
    /// A text, and a close code; or only the code.
    Close(Option<&'a str>, u16),
    /// The status of the task with this id.
    Status(&'a str),
    /// Nothing, because the client leaves while the work is in progress.
    Nothing,
}

use Sees::{Close, Events, Nothing, Reply, Status};

/// How the work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Finished,
    Cut,
}

use Work::{Cut, Finished};

/// A client whose call is in progress.
enum Caller {
    Http(Client),
    Socket(Peer),
    /// A client that has its reply: a task's id, or another value.
    Answered(Value),
}

impl Kind {
    fn agent(self, environment: &[(&str, &str)]) -> Agent {
        let binary = match self {
            Blocking => env!("CARGO_BIN_EXE_faults_blocking"),
            _ => env!("CARGO_BIN_EXE_faults"),
        };
        // One heap for all threads, and no heap memory for what a work holds: that returns to the system when it is freed. So the
        // size of the process shows what is kept.
        let allocator = [
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "65536"),
        ];
        Agent::start(binary, &[environment, &allocator].concat())
    }

    fn call(self, agent: &Agent, outcome: &str) -> Caller {
        let kind = match self {
            Plain | Blocking => "plain",
            Task => "task",
            Spawned => "spawned",
            Stream => "stream",
            Socket => {
                let mut peer = Peer::open(agent);
                peer.text(outcome);
                return Caller::Socket(peer);
            }
        };
        let event = json!({ "kind": kind, "outcome": outcome }).to_string();
        Caller::Http(agent.connect().send_post(event.as_bytes()))
    }
}

impl Caller {
    /// Reads a reply that comes at once.
    fn answered(self) -> Self {
        match self {
            Self::Http(client) => Self::Answered(client.reply().json()),
            other => other,
        }
    }

    fn sees(self, agent: &Agent, expected: Sees<'_>) {
        let parsed = |text| serde_json::from_str::<Value>(text).expect("JSON in the test");
        match (self, expected) {
            (Self::Http(client), Reply(status, body)) => {
                assert_eq!(client.reply().parts(), (status, parsed(body)));
            }
            (Self::Http(client), Events(events)) => {
                assert_eq!(json!(client.reply().events()), parsed(events));
            }
            (Self::Socket(mut peer), Close(text, code)) => {
                if let Some(text) = text {
                    assert_eq!(peer.next_text(), text);
                }
                peer.expect_close(code);
            }
            (Self::Answered(id), Status(status)) => {
                let result = json!({ "kind": "result", "id": id });
                agent.until(&format!("the task is {status}"), |agent| {
                    agent.invoke(result.clone()).json() == parsed(status)
                });
            }
            (Self::Answered(value), Reply(200, body)) => assert_eq!(value, parsed(body)),
            (_, expected) => panic!("such a client cannot see {expected:?}"),
        }
    }
}

/// The questions of the fault matrix to its agents.
impl Observer {
    /// The agent's own report. Two tasks are alive: this question, and the server's own that starts requests.
    fn report(&mut self) -> Value {
        self.invoke(json!({ "kind": "report" })).json()
    }

    fn open(&mut self, count: usize) {
        self.invoke(json!({ "kind": "open", "count": count }));
    }

    fn until_at_the_gate(&mut self, count: usize, what: &str) {
        wait_until(DEADLINE, what, || self.report()["at_the_gate"] == count);
    }

    /// Checks that all works are in progress, and that the ping says so.
    fn sees_work(&mut self, what: &str) {
        // A report may be late for the limit of a cell, and is no report then. Works that have left the gate do not come back.
        self.until_at_the_gate(WORKS, what);
        assert!(self.ping().busy, "{what}");
    }

    /// The ping says that the agent is busy, unless a limit has ended all works before it.
    fn sees_work_or_its_end(&mut self, cut: usize, what: &str) {
        wait_until(DEADLINE, what, || {
            self.ping().busy || self.report()["cut"] == cut
        });
    }
}

/// One cell of the matrix: `WORKS` works of a kind that end with `outcome`, in two rounds.
#[track_caller]
fn cell(kind: Kind, outcome: &str, work: Work, sees: Sees<'_>) {
    let limit = [("ENTRYPOINT_TIMEOUT_MS", "400")];
    let limited = outcome == "timeout" && matches!(kind, Plain | Blocking);
    let agent = kind.agent(if limited { &limit } else { &[] });
    let mut observer = Observer::new(agent.address());
    observer.report();
    let descriptors = agent.descriptors();
    let mut largest = usize::MAX;
    for rounds in 1..=2 {
        round(&agent, &mut observer, kind, outcome, sees, rounds);
        let (finished, cut) = match work {
            Finished => (rounds * WORKS, 0),
            Cut => (0, rounds * WORKS),
        };
        let normal = json!({
            "status": "Healthy", "active": 0, "jobs": 0, "alive": 2,
            "at_the_gate": 0, "finished": finished, "cut": cut,
        });
        let began = Instant::now();
        loop {
            let busy = observer.ping().busy;
            let now = observer.report();
            let (open, kib) = (agent.descriptors(), agent.resident_kib());
            if !busy && now == normal && open <= descriptors && kib <= largest {
                break;
            }
            assert!(
                began.elapsed() < DEADLINE,
                "{kind:?}, {outcome}, round {rounds}: busy {busy}, {now}, {open} descriptors of {descriptors}, {kib} KiB of \
                 {largest}"
            );
            std::thread::sleep(LOOK_EVERY);
        }
        largest = agent.resident_kib() + GROWTH;
    }
}

fn round(
    agent: &Agent,
    observer: &mut Observer,
    kind: Kind,
    outcome: &str,
    sees: Sees<'_>,
    number: usize,
) {
    let calls = (0..WORKS).map(|_| kind.call(agent, outcome));
    // If the reply does not wait for the work, it has to be read now.
    let at_once = matches!((kind, outcome), (Spawned, _) | (Blocking, "abort" | "drop"))
        && !matches!(sees, Nothing);
    let callers: Vec<_> = if at_once {
        calls.map(Caller::answered).collect()
    } else {
        calls.collect()
    };
    let name = format!("{kind:?}, {outcome}");
    if outcome == "timeout" && kind != Blocking {
        // A limit does not wait for the test. On most machines it is long enough for a look.
        observer.sees_work_or_its_end(number * WORKS, &format!("{name}: busy"));
    } else {
        observer.until_at_the_gate(WORKS, &format!("{name}: all in the middle"));
        observer.sees_work(&name);
    }
    let collect = |callers: Vec<Caller>| {
        for caller in callers {
            caller.sees(agent, sees);
        }
    };
    match (kind, outcome) {
        (Stream, "disconnect") => drop(callers),
        (_, "disconnect") => {
            drop(callers);
            observer.sees_work(&format!("{name}: it was accepted, so it goes on"));
            observer.open(WORKS);
        }
        (Spawned | Blocking, "abort") => {
            for caller in &callers {
                let Caller::Answered(id) = caller else {
                    panic!("{name}: no id")
                };
                let cancelled = observer.invoke(json!({ "kind": "cancel", "id": id }));
                assert_eq!(cancelled.json(), true, "{name}");
            }
            if kind == Blocking {
                observer.sees_work(&format!("{name}: it goes on"));
                observer.open(WORKS);
            }
            collect(callers);
        }
        (Blocking, "timeout") => {
            collect(callers);
            observer.sees_work(&format!("{name}: answered, and still at it"));
            observer.open(WORKS);
        }
        (_, "timeout") => collect(callers),
        _ => {
            observer.open(WORKS);
            collect(callers);
        }
    }
}

const BROKEN: &str = r#"{"error":"it is broken"}"#;
const INTERNAL: &str = r#"{"error":"Internal server error"}"#;
const LATE: &str = r#"{"error":"timed out after 400ms"}"#;

mod plain {
    use super::*;

    #[test]
    fn a_value_is_the_reply() {
        cell(Plain, "return", Finished, Reply(200, r#""done""#));
    }

    #[test]
    fn an_error_is_a_500_with_its_text() {
        cell(Plain, "error", Cut, Reply(500, BROKEN));
    }

    #[test]
    fn a_panic_is_a_500_without_its_text() {
        cell(Plain, "panic", Cut, Reply(500, INTERNAL));
    }

    #[test]
    fn the_abort_of_an_inner_task_is_seen_by_the_handler() {
        cell(Plain, "abort", Cut, Reply(200, r#""cancelled""#));
    }

    #[test]
    fn a_future_that_is_dropped_unpolled_does_nothing() {
        cell(Plain, "drop", Cut, Reply(200, r#""dropped""#));
    }

    #[test]
    fn a_limit_is_a_504_and_drops_the_handler() {
        cell(Plain, "timeout", Cut, Reply(504, LATE));
    }

    #[test]
    fn a_client_that_leaves_does_not_stop_the_handler() {
        cell(Plain, "disconnect", Finished, Nothing);
    }
}

mod task {
    use super::*;

    #[test]
    fn its_value_reaches_the_handler() {
        cell(Task, "return", Finished, Reply(200, r#""done""#));
    }

    #[test]
    fn its_error_reaches_the_handler() {
        cell(Task, "error", Cut, Reply(500, BROKEN));
    }

    #[test]
    fn its_panic_is_the_handlers() {
        cell(Task, "panic", Cut, Reply(500, INTERNAL));
    }

    #[test]
    fn its_abort_ends_it() {
        cell(Task, "abort", Cut, Reply(200, r#""cancelled""#));
    }

    #[test]
    fn a_drop_without_a_poll_ends_it() {
        cell(Task, "drop", Cut, Reply(200, r#""dropped""#));
    }

    #[test]
    fn its_limit_is_an_error_to_the_handler() {
        cell(Task, "timeout", Cut, Reply(504, LATE));
    }

    #[test]
    fn a_client_that_leaves_does_not_stop_it() {
        cell(Task, "disconnect", Finished, Nothing);
    }
}

mod spawned {
    use super::*;

    #[test]
    fn its_value_is_there_for_who_asks() {
        let sees = Status(r#"{"status":"completed","result":"done"}"#);
        cell(Spawned, "return", Finished, sees);
    }

    #[test]
    fn its_error_is_there_for_who_asks() {
        let sees = Status(r#"{"status":"failed","error":"it is broken"}"#);
        cell(Spawned, "error", Cut, sees);
    }

    #[test]
    fn its_panic_is_a_failure_without_its_text() {
        let sees = Status(r#"{"status":"failed","error":"the task panicked"}"#);
        cell(Spawned, "panic", Cut, sees);
    }

    #[test]
    fn its_abort_is_there_for_who_asks() {
        cell(Spawned, "abort", Cut, Status(r#"{"status":"cancelled"}"#));
    }

    #[test]
    fn the_drop_of_its_handle_does_not_stop_it() {
        cell(Spawned, "drop", Finished, Reply(200, r#""spawned""#));
    }

    #[test]
    fn its_limit_is_there_for_who_asks() {
        cell(Spawned, "timeout", Cut, Status(r#"{"status":"timed_out"}"#));
    }

    #[test]
    fn a_client_that_does_not_wait_for_the_reply_does_not_stop_it() {
        cell(Spawned, "disconnect", Finished, Nothing);
    }
}

mod stream {
    use super::*;

    #[test]
    fn all_its_items_arrive() {
        cell(Stream, "return", Finished, Events(r#"["one","done"]"#));
    }

    #[test]
    fn its_error_is_the_last_event() {
        cell(Stream, "error", Cut, Events(&last("it is broken", "Error")));
    }

    #[test]
    fn its_panic_is_the_last_event_without_its_text() {
        let last = last("Internal server error", "panic");
        cell(Stream, "panic", Cut, Events(&last));
    }

    #[test]
    fn the_abort_of_an_inner_task_is_seen_by_the_producer() {
        cell(Stream, "abort", Cut, Events(r#"["one","cancelled"]"#));
    }

    #[test]
    fn one_that_is_dropped_unpolled_does_nothing() {
        cell(Stream, "drop", Cut, Reply(200, r#""dropped""#));
    }

    /// The entrypoint's own limit ends where its stream begins. The limit of a task in the stream bounds the stream.
    #[test]
    fn the_limit_of_a_task_in_it_is_its_error() {
        let last = last("timed out after 400ms", "Error");
        cell(Stream, "timeout", Cut, Events(&last));
    }

    #[test]
    fn a_reader_that_leaves_drops_the_producer() {
        cell(Stream, "disconnect", Cut, Nothing);
    }

    /// The first item, then the error event.
    fn last(error: &str, error_type: &str) -> String {
        let message = "An error occurred during streaming";
        json!(["one", { "error": error, "error_type": error_type, "message": message }]).to_string()
    }
}

mod socket {
    use super::*;

    #[test]
    fn a_handler_that_returns_closes_with_1000() {
        cell(Socket, "return", Finished, Close(Some("done"), 1000));
    }

    #[test]
    fn its_error_is_a_1011() {
        cell(Socket, "error", Cut, Close(None, 1011));
    }

    #[test]
    fn its_panic_is_a_1011() {
        cell(Socket, "panic", Cut, Close(None, 1011));
    }

    #[test]
    fn the_abort_of_an_inner_task_is_seen_by_the_handler() {
        cell(Socket, "abort", Cut, Close(Some("cancelled"), 1000));
    }

    /// A `send` that is dropped unpolled sends nothing, and a `recv` that is dropped unpolled loses nothing.
    #[test]
    fn futures_that_are_dropped_unpolled_do_nothing() {
        cell(Socket, "drop", Cut, Close(Some("dropped"), 1000));
    }

    /// A socket has no limit of its own. The limit of a task in it bounds it.
    #[test]
    fn the_limit_of_a_task_in_it_is_its_error() {
        cell(Socket, "timeout", Cut, Close(None, 1011));
    }

    #[test]
    fn a_client_that_leaves_does_not_stop_a_handler_at_work() {
        cell(Socket, "disconnect", Finished, Nothing);
    }
}

mod blocking {
    use super::*;

    #[test]
    fn a_value_is_the_reply() {
        cell(Blocking, "return", Finished, Reply(200, r#""done""#));
    }

    #[test]
    fn an_error_is_a_500_with_its_text() {
        cell(Blocking, "error", Cut, Reply(500, BROKEN));
    }

    #[test]
    fn a_panic_is_a_500_without_its_text() {
        cell(Blocking, "panic", Cut, Reply(500, INTERNAL));
    }

    /// Blocking code cannot be aborted: the agent is busy until it ends, and it has its result.
    #[test]
    fn the_abort_of_a_task_that_blocks_comes_too_late() {
        let sees = Status(r#"{"status":"completed","result":"done"}"#);
        cell(Blocking, "abort", Finished, sees);
    }

    /// The guard in the thread counts, not whether its handle is awaited.
    #[test]
    fn a_thread_whose_handle_is_dropped_is_busy_until_it_ends() {
        cell(Blocking, "drop", Finished, Reply(200, r#""started""#));
    }

    #[test]
    fn a_limit_is_a_504_and_the_handler_is_busy_until_it_ends() {
        cell(Blocking, "timeout", Finished, Reply(504, LATE));
    }

    #[test]
    fn a_client_that_leaves_does_not_stop_the_handler() {
        cell(Blocking, "disconnect", Finished, Nothing);
    }
}

/// A drop is the last part of the work: while it runs, the agent is busy.
mod slow_drops {
    use super::*;

    fn is_busy_until_it_is_dropped(place: &str, environment: &[(&str, &str)]) {
        // The drop blocks a worker.
        let workers = [("AGENTCORE_WORKER_THREADS", "4")];
        let agent = Plain.agent(&[environment, &workers].concat());
        let event = json!({ "kind": "slow", "outcome": place }).to_string();
        let mut client = agent.connect().send_post(event.as_bytes());
        match place {
            "stream" => {
                assert_eq!(client.head().0, 200);
                assert_eq!(client.chunk(), b"data: \"one\"\n\n");
            }
            "handler" => drop(agent.line_with("in the middle")),
            _ => assert_eq!(client.next_reply().status, 200),
        }
        if !environment.iter().any(|(name, _)| *name == LIMIT) {
            drop(client);
        }
        agent.line_with("being dropped");
        assert!(agent.ping().busy, "{place}");
        agent.invoke(json!({ "kind": "let go" }));
        agent.until(&format!("{place}: idle"), |agent| !agent.ping().busy);
    }

    const LIMIT: &str = "ENTRYPOINT_TIMEOUT_MS";

    #[test]
    fn of_a_handler_over_its_limit() {
        is_busy_until_it_is_dropped("handler", &[(LIMIT, "100")]);
    }

    #[test]
    fn of_a_handler_whose_client_left() {
        is_busy_until_it_is_dropped("handler", &[("CANCEL_ON_DISCONNECT", "1")]);
    }

    #[test]
    fn of_a_producer_whose_reader_left() {
        is_busy_until_it_is_dropped("stream", &[]);
    }

    #[test]
    fn of_a_task_that_was_aborted() {
        is_busy_until_it_is_dropped("new task", &[]);
        is_busy_until_it_is_dropped("task", &[]);
    }

    #[test]
    fn of_a_background_task_that_was_aborted() {
        is_busy_until_it_is_dropped("new background task", &[]);
        is_busy_until_it_is_dropped("background task", &[]);
    }
}

mod sigterm {
    use super::*;

    const KINDS: [Kind; 6] = [Plain, Task, Spawned, Stream, Socket, Blocking];

    /// Starts one work and waits until it is in progress.
    fn in_the_middle(kind: Kind, environment: &[(&str, &str)]) -> (Agent, Caller) {
        let agent = kind.agent(environment);
        let caller = kind.call(&agent, "return");
        let caller = match kind {
            Spawned => caller.answered(),
            _ => caller,
        };
        Observer::new(agent.address()).until_at_the_gate(1, &format!("{kind:?}"));
        (agent, caller)
    }

    #[test]
    fn work_of_every_kind_is_finished_and_its_client_gets_all_of_it() {
        all_at_once(&KINDS, |&kind| {
            let (agent, caller) = in_the_middle(kind, &[("AGENTCORE_SHUTDOWN_GRACE", "10min")]);
            // This opens the gate, so it has to be in flight before the signal.
            let opener = agent.connect().begin_post().send(b"1\r\n{\r\n");
            agent.signal("TERM");
            agent.line_with("SIGTERM: stopping");
            assert!(agent.ping().busy);
            let opener = opener.send(b"e\r\n\"kind\":\"open\"}\r\n0\r\n\r\n");
            assert_eq!(opener.reply().parts(), (200, json!("opened")));
            match (kind, caller) {
                // The client has its reply, and no request can ask for the result any more.
                (Spawned, _) => {}
                (Stream, caller) => caller.sees(&agent, Events(r#"["one","done"]"#)),
                (Socket, caller) => caller.sees(&agent, Close(Some("done"), 1001)),
                (_, caller) => caller.sees(&agent, Reply(200, r#""done""#)),
            }
            let (status, stderr) = agent.wait();
            assert_eq!(status.code(), Some(0), "{stderr}");
            assert!(!was_cut_off(&stderr, ""), "{stderr}");
        });
    }

    #[test]
    fn work_of_every_kind_that_does_not_finish_is_named() {
        all_at_once(&KINDS, |&kind| {
            let (agent, caller) = in_the_middle(kind, &[("AGENTCORE_SHUTDOWN_GRACE", "100ms")]);
            agent.signal("TERM");
            match caller {
                // A stream that is cut off has no last chunk, so its reader can tell.
                Caller::Http(mut client) if kind == Stream => {
                    assert_eq!(client.head().0, 200);
                    assert_eq!(client.chunk(), b"data: \"one\"\n\n");
                    assert_eq!(client.rest(), b"");
                }
                Caller::Http(client) => assert_eq!(
                    client.reply().parts(),
                    (503, json!({ "error": "Cut off by the shutdown" }))
                ),
                Caller::Socket(peer) => assert_eq!(peer.expect_close(1001), ""),
                Caller::Answered(_) => {}
            }
            let (status, stderr) = agent.wait();
            assert_eq!(status.code(), Some(1), "{stderr}");
            let named: &[&str] = match kind {
                Plain | Stream | Blocking => &["invocation"],
                Task => &["invocation", "task `task`"],
                Spawned => &["task `spawned`"],
                Socket => &["socket"],
            };
            for what in named {
                assert!(was_cut_off(&stderr, what), "{what} in {stderr}");
            }
        });
    }
}
