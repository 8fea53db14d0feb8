//! One operation of the soak: its request, its fault, and what is known of it afterwards.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::{Connection, Reply, invocation};
use crate::clock::{self, Nanos};
use crate::knowledge::Span;
use crate::random::Random;
use crate::websocket;

/// How work runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Echo,
    Sleep,
    Task,
    /// In the background, after its reply.
    Spawn,
    Stream,
    Socket,
    /// Blocks its thread.
    Block,
    Error,
    Panic,
    /// A body that comes some time after its head.
    Upload,
    /// Not HTTP at all.
    Garbage,
}

/// The client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Resets the connection at some moment after the request.
    Reset,
    /// Closes the connection at some moment after the request.
    Leave,
    /// Closes its sending side, and waits.
    HalfClose,
    /// Leaves before the whole request has been sent.
    Cut,
}

/// The amount of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Every client is honest and patient.
    Clean,
    /// Half of the clients are not.
    Faulty,
}

/// The end of an operation, as far as its client knows.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// The whole reply was read, so nothing of it runs any more.
    Seen(Nanos),
    /// The client left. The operation ends soon after that, or after its code.
    Left(Nanos),
    /// There was never anything to run.
    Nothing,
}

/// The record of an operation.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) id: u64,
    /// Its name, for counts and messages.
    pub(super) label: String,
    pub(super) began: Nanos,
    pub(super) end: End,
    /// When it was certainly in flight, known from the client's side alone.
    pub(super) certain: Option<Span>,
    /// The difference from what an honest client may expect.
    pub(super) problem: Option<String>,
}

impl Performed {
    pub(super) fn has_left(&self) -> bool {
        matches!(self.end, End::Left(_))
    }
}

/// The expected reply.
enum Wanted {
    Json(u16, Value),
    /// Server-sent events, byte for byte. For a failure, only the start of the last event is compared.
    Events(String, Option<&'static str>),
}

impl Wanted {
    fn check(&self, reply: &Reply) -> Result<()> {
        let right = match self {
            Self::Json(status, value) => reply.status == *status && reply.json()? == *value,
            Self::Events(events, None) => reply.status == 200 && reply.body == events.as_bytes(),
            Self::Events(events, Some(failure)) => {
                let rest = reply.body.strip_prefix(events.as_bytes());
                let failed = rest.is_some_and(|rest| rest.starts_with(failure.as_bytes()));
                reply.status == 200 && failed
            }
        };
        if right {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
        Err(Error::other(format!(
            "a wrong reply: {} {shown}",
            reply.status
        )))
    }
}

/// An operation before it is performed.
pub(super) struct Operation {
    id: u64,
    kind: Kind,
    fault: Fault,
    /// The approximate time that its code runs, in milliseconds.
    ms: u64,
    random: Random,
    began: Nanos,
    certain: Option<Span>,
}

impl Operation {
    pub(super) fn choose(id: u64, mood: Mood, mut random: Random) -> Self {
        let kind = random.choose(&[
            (20, Kind::Echo),
            (20, Kind::Sleep),
            (20, Kind::Task),
            (15, Kind::Spawn),
            (15, Kind::Stream),
            (10, Kind::Socket),
            (2, Kind::Block),
            (5, Kind::Error),
            (2, Kind::Panic),
            (8, Kind::Upload),
            (3, Kind::Garbage),
        ]);
        let fault = match mood {
            Mood::Clean => Fault::None,
            Mood::Faulty => random.choose(&[
                (50, Fault::None),
                (15, Fault::Reset),
                (15, Fault::Leave),
                (10, Fault::HalfClose),
                (10, Fault::Cut),
            ]),
        };
        let longest = match kind {
            Kind::Block => 30,
            Kind::Spawn => 150,
            _ => 60,
        };
        Self {
            id,
            kind,
            fault,
            ms: random.within(1..longest),
            random,
            began: clock::now(),
            certain: None,
        }
    }

    /// Performs it, on the connection that the last operation left or on a new one.
    pub(super) async fn perform(
        mut self,
        address: SocketAddr,
        kept: &mut Option<Connection>,
    ) -> Performed {
        let label = format!("{:?}/{:?}", self.kind, self.fault).to_lowercase();
        self.began = clock::now();
        let (end, problem) = match self.attempt(address, kept).await {
            Ok(end) => (end, None),
            // An honest client's operation may also run for a while after an error.
            Err(error) => (End::Left(clock::now()), Some(error.to_string())),
        };
        Performed {
            id: self.id,
            problem: problem.map(|problem| format!("{label} {}: {problem}", self.id)),
            label,
            began: self.began,
            end,
            certain: self.certain,
        }
    }

    async fn attempt(&mut self, address: SocketAddr, kept: &mut Option<Connection>) -> Result<End> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        match (self.kind, self.fault) {
            (Kind::Garbage, _) => return self.garbage(connection).await,
            (Kind::Socket, Fault::Cut) => return self.cut(connection, websocket::HANDSHAKE).await,
            (Kind::Socket, _) => return self.socket(connection).await,
            (Kind::Upload, _) => return self.upload(connection, kept).await,
            _ => {}
        }
        let (event, wanted) = self.request();
        let request = invocation(&event);
        match self.fault {
            Fault::None => {
                wanted.check(&connection.ask(&request).await?)?;
                if self.kind == Kind::Spawn {
                    let join = invocation(&json!({ "id": self.id, "action": "join" }));
                    let joined = json!({ "id": self.id, "panicked": self.fails() });
                    let reply = connection.ask(&join).await?;
                    Wanted::Json(200, joined).check(&reply)?;
                }
                let end = End::Seen(clock::now());
                self.keep_or_end(connection, kept);
                Ok(end)
            }
            Fault::HalfClose if self.kind == Kind::Stream => {
                connection.send(&request).await?;
                connection.finish_sending().await?;
                self.ends(connection).await
            }
            Fault::HalfClose => {
                connection.send(&request).await?;
                connection.finish_sending().await?;
                wanted.check(&connection.reply().await?)?;
                let now = clock::now();
                // The spawned work continues.
                Ok(if self.kind == Kind::Spawn {
                    End::Left(now)
                } else {
                    End::Seen(now)
                })
            }
            Fault::Reset | Fault::Leave => {
                connection.send(&request).await?;
                self.pause(self.ms * 3 / 2).await;
                Ok(self.go(connection))
            }
            Fault::Cut => self.cut(connection, &request).await,
        }
    }

    /// Whether it fails at the end, for kinds that can also succeed.
    fn fails(&self) -> bool {
        self.id % 16 == 0
    }

    /// The request, and the expected reply.
    fn request(&mut self) -> (Value, Wanted) {
        let Self { id, ms, .. } = *self;
        let done = Wanted::Json(200, json!({ "id": id }));
        match self.kind {
            Kind::Sleep => (json!({ "id": id, "action": "sleep", "ms": ms }), done),
            Kind::Task => (json!({ "id": id, "action": "task", "ms": ms }), done),
            Kind::Block => (json!({ "id": id, "action": "block", "ms": ms }), done),
            Kind::Spawn => {
                let keep = self.fault == Fault::None;
                let event = json!({
                    "id": id, "action": "spawn", "ms": ms, "keep": keep, "panics": self.fails(),
                });
                (event, done)
            }
            Kind::Stream => {
                let items = self.random.within(0..20);
                let pause = ms / (items + 1);
                let event = json!({
                    "id": id, "action": "stream", "items": items, "ms": pause, "panics": self.fails(),
                });
                let event_of = |item| format!("data: {{\"id\":{id},\"item\":{item}}}\n\n");
                let failure = self.fails().then_some("data: {\"error\":");
                let wanted = Wanted::Events((0..items).map(event_of).collect(), failure);
                (event, wanted)
            }
            Kind::Error => {
                let text = format!("on purpose {id}");
                (
                    json!({ "id": id, "action": "error" }),
                    Wanted::Json(500, json!({ "error": text })),
                )
            }
            Kind::Panic => {
                let places = ["handler", "task", "drop", "serialize", "display"];
                let place = places[self.random.within(0..places.len() as u64) as usize];
                (
                    json!({ "id": id, "action": "panic", "place": place }),
                    Wanted::Json(500, json!({ "error": "Internal server error" })),
                )
            }
            Kind::Echo | Kind::Upload | Kind::Socket | Kind::Garbage => {
                let length = self.random.choose(&[(6, 10), (3, 3_000), (1, 200_000)]);
                let text = "x".repeat(length);
                (
                    json!({ "id": id, "action": "echo", "text": text }),
                    Wanted::Json(200, json!({ "id": id, "text": text })),
                )
            }
        }
    }

    /// An invocation whose body comes late. The agent is busy from the moment at which it asks for the body.
    async fn upload(
        &mut self,
        mut connection: Connection,
        kept: &mut Option<Connection>,
    ) -> Result<End> {
        let (event, wanted) = self.request();
        let body = event.to_string();
        let head = format!(
            "POST /invocations HTTP/1.1\r\nhost: agent\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.send(head.as_bytes()).await?;
        let status = connection.head().await?;
        if status != 100 {
            return Err(Error::other(format!("{status} instead of 100")));
        }
        let from = clock::now();
        let (first, rest) = body.split_at(body.len() / 2);
        connection.send(first.as_bytes()).await?;
        self.pause(self.ms).await;
        self.certain = Some(Span {
            from,
            to: clock::now(),
        });
        if !matches!(self.fault, Fault::None | Fault::HalfClose) {
            return Ok(self.go(connection));
        }
        connection.send(rest.as_bytes()).await?;
        if self.fault == Fault::HalfClose {
            connection.finish_sending().await?;
        }
        wanted.check(&connection.reply().await?)?;
        let end = End::Seen(clock::now());
        if self.fault == Fault::None {
            self.keep_or_end(connection, kept);
        }
        Ok(end)
    }

    /// A socket with a few echoes. The agent is busy from its acceptance to its close.
    async fn socket(&mut self, mut connection: Connection) -> Result<End> {
        websocket::open(&mut connection).await?;
        let from = clock::now();
        // The first message is the operation's number in the journal.
        websocket::echo_text(&mut connection, &self.id.to_string()).await?;
        for _ in 0..self.random.within(0..4) {
            self.pause(self.ms / 2).await;
            let message = vec![7; self.random.choose(&[(3, 20), (1, 2_000), (1, 30_000)])];
            websocket::echo_bytes(&mut connection, &message).await?;
        }
        self.certain = Some(Span {
            from,
            to: clock::now(),
        });
        match self.fault {
            Fault::None => {
                websocket::close(&mut connection).await?;
                // The connection answers the close. The handler learns of it at about the same time and then ends.
                Ok(End::Left(clock::now()))
            }
            Fault::HalfClose => {
                connection.finish_sending().await?;
                self.ends(connection).await
            }
            _ => Ok(self.go(connection)),
        }
    }

    /// Bytes that are not the begin of a request: the answer is 400 or none, and no work begins.
    async fn garbage(&mut self, mut connection: Connection) -> Result<End> {
        let length = self.random.within(1..300);
        let mut garbage = vec![0x16];
        garbage.extend((0..length).map(|_| self.random.within(0..256) as u8));
        // The agent may refuse it before all of it has been sent.
        let _ = connection.send(&garbage).await;
        let _ = connection.finish_sending().await;
        let rest = connection.rest(crate::client::DEADLINE).await;
        match rest {
            Some(rest) if rest.is_empty() || rest.starts_with(b"HTTP/1.1 400") => Ok(End::Nothing),
            Some(rest) => Err(Error::other(format!(
                "garbage was answered with {}",
                String::from_utf8_lossy(&rest)
            ))),
            None => Err(Error::other("garbage was neither refused nor closed")),
        }
    }

    /// Sends only a part of `request` and leaves.
    async fn cut(&mut self, mut connection: Connection, request: &[u8]) -> Result<End> {
        let length = self.random.within(1..request.len() as u64) as usize;
        connection.send(&request[..length]).await?;
        self.pause(5).await;
        if self.random.once_in(3) {
            connection.finish_sending().await?;
            return self.ends(connection).await;
        }
        Ok(self.go(connection))
    }

    /// Waits for the other side to close.
    async fn ends(&self, mut connection: Connection) -> Result<End> {
        match connection.rest(crate::client::DEADLINE).await {
            Some(_) => Ok(End::Left(clock::now())),
            None => Err(Error::other("a half-closed connection stayed open")),
        }
    }

    /// Leaves in the way of the fault.
    fn go(&mut self, connection: Connection) -> End {
        let resets = match self.fault {
            Fault::Reset => true,
            Fault::Cut => self.random.once_in(2),
            _ => false,
        };
        if resets {
            connection.reset();
        } else {
            drop(connection);
        }
        End::Left(clock::now())
    }

    /// Keeps most connections for the next operation.
    fn keep_or_end(&mut self, connection: Connection, kept: &mut Option<Connection>) {
        match self.random.within(0..8) {
            0 => drop(connection),
            1 => connection.reset(),
            _ => *kept = Some(connection),
        }
    }

    /// Waits for up to `ms` milliseconds.
    async fn pause(&mut self, ms: u64) {
        let microseconds = self.random.within(0..ms * 1000 + 500);
        sleep(Duration::from_micros(microseconds)).await;
    }
}
