//! The number of requests that a server answers in a second, where each connection has one request at a time.
//!
//! There is one thread for each of the load's processors, with one kernel queue for all of its connections. So the load costs
//! little compared with the server.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use super::machine::Used;
use super::server::{DEADLINE, Server, head};

/// Not measured, because a server that was idle is slower at first.
const WARM_UP: Duration = Duration::from_millis(200);

const MEASURED: Duration = Duration::from_secs(1);

/// How often a thread without events checks whether to stop.
const LOOK_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// The bytes that each connection sends again and again.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// Sent once, first. For a socket it is the handshake. Its reply ends with an empty line.
    pub(super) opening: Vec<u8>,
    pub(super) request: Vec<u8>,
    pub(super) reply: Reply,
}

/// How the end of a reply is found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// A 200 with a length.
    Http,
    /// A fixed number of bytes.
    Bytes(usize),
}

/// The result of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub(super) per_second: f64,
    /// The server's processor time for each request, in microseconds.
    pub(super) processor_time: f64,
    /// The share of the machine that other processes took meanwhile.
    pub(super) by_others: f64,
}

/// The share that other processes may take of the machine in a turn that counts.
pub(super) const DISTURBED: f64 = 0.08;

/// The share of other processes in each turn, and the time that is left for repeating turns because of them.
#[derive(Debug)]
pub(super) struct Others {
    pub(super) shares: Vec<f64>,
    pub(super) patience: Duration,
}

impl Others {
    /// Repeats the turn until other processes took little of it, or the patience is used up.
    pub(super) fn undisturbed(&mut self, turn: impl Fn() -> Result<Burst>) -> Result<Burst> {
        loop {
            let began = Instant::now();
            let burst = turn()?;
            if burst.by_others <= DISTURBED || self.patience.is_zero() {
                self.shares.push(burst.by_others);
                return Ok(burst);
            }
            self.patience = self.patience.saturating_sub(began.elapsed());
        }
    }
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// Sends from this number of connections.
pub(super) fn burst(
    server: &Server,
    exchange: &Exchange,
    connections: usize,
    senders: usize,
) -> Result<Burst> {
    let phase = AtomicU8::new(WARMING);
    std::thread::scope(|scope| {
        let senders = senders.min(connections);
        let phase = &phase;
        let threads: Vec<_> = (0..senders)
            .map(|number| {
                let share = connections / senders + usize::from(number < connections % senders);
                scope.spawn(move || Sender::open(server.address, exchange, share)?.send(phase))
            })
            .collect();
        std::thread::sleep(WARM_UP);
        let (before, used) = (server.processor_time(), Used::look());
        let began = Instant::now();
        phase.store(MEASURING, Ordering::Relaxed);
        std::thread::sleep(MEASURED);
        phase.store(OVER, Ordering::Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        let (after, used_then) = (server.processor_time(), Used::look());
        let mut replies = 0;
        for thread in threads {
            let counted = thread
                .join()
                .map_err(|_| Error::other("a sender panicked"))?;
            replies += counted?;
        }
        if replies == 0 {
            return Err(Error::other("no reply within a second"));
        }
        let processor_time = (after? - before?).as_secs_f64();
        Ok(Burst {
            per_second: replies as f64 / seconds,
            processor_time: processor_time * 1e6 / replies as f64,
            by_others: used_then?.by_others(&used?, processor_time),
        })
    })
}

struct Connection {
    stream: TcpStream,
    /// The number of bytes of the request that are sent; 0 once the whole reply has come.
    sent: usize,
    /// The part of a head that has come.
    head: Vec<u8>,
    /// The bytes of the body that are still to come, once the head is whole.
    missing: Option<usize>,
}

struct Sender<'a> {
    exchange: &'a Exchange,
    queue: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    is_over: bool,
    replies: u64,
}

impl<'a> Sender<'a> {
    fn open(address: SocketAddr, exchange: &'a Exchange, count: usize) -> Result<Self> {
        let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for number in 0..count as u64 {
            let mut stream = super::server::connect(address)?;
            if !exchange.opening.is_empty() {
                stream.write_all(&exchange.opening)?;
                let mut reply = Vec::new();
                while !reply.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    reply.extend(byte);
                }
            }
            stream.set_nonblocking(true)?;
            let events = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&queue, &stream, epoll::EventData::new_u64(number), events)?;
            connections.push(Connection {
                stream,
                sent: 0,
                head: Vec::new(),
                missing: None,
            });
        }
        Ok(Self {
            exchange,
            queue,
            connections,
            buffer: vec![0; 256 << 10],
            is_over: false,
            replies: 0,
        })
    }

    /// Sends until the time is over, and reads the remaining replies. Returns the number of replies in the measured time.
    fn send(mut self, phase: &AtomicU8) -> Result<u64> {
        let mut open = self.connections.len();
        let mut events = Vec::with_capacity(open.min(256));
        let mut last_event = Instant::now();
        // The first events say that there is room to write.
        while open > 0 {
            events.clear();
            epoll::wait(&self.queue, spare_capacity(&mut events), Some(&LOOK_EVERY))?;
            let phase = phase.load(Ordering::Relaxed);
            self.is_over = phase == OVER;
            if !events.is_empty() {
                last_event = Instant::now();
            } else if last_event.elapsed() > DEADLINE {
                return Err(ErrorKind::TimedOut.into());
            }
            for event in &events {
                let number = event.data.u64() as usize;
                let (has_come, has_ended) = self.turn(number)?;
                self.replies += u64::from(has_come && phase == MEASURING);
                open -= usize::from(has_ended);
            }
        }
        Ok(self.replies)
    }

    /// Continues a connection that has an event. Returns whether a reply is complete, and whether the connection has ended.
    ///
    /// After sending a request, the connection waits for the next event, even if the reply is there at once.
    fn turn(&mut self, number: usize) -> Result<(bool, bool)> {
        let connection = &mut self.connections[number];
        let is_sent = connection.sent == self.exchange.request.len();
        let has_come = is_sent && connection.read(self.exchange.reply, &mut self.buffer)?;
        if self.is_over && connection.sent == 0 {
            epoll::delete(&self.queue, &connection.stream)?;
            return Ok((has_come, true));
        }
        connection.write(&self.exchange.request)?;
        Ok((has_come, false))
    }
}

impl Connection {
    /// Sends as much of the request as the kernel takes.
    fn write(&mut self, request: &[u8]) -> Result<()> {
        while self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads. Returns whether the whole reply has come.
    fn read(&mut self, framing: Reply, buffer: &mut [u8]) -> Result<bool> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if self.take(framing, &buffer[..read])? {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, framing: Reply, bytes: &[u8]) -> Result<bool> {
        let (missing, taken) = match (self.missing, framing) {
            (Some(missing), _) => (missing, bytes.len()),
            (None, Reply::Bytes(length)) => (length, bytes.len()),
            (None, Reply::Http) if self.head.is_empty() => match head(bytes)? {
                Some((head, length)) => (length, bytes.len() - head),
                None => {
                    self.head.extend_from_slice(bytes);
                    return Ok(false);
                }
            },
            (None, Reply::Http) => {
                self.head.extend_from_slice(bytes);
                match head(&self.head)? {
                    Some((head, length)) => (length, self.head.len() - head),
                    None => return Ok(false),
                }
            }
        };
        match missing.checked_sub(taken) {
            Some(0) => {
                self.sent = 0;
                self.head.clear();
                self.missing = None;
                Ok(true)
            }
            Some(missing) => {
                self.missing = Some(missing);
                Ok(false)
            }
            None => Err(Error::other("more than one reply to one request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_disturbed_turn_is_repeated_while_there_is_patience() {
        let burst = |by_others| Burst {
            per_second: by_others,
            processor_time: 0.0,
            by_others,
        };
        let shares = RefCell::new(vec![0.5, 0.01, 0.9]);
        let next = || Ok(burst(shares.borrow_mut().pop().expect("a turn")));
        let mut others = Others {
            shares: Vec::new(),
            patience: Duration::from_secs(60),
        };
        assert_eq!(others.undisturbed(next).unwrap().by_others, 0.01);
        others.patience = Duration::ZERO;
        assert_eq!(others.undisturbed(next).unwrap().by_others, 0.5);
        assert_eq!(others.shares, [0.01, 0.5]);
    }

    #[test]
    fn a_reply_may_come_in_pieces_and_ends_where_its_length_says() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = Connection {
            stream: TcpStream::connect(listener.local_addr().unwrap()).unwrap(),
            sent: 5,
            head: Vec::new(),
            missing: None,
        };
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for _ in 0..2 {
            for byte in &reply[..reply.len() - 1] {
                assert!(!connection.take(Reply::Http, &[*byte]).unwrap());
            }
            assert!(connection.take(Reply::Http, b"c").unwrap());
            assert_eq!(connection.sent, 0, "the next request is to be sent");
        }
        assert!(connection.take(Reply::Http, reply).unwrap());
        let more = [reply, &b"H"[..]].concat();
        assert!(connection.take(Reply::Http, &more).is_err());
        assert!(!connection.take(Reply::Bytes(4), b"abc").unwrap());
        assert!(connection.take(Reply::Bytes(4), b"d").unwrap());
    }
}
