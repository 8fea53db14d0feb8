//! A client as the fuzzer writes it: bytes to send, and in between what else it does.
//!
//! The input is what goes over the wire, so that a recorded request is a good seed. The byte `0xFF`, which HTTP does not
//! need, introduces everything else; see [`Step`].

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// What introduces a step. Twice, it is itself.
pub const ESCAPE: u8 = 0xFF;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes that arrive at once.
    Send(Vec<u8>),
    /// Nothing for a while: `w` is a second, `W` half a minute and a bit.
    Wait(Duration),
    /// `s`: somebody tells the server to stop.
    Stop,
    /// `e`: the client has sent all, and goes on reading. As at the end of the input.
    End,
    /// `x`: the client is gone, in both directions.
    Vanish,
    /// `h`: the client does not say anything any more.
    Hang,
}

/// Reads a script. Pieces end at `|` and at every other step; within `1` every byte is a piece of its own.
#[must_use]
pub fn parse(input: &[u8]) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let mut piece = Vec::new();
    let mut single = false;
    let mut rest = input;
    while let [byte, after @ ..] = rest {
        rest = after;
        let step = match (byte, after) {
            (&ESCAPE, [command, after @ ..]) => {
                rest = after;
                match command {
                    b'|' => None,
                    b'1' => {
                        single = !single;
                        None
                    }
                    b'w' => Some(Step::Wait(Duration::from_secs(1))),
                    b'W' => Some(Step::Wait(Duration::from_secs(31))),
                    b's' => Some(Step::Stop),
                    b'e' => Some(Step::End),
                    b'x' => Some(Step::Vanish),
                    b'h' => Some(Step::Hang),
                    &ESCAPE => {
                        piece.push(ESCAPE);
                        continue;
                    }
                    &other => {
                        piece.extend([ESCAPE, other]);
                        continue;
                    }
                }
            }
            _ => {
                piece.push(*byte);
                if !single {
                    continue;
                }
                None
            }
        };
        if !piece.is_empty() {
            steps.push_back(Step::Send(std::mem::take(&mut piece)));
        }
        let is_last = matches!(step, Some(Step::End | Step::Vanish | Step::Hang));
        steps.extend(step);
        if is_last {
            return steps;
        }
    }
    if !piece.is_empty() {
        steps.push_back(Step::Send(piece));
    }
    steps.push_back(Step::End);
    steps
}

/// All that the client sends, in one piece.
#[must_use]
pub fn sent(steps: &VecDeque<Step>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for step in steps {
        if let Step::Send(piece) = step {
            bytes.extend_from_slice(piece);
        }
    }
    bytes
}

/// How the client takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Whatever there is.
    All,
    /// Through a buffer of so many bytes, which is emptied when it is full and not before.
    Pieces(usize),
}

impl Reading {
    /// By two bits of the input.
    #[must_use]
    pub fn of(bits: u8) -> Self {
        match bits & 0b11 {
            0 | 1 => Self::All,
            2 => Self::Pieces(1000),
            _ => Self::Pieces(7),
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    received: Vec<u8>,
    /// The server has said that nothing more comes.
    over: bool,
    /// The client has gone.
    vanished: bool,
}

/// What the client has seen.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Mutex<Shared>>,
    stop: Arc<Notify>,
}

impl Client {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the server has sent.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().received)
    }

    /// Whether the client went away before everything was over.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.lock().vanished
    }

    /// Completes when the script has the server told to stop.
    pub fn stop(&self) -> impl Future<Output = ()> + use<> {
        let stop = Arc::clone(&self.stop);
        async move { stop.notified().await }
    }
}

/// The server's end of the connection.
#[derive(Debug)]
pub struct Wire {
    steps: VecDeque<Step>,
    /// What is left of the piece that is being read.
    piece: VecDeque<u8>,
    /// Between two pieces there is nothing to read, once.
    between: bool,
    wait: Option<Pin<Box<Sleep>>>,
    reading: Reading,
    /// Since the last pause.
    taken: usize,
    client: Client,
}

impl Wire {
    #[must_use]
    pub fn new(steps: VecDeque<Step>, reading: Reading) -> (Self, Client) {
        let client = Client {
            shared: Arc::default(),
            stop: Arc::default(),
        };
        let wire = Self {
            steps,
            piece: VecDeque::new(),
            between: false,
            wait: None,
            reading,
            taken: 0,
            client: client.clone(),
        };
        (wire, client)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.piece.is_empty() {
                let length = this.piece.len().min(buffer.remaining());
                for byte in this.piece.drain(..length) {
                    buffer.put_slice(&[byte]);
                }
                this.between = this.piece.is_empty();
                return Poll::Ready(Ok(()));
            }
            if std::mem::take(&mut this.between) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(wait) = &mut this.wait {
                ready!(wait.as_mut().poll(cx));
                this.wait = None;
            }
            match this.steps.front() {
                Some(Step::Vanish) => {
                    this.client.lock().vanished = true;
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Some(Step::Hang) => return Poll::Pending,
                Some(Step::End) | None => return Poll::Ready(Ok(())),
                Some(Step::Send(_) | Step::Wait(_) | Step::Stop) => {}
            }
            match this.steps.pop_front() {
                Some(Step::Send(piece)) => this.piece = piece.into(),
                Some(Step::Wait(time)) => this.wait = Some(Box::pin(sleep(time))),
                Some(Step::Stop) => this.client.stop.notify_one(),
                _ => unreachable!("kept above"),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut shared = this.client.lock();
        if shared.vanished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        assert!(!shared.over, "written to behind its end");
        let length = match this.reading {
            Reading::All => bytes.len(),
            Reading::Pieces(most) if this.taken >= most => {
                this.taken = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Reading::Pieces(most) => bytes.len().min(most - this.taken),
        };
        this.taken += length;
        shared.received.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.lock().over = true;
        Poll::Ready(Ok(()))
    }
}
