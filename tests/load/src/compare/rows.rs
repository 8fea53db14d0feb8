//! The rows of the table: the requests to each server, and how they are measured.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Programs;
use super::burst::{Exchange, Others, Reply, burst};
use super::hello::Folder;
use super::machine::Cores;
use super::server::{Program, Server, ask, connect, head};
use super::table::{Better, Figure, NAMES, median};
use crate::client::{get, invocation};
use crate::report::{Memory, Millis};
use crate::websocket::{HANDSHAKE, TEXT, masked};

/// The invocations at once in the row with the most.
pub(super) const IN_FLIGHT: usize = 10_000;

/// One row, which has at least one figure.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Its name in the table.
    title: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ping {
        connections: usize,
    },
    /// Invocations that return a value. All servers have to give the same reply.
    Invocation {
        connections: usize,
        event: fn() -> Value,
    },
    /// One invocation of 50 MiB at a time.
    Large,
    /// Many events from one invocation.
    Stream,
    /// Many invocations that wait.
    InFlight,
    /// Texts of this many bytes on sockets.
    Socket {
        bytes: usize,
    },
    Start,
    /// Pings beside handlers that occupy their threads in the way of this action.
    PingBeside {
        action: &'static str,
    },
    /// Clean debug builds.
    Build,
}

impl Row {
    /// Whether it takes minutes, so that it runs only on request.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::Build)
    }
}

const fn row(name: &'static str, title: &'static str, kind: Kind) -> Row {
    Row { name, title, kind }
}

const fn invocation_row(
    name: &'static str,
    title: &'static str,
    connections: usize,
    event: fn() -> Value,
) -> Row {
    row(name, title, Kind::Invocation { connections, event })
}

pub(super) const ROWS: &[Row] = &[
    row(
        "ping-64",
        "`GET /ping`, 64 connections",
        Kind::Ping { connections: 64 },
    ),
    row(
        "ping-256",
        "`GET /ping`, 256 connections",
        Kind::Ping { connections: 256 },
    ),
    invocation_row(
        "info",
        "info, 64 connections",
        64,
        || json!({ "action": "info" }),
    ),
    invocation_row(
        "process",
        "process of 0 s, a tracked task, 64 connections",
        64,
        || json!({ "action": "process", "seconds": 0 }),
    ),
    invocation_row("echo-1k", "echo of 1 KiB, 64 connections", 64, || {
        text(1 << 10)
    }),
    invocation_row("echo-64k", "echo of 64 KiB, 16 connections", 16, || {
        text(64 << 10)
    }),
    invocation_row(
        "echo-1m-text",
        "echo of 1 MiB of text, 4 connections",
        4,
        || text(1 << 20),
    ),
    invocation_row(
        "echo-1m-objects",
        "echo of 1 MiB of small objects, 4 connections",
        4,
        objects,
    ),
    row("echo-50m", "echo of 50 MiB", Kind::Large),
    row("stream", "stream of 100 000 events", Kind::Stream),
    row("in-flight", "10 000 invocations in flight", Kind::InFlight),
    row(
        "ping-blocked",
        "`GET /ping` beside 8 handlers that block for 0.5 s",
        Kind::PingBeside { action: "block" },
    ),
    row(
        "ping-spinning",
        "`GET /ping` beside 8 handlers that spin for 0.5 s",
        Kind::PingBeside { action: "cpu" },
    ),
    row("start", "from exec to the first 200", Kind::Start),
    row(
        "socket-64",
        "WebSocket echo of 64 B, 64 sockets",
        Kind::Socket { bytes: 64 },
    ),
    row(
        "socket-4k",
        "WebSocket echo of 4 KiB, 64 sockets",
        Kind::Socket { bytes: 4 << 10 },
    ),
    row("build", "clean debug build of a hello program", Kind::Build),
];

/// An event that is sent back, with a text without escapes, of about `bytes` bytes altogether.
fn text(bytes: usize) -> Value {
    let text = "The quick brown fox jumps over the lazy dog; ";
    let length = bytes - r#"{"action":"echo","data":""}"#.len();
    let text: String = text.chars().cycle().take(length).collect();
    json!({ "action": "echo", "data": text })
}

/// A conversation of 1 MiB.
fn objects() -> Value {
    let message = json!({
        "role": "user",
        "content": [{ "type": "text", "text": "What does \"the third row\" say?\n" }],
        "tokens": 12.5,
        "final": true,
    });
    let count = (1 << 20) / (message.to_string().len() + 1);
    json!({ "action": "echo", "data": vec![message; count] })
}

/// Measures a row.
pub(super) fn measure(
    row: &Row,
    programs: &Programs,
    cores: &Cores,
    rounds: usize,
    others: &mut Others,
) -> Result<Vec<Figure>> {
    let floor = match row.kind {
        Kind::Socket { .. } => &programs.websockets,
        _ => &programs.hyper,
    };
    let row = Measured {
        name: row.name,
        title: row.title,
        kind: row.kind,
        programs: [&programs.agent, &programs.axum, floor],
        cores,
        rounds,
    };
    match row.kind {
        Kind::Ping { connections } => {
            let servers = row.start()?;
            let exchange = Exchange {
                opening: Vec::new(),
                request: get("/ping"),
                reply: Reply::Http,
            };
            row.bursts(&servers, &exchange, connections, others)
        }
        Kind::Invocation { connections, event } => {
            let servers = row.start()?;
            let request = invocation(&event());
            row.same_replies(&servers, &request)?;
            let exchange = Exchange {
                opening: Vec::new(),
                request,
                reply: Reply::Http,
            };
            row.bursts(&servers, &exchange, connections, others)
        }
        Kind::Socket { bytes } => {
            let servers = row.start()?;
            // From a server without a mask: two bytes, and two more for a long text.
            let head = if bytes < 126 { 2 } else { 4 };
            let exchange = Exchange {
                opening: HANDSHAKE.to_vec(),
                request: masked(TEXT, &vec![b'x'; bytes]),
                reply: Reply::Bytes(head + bytes),
            };
            row.bursts(&servers, &exchange, SOCKETS, others)
        }
        Kind::Large => row.large(),
        Kind::Stream => row.stream(),
        Kind::InFlight => row.in_flight(),
        Kind::Start => row.starts(),
        Kind::PingBeside { action } => row.pings_beside(action),
        Kind::Build => row.builds(),
    }
}

const SOCKETS: usize = 64;

/// The bytes of the largest event, with its action.
const LARGE: usize = 50 << 20;

const EVENTS: u64 = 100_000;

/// Streams in each turn of a server.
const STREAMS: usize = 5;

/// Starts in each turn.
const STARTS: usize = 10;

/// A row, and the programs and cores for it. Programs are in the order of the table.
struct Measured<'a> {
    name: &'static str,
    title: &'static str,
    kind: Kind,
    programs: [&'a Program; 3],
    cores: &'a Cores,
    rounds: usize,
}

impl Measured<'_> {
    /// Starts all three servers. Servers that wait for their turn use no processor time.
    fn start(&self) -> Result<Vec<Server>> {
        (0..NAMES.len())
            .map(|server| self.start_one(server))
            .collect()
    }

    fn start_one(&self, server: usize) -> Result<Server> {
        // The bare server of sockets answers nothing else.
        let has_ping = server < 2 || !matches!(self.kind, Kind::Socket { .. });
        Server::start(self.programs[server], self.cores, has_ping)
    }

    fn figure(&self, what: &str, better: Better, digits: usize) -> Figure {
        Figure {
            command: self.name,
            name: format!("{}: {what}", self.title),
            better,
            digits,
            rounds: Vec::new(),
        }
    }

    /// Fails if a server's reply or status differs from the agent's.
    fn same_replies(&self, servers: &[Server], request: &[u8]) -> Result<()> {
        let mut first: Option<Value> = None;
        for (server, name) in servers.iter().zip(NAMES) {
            let reply = ask(&mut connect(server.address)?, request)?;
            let reply: Value = serde_json::from_slice(&reply).map_err(Error::other)?;
            if first.get_or_insert_with(|| reply.clone()) != &reply {
                let what = format!("{}: another reply from {name}", self.title);
                return Err(Error::other(what));
            }
        }
        Ok(())
    }

    fn bursts(
        &self,
        servers: &[Server],
        exchange: &Exchange,
        connections: usize,
        others: &mut Others,
    ) -> Result<Vec<Figure>> {
        let mut per_second = self.figure("a second", Better::More, 0);
        let mut processor_time = self.figure("processor time for each, µs", Better::Less, 2);
        for _ in 0..self.rounds {
            let (mut rates, mut times) = ([0.0; 3], [0.0; 3]);
            for (number, server) in servers.iter().enumerate() {
                let senders = self.cores.senders();
                let burst = others.undisturbed(|| burst(server, exchange, connections, senders))?;
                (rates[number], times[number]) = (burst.per_second, burst.processor_time);
            }
            per_second.rounds.push(rates);
            processor_time.rounds.push(times);
        }
        Ok(vec![per_second, processor_time])
    }

    /// Starts new servers in each round, so that a peak is that of one invocation.
    fn large(&self) -> Result<Vec<Figure>> {
        let request = invocation(&text(LARGE));
        let mut time = self.figure("ms", Better::Less, 0);
        let mut growth = self.figure("peak memory above idle, MiB", Better::Less, 0);
        for _ in 0..self.rounds {
            let (mut times, mut growths) = ([0.0; 3], [0.0; 3]);
            for number in 0..NAMES.len() {
                let server = self.start_one(number)?;
                let mut connection = connect(server.address)?;
                ask(&mut connection, &invocation(&text(1 << 10)))?;
                let before = server.resident()?;
                let began = Instant::now();
                let reply = ask(&mut connection, &request)?;
                times[number] = Millis::from(began.elapsed()).0;
                growths[number] = mebibytes(server.peak()?) - mebibytes(before);
                if reply.len() != LARGE {
                    let what = format!("{} bytes came back from {}", reply.len(), NAMES[number]);
                    return Err(Error::other(what));
                }
            }
            time.rounds.push(times);
            growth.rounds.push(growths);
        }
        Ok(vec![time, growth])
    }

    fn stream(&self) -> Result<Vec<Figure>> {
        let servers = self.start()?;
        let request = invocation(&json!({ "action": "stream", "events": EVENTS }));
        let mut per_second = self.figure("events a second", Better::More, 0);
        let mut first = self.figure("first event, ms", Better::Less, 2);
        for _ in 0..self.rounds {
            let (mut rates, mut firsts) = ([0.0; 3], [0.0; 3]);
            for (number, server) in servers.iter().enumerate() {
                let streams: Vec<_> = (0..STREAMS)
                    .map(|_| stream(server, &request))
                    .collect::<Result<_>>()?;
                let rate = |(_, whole): &(Duration, Duration)| EVENTS as f64 / whole.as_secs_f64();
                rates[number] = median(streams.iter().map(rate).collect());
                let times = streams.iter().map(|(first, _)| Millis::from(*first).0);
                firsts[number] = median(times.collect());
            }
            per_second.rounds.push(rates);
            first.rounds.push(firsts);
        }
        Ok(vec![per_second, first])
    }

    /// Runs one round, whatever was asked for: it takes the longest by far, and memory hardly varies.
    fn in_flight(&self) -> Result<Vec<Figure>> {
        let mut each = self.figure("memory for each, KiB", Better::Less, 1);
        let mut eachs = [0.0; 3];
        for (number, each) in eachs.iter_mut().enumerate() {
            *each = in_flight(&self.start_one(number)?)?;
        }
        each.rounds.push(eachs);
        Ok(vec![each])
    }

    /// Runs one round, because a ping takes seconds on a server without a thread for pings.
    fn pings_beside(&self, action: &str) -> Result<Vec<Figure>> {
        let mut longest = self.figure("longest, ms", Better::Less, 1);
        let mut longests = [0.0; 3];
        for (number, longest) in longests.iter_mut().enumerate() {
            *longest = longest_ping_beside(action, &self.start_one(number)?)?;
        }
        longest.rounds.push(longests);
        Ok(vec![longest])
    }

    /// Builds on all cores.
    fn builds(&self) -> Result<Vec<Figure>> {
        let folder = Folder::make()?;
        let mut time = self.figure("s", Better::Less, 1);
        for _ in 0..self.rounds {
            let mut times = [0.0; 3];
            for (number, time) in times.iter_mut().enumerate() {
                *time = self.cores.on_all(|| folder.build(number))?;
            }
            time.rounds.push(times);
        }
        Ok(vec![time])
    }

    fn starts(&self) -> Result<Vec<Figure>> {
        let mut time = self.figure("ms", Better::Less, 2);
        let mut idle = self.figure("memory then, MiB", Better::Less, 1);
        for _ in 0..self.rounds {
            let (mut times, mut idles) = ([0.0; 3], [0.0; 3]);
            for number in 0..NAMES.len() {
                let servers = (0..STARTS).map(|_| {
                    let server = self.start_one(number)?;
                    Ok((
                        Millis::from(server.started_in).0,
                        mebibytes(server.resident()?),
                    ))
                });
                let (took, memory) = servers
                    .collect::<Result<Vec<_>>>()?
                    .into_iter()
                    .unzip::<_, _, Vec<_>, Vec<_>>();
                times[number] = median(took);
                idles[number] = median(memory);
            }
            time.rounds.push(times);
            idle.rounds.push(idles);
        }
        Ok(vec![time, idle])
    }
}

/// The longest of the pings, in milliseconds, that are sent one after the other while handlers occupy their threads.
fn longest_ping_beside(action: &str, server: &Server) -> Result<f64> {
    const HANDLERS: usize = 8;
    const PAUSE: Duration = Duration::from_millis(5);

    let request = invocation(&json!({ "action": action, "seconds": 0.5 }));
    let mut pinging = connect(server.address)?;
    ask(&mut pinging, &get("/ping"))?;
    let mut handlers = Vec::new();
    for _ in 0..HANDLERS {
        let mut stream = connect(server.address)?;
        stream.write_all(&request)?;
        handlers.push(std::thread::spawn(move || read_reply(&mut stream)));
    }
    let mut longest = Duration::ZERO;
    while handlers.iter().any(|handler| !handler.is_finished()) {
        let began = Instant::now();
        ask(&mut pinging, &get("/ping"))?;
        longest = longest.max(began.elapsed());
        std::thread::sleep(PAUSE);
    }
    for handler in handlers {
        handler
            .join()
            .map_err(|_| Error::other("a reader panicked"))??;
    }
    Ok(Millis::from(longest).0)
}

fn mebibytes(memory: Memory) -> f64 {
    memory.0 as f64 / f64::from(1 << 20)
}

/// One stream: the time to its first event, and to its end.
fn stream(server: &Server, request: &[u8]) -> Result<(Duration, Duration)> {
    /// Each event contains one, and nothing around the events does.
    const IN_EACH: u8 = b'}';
    const END: &[u8] = b"0\r\n\r\n";

    let mut connection = connect(server.address)?;
    let mut buffer = vec![0; 256 << 10];
    let mut tail = Vec::new();
    let (mut first, mut events) = (None, 0);
    let began = Instant::now();
    connection.write_all(request)?;
    while !tail.ends_with(END) {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let piece = &buffer[..read];
        if events == 0 && tail.is_empty() && !piece.starts_with(b"HTTP/1.1 200 ") {
            return Err(Error::other("a stream that is refused"));
        }
        events += piece.iter().filter(|byte| **byte == IN_EACH).count() as u64;
        if events > 0 {
            first.get_or_insert_with(|| began.elapsed());
        }
        tail.extend_from_slice(&piece[read.saturating_sub(END.len())..]);
        tail.drain(..tail.len().saturating_sub(END.len()));
    }
    let whole = began.elapsed();
    match first {
        Some(first) if events == EVENTS => Ok((first, whole)),
        _ => Err(Error::other(format!("{events} events came"))),
    }
}

/// How long each of the invocations waits: long enough for all to have arrived before the first ends.
const WAIT: Duration = Duration::from_secs(15);

/// A ping is awaited after this many new connections, so that no more wait to be accepted than the kernel keeps.
const CONNECTING: usize = 64;

/// The time for a server to read the last request.
const REST: Duration = Duration::from_secs(1);

/// The memory for each waiting invocation, in KiB. What the allocator keeps after them differs from run to run.
fn in_flight(server: &Server) -> Result<f64> {
    let request = invocation(&json!({ "action": "process", "seconds": WAIT.as_secs() }));
    let mut pinging = connect(server.address)?;
    ask(
        &mut pinging,
        &invocation(&json!({ "action": "process", "seconds": 0 })),
    )?;
    let before = server.resident()?;
    let began = Instant::now();
    let mut waiting = Vec::with_capacity(IN_FLIGHT);
    for number in 0..IN_FLIGHT {
        let mut stream = connect(server.address)?;
        stream.write_all(&request)?;
        waiting.push(stream);
        if number % CONNECTING == 0 {
            ask(&mut pinging, &get("/ping"))?;
        }
    }
    std::thread::sleep(REST);
    let all = server.resident()?;
    if began.elapsed() >= WAIT {
        return Err(Error::other(
            "the first invocations ended before the last began",
        ));
    }
    // Each client leaves when it has its reply.
    for mut stream in waiting {
        read_reply(&mut stream)?;
    }
    let grown = mebibytes(all) - mebibytes(before);
    Ok(grown * 1024.0 / IN_FLIGHT as f64)
}

fn read_reply(stream: &mut TcpStream) -> Result<()> {
    let mut reply = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        reply.extend_from_slice(&piece[..read]);
        if head(&reply)?.is_some_and(|(head, length)| reply.len() == head + length) {
            return Ok(());
        }
    }
}
