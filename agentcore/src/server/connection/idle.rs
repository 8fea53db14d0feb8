//! All connections: asked to finish when the server stops, and given up when no request comes on them.
//!
//! hyper-util's `GracefulShutdown` takes no connections that may be upgraded. hyper's own time-out for heads sets a timer
//! for each request, which nearly never rings, and has the connection read once more for it. Here a connection has a seat,
//! with its waker, and a note of what it is at; one task looks through all notes when the first is due.
//!
//! # Invariant
//!
//! Everything here is used on the front's thread only. The locks and atomics are never waited for; they make the types
//! `Send`, which tasks have to be. What a connection is at is one [`Idle`], whose changes are three functions:
//!
//! - It is `Busy` exactly while somebody has [paused](Waiting::pause) it and not resumed it, and counts how often.
//! - It is `New` since a moment until its first request. Everything that is said about `Since` holds for it, too.
//! - It is `Since` a moment while it waits for a request. The task that gives up idle connections is either asleep until the
//!   first of these moments is over at the latest, or is told when the first connection begins to wait.
//! - It is `GivenUp` when that task has found it late. A request that has come before the connection is polled for it makes it
//!   `Busy` again, and the connection stays.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::HttpService;
use pin_project_lite::pin_project;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::level_filters::LevelFilter;

use crate::error::BoxError;
use crate::request;
use crate::util::sync::{Mutex, MutexGuard};

/// The notes are not looked through more often than this: a connection may be given up so much late.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seats: Mutex<Seats>,
    /// The server stops: each connection finishes the request that it is at.
    finishing: AtomicBool,
    /// A connection without any request yet is not asked to finish before it has had one.
    awaits_first: AtomicBool,
    /// Told when the last seat becomes free.
    empty: Notify,
    /// How long a request may take to come, its head included.
    patience: Duration,
    /// Whether somebody waits for the first note to be due.
    watched: AtomicBool,
    /// Told when nobody does, and there is a note; and at the end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    taken: Slab<Seat>,
    /// Nobody looks through the notes any more.
    closed: bool,
}

#[derive(Debug)]
struct Seat {
    /// Of the connection's task, once it has been polled.
    waker: Option<Waker>,
    /// Its note.
    waiting: Arc<Waiting>,
}

impl Connections {
    /// For connections that may wait `patience` for a request.
    pub(crate) fn new(patience: Duration) -> Self {
        Self(Arc::new(Shared {
            seats: Mutex::default(),
            finishing: AtomicBool::new(false),
            awaits_first: AtomicBool::new(false),
            empty: Notify::new(),
            patience,
            watched: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// The note of a new connection, which waits from now on.
    pub(crate) fn waiting(&self) -> Arc<Waiting> {
        let waiting = Waiting {
            idle: Mutex::new(Idle::New(Instant::now())),
            shared: Arc::clone(&self.0),
        };
        waiting.tell();
        Arc::new(waiting)
    }

    /// `connection`, asked to finish once the shutdown begins: after the request that it is at, and at once when it is
    /// at none. One that is upgraded has ended here. One that comes later is served, and not waited for.
    ///
    /// It is given up, without a word, when its note says that it has waited for too long.
    pub(crate) fn watch<I, S>(
        &self,
        connection: UpgradeableConnection<I, S>,
        waiting: Arc<Waiting>,
    ) -> Watched<I, S>
    where
        S: HttpService<Incoming>,
    {
        let is_late = self.0.finishing.load(Ordering::Relaxed);
        Watched {
            connection,
            seated: (!is_late).then(|| Seated::take(&self.0, waiting)),
        }
    }

    /// Has all connections look at what they are at.
    pub(crate) fn look_again(&self) {
        let seats = self.0.seats();
        let wakers = seats
            .taken
            .iter()
            .filter_map(|(_, seat)| seat.waker.clone());
        let wakers: Vec<_> = wakers.collect();
        drop(seats);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has the shutdown wait for the first request of each connection. hyper closes a connection that is asked to finish
    /// before it has read anything, so a request that is on its way would have no answer.
    pub(crate) fn await_first_requests(&self) {
        self.0.awaits_first.store(true, Ordering::Relaxed);
    }

    /// Asks all connections to finish, and completes when they have.
    pub(crate) async fn shutdown(&self) {
        self.0.finishing.store(true, Ordering::Relaxed);
        self.look_again();
        loop {
            // Listening starts before the look, so that an end in between is not missed.
            let empty = self.0.empty.notified();
            if self.0.seats().taken.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Gives up connections that wait for too long, until [`close`](Self::close). One task on the front runs this.
    pub(crate) async fn give_up_idle(self) {
        loop {
            match self.0.look() {
                Look::Closed => return,
                Look::Nothing => self.0.changed.notified().await,
                Look::Next(due) => {
                    sleep_until(due.max(Instant::now() + LOOK_AT_MOST_EVERY)).await;
                }
            }
        }
    }

    pub(crate) fn close(&self) {
        self.0.seats().closed = true;
        self.0.changed.notify_one();
    }
}

enum Look {
    Closed,
    /// No connection waits.
    Nothing,
    /// When the first one is due. One that begins to wait later is due later.
    Next(Instant),
}

impl Shared {
    fn look(&self) -> Look {
        let now = Instant::now();
        let seats = self.seats();
        if seats.closed {
            return Look::Closed;
        }
        // Before the look: a connection that begins to wait behind it says so.
        self.watched.store(false, Ordering::Relaxed);
        let mut next: Option<Instant> = None;
        let mut late = Vec::new();
        for (_, seat) in &seats.taken {
            let Some(due) = seat.waiting.look(now) else {
                continue;
            };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            } else {
                late.extend(seat.waker.clone());
            }
        }
        drop(seats);
        late.into_iter().for_each(Waker::wake);
        self.watched.store(next.is_some(), Ordering::Relaxed);
        next.map_or(Look::Nothing, Look::Next)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock()
    }
}

/// What a connection is at; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// It waits for its first request since then.
    New(Instant),
    /// It waits for another request since then.
    Since(Instant),
    /// It is at so many things: requests, replies that have not left, bodies that nobody wants.
    Busy(usize),
    /// It has waited for too long.
    GivenUp,
}

impl Idle {
    fn paused(self) -> Self {
        match self {
            Self::New(_) | Self::Since(_) | Self::GivenUp => Self::Busy(1),
            Self::Busy(pauses) => Self::Busy(pauses + 1),
        }
    }

    fn resumed(self, now: Instant) -> Self {
        match self {
            Self::Busy(pauses) if pauses > 1 => Self::Busy(pauses - 1),
            Self::Busy(_) => Self::Since(now),
            Self::New(_) | Self::Since(_) | Self::GivenUp => {
                debug_assert!(false, "it was not paused");
                self
            }
        }
    }

    /// Looked at, by the task that gives up idle connections. Returns when the connection is due, if it waits.
    fn looked_at(self, now: Instant, patience: Duration) -> (Self, Option<Instant>) {
        match self {
            Self::New(since) | Self::Since(since) if since + patience <= now => {
                (Self::GivenUp, Some(since + patience))
            }
            Self::New(since) | Self::Since(since) => (self, Some(since + patience)),
            Self::Busy(_) | Self::GivenUp => (self, None),
        }
    }
}

/// A connection's note of what it is at.
#[derive(Debug)]
pub(crate) struct Waiting {
    idle: Mutex<Idle>,
    shared: Arc<Shared>,
}

impl Waiting {
    /// It does not wait, until it is resumed as often.
    pub(crate) fn pause(&self) {
        let mut idle = self.idle.lock();
        *idle = idle.paused();
    }

    pub(crate) fn resume(&self) {
        let mut idle = self.idle.lock();
        *idle = idle.resumed(Instant::now());
        let waits = matches!(*idle, Idle::Since(_));
        drop(idle);
        if waits {
            self.tell();
        }
    }

    /// Tells the task that gives up idle connections that one waits, unless it knows of one.
    fn tell(&self) {
        if !self.shared.watched.swap(true, Ordering::Relaxed) {
            self.shared.changed.notify_one();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_begun(&self) -> bool {
        matches!(*self.idle.lock(), Idle::New(_) | Idle::Since(_))
    }

    /// Paused for as long as the guard lives.
    pub(crate) fn paused(self: &Arc<Self>) -> Paused {
        self.pause();
        Paused(Arc::clone(self))
    }

    /// When the connection is due, if it waits. It is given up if that is now.
    fn look(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.idle.lock();
        let due;
        (*idle, due) = idle.looked_at(now, self.shared.patience);
        due
    }

    fn is_given_up(&self) -> bool {
        *self.idle.lock() == Idle::GivenUp
    }

    fn is_new(&self) -> bool {
        matches!(*self.idle.lock(), Idle::New(_))
    }
}

/// See [`Waiting::paused`].
#[derive(Debug)]
pub(crate) struct Paused(Arc<Waiting>);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.resume();
    }
}

pin_project! {
    /// See [`Connections::watch`]. (As an async block it would be twice as large, for as long as the connection lives.)
    pub(crate) struct Watched<I, S>
    where
        S: HttpService<Incoming>,
    {
        #[pin]
        connection: UpgradeableConnection<I, S>,
        // None for one that came late.
        seated: Option<Seated>,
    }
}

impl<I, S, B> Future for Watched<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>> + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(seated) = this.seated {
            seated.keep(cx.waker());
            if seated.is_to_finish() {
                this.connection.as_mut().graceful_shutdown();
            }
        }
        let mut polled = this.connection.as_mut().poll(cx);
        // Its first request may have come just now.
        let is_to_finish = this.seated.as_mut().is_some_and(Seated::is_to_finish);
        if polled.is_pending() && is_to_finish {
            this.connection.as_mut().graceful_shutdown();
            polled = this.connection.poll(cx);
        }
        // Behind that, the look at the note: a request that has come just so is answered.
        match polled {
            Poll::Pending if this.seated.as_ref().is_some_and(Seated::is_given_up) => {}
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            // A client that left or spoke something else; hyper has answered what could be answered.
            Poll::Ready(Err(error)) => {
                request::emit_often(LevelFilter::TRACE, None, move || {
                    tracing::trace!("connection ended: {error}");
                });
            }
        }
        Poll::Ready(())
    }
}

/// A seat, free again when this is dropped.
struct Seated {
    shared: Arc<Shared>,
    number: usize,
    waiting: Arc<Waiting>,
    /// The one that the seat has.
    waker: Option<Waker>,
    /// The connection has been asked to finish.
    is_asked: bool,
}

impl Seated {
    fn take(shared: &Arc<Shared>, waiting: Arc<Waiting>) -> Self {
        let number = shared.seats().taken.insert(Seat {
            waker: None,
            waiting: Arc::clone(&waiting),
        });
        Self {
            shared: Arc::clone(shared),
            number,
            waiting,
            waker: None,
            is_asked: false,
        }
    }

    /// Keeps the waker of the connection's task: a task has only one.
    fn keep(&mut self, waker: &Waker) {
        if !self
            .waker
            .as_ref()
            .is_some_and(|kept| kept.will_wake(waker))
        {
            self.waker = Some(waker.clone());
            let mut seats = self.shared.seats();
            let before = match seats.taken.get_mut(self.number) {
                Some(seat) => seat.waker.replace(waker.clone()),
                None => None,
            };
            // A waker may be the last that keeps a task, and its connection.
            drop(seats);
            drop(before);
        }
    }

    /// Once: when the server stops.
    fn is_to_finish(&mut self) -> bool {
        if self.is_asked || !self.shared.finishing.load(Ordering::Relaxed) {
            return false;
        }
        let awaits_first = self.shared.awaits_first.load(Ordering::Relaxed);
        self.is_asked = !(awaits_first && self.waiting.is_new());
        self.is_asked
    }

    fn is_given_up(&self) -> bool {
        self.waiting.is_given_up()
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.shared.seats();
        let seat = seats.taken.try_remove(self.number);
        let is_last = seats.taken.is_empty();
        drop(seats);
        drop(seat);
        if is_last {
            self.shared.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn connections() -> Connections {
        let connections = Connections::new(PATIENCE);
        tokio::spawn(connections.clone().give_up_idle());
        connections
    }

    /// A client, and its connection, which takes `work` over each request.
    fn open(connections: &Connections, work: Duration) -> (DuplexStream, JoinHandle<()>) {
        let (client, socket) = duplex(1000);
        let waiting = connections.waiting();
        let note = Arc::clone(&waiting);
        let service = service_fn(move |_| {
            let paused = note.paused();
            async move {
                tokio::time::sleep(work).await;
                drop(paused);
                Ok::<_, Infallible>(http::Response::new(Empty::<&[u8]>::new()))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        let connection = connections.watch(connection.with_upgrades(), waiting);
        (client, tokio::spawn(connection))
    }

    async fn reply(client: &mut DuplexStream) {
        let mut reply = [0; 1000];
        let length = client.read(&mut reply).await.unwrap();
        assert!(reply[..length].starts_with(b"HTTP/1.1 200"));
    }

    #[test]
    fn a_connection_is_at_one_thing_at_a_time() {
        let now = Instant::now();
        let later = now + PATIENCE;
        let waits = Idle::Since(now);
        for (before, paused, resumed, looked_at) in [
            (
                Idle::New(now),
                Idle::Busy(1),
                None,
                (Idle::GivenUp, Some(later)),
            ),
            (waits, Idle::Busy(1), None, (Idle::GivenUp, Some(later))),
            (Idle::GivenUp, Idle::Busy(1), None, (Idle::GivenUp, None)),
            (
                Idle::Busy(1),
                Idle::Busy(2),
                Some(Idle::Since(later)),
                (Idle::Busy(1), None),
            ),
            (
                Idle::Busy(2),
                Idle::Busy(3),
                Some(Idle::Busy(1)),
                (Idle::Busy(2), None),
            ),
        ] {
            assert_eq!(before.paused(), paused);
            if let Some(resumed) = resumed {
                assert_eq!(before.resumed(later), resumed);
            }
            assert_eq!(before.looked_at(later, PATIENCE), looked_at);
        }
        let just_before = later - Duration::from_micros(1);
        assert_eq!(waits.looked_at(just_before, PATIENCE), (waits, Some(later)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_given_up_when_it_has_waited_and_not_before() {
        let connections = connections();
        let began = Instant::now();
        let (_first, first) = open(&connections, Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (mut client, second) = open(&connections, 2 * PATIENCE);
        first.await.unwrap();
        let passed = began.elapsed();
        assert!(
            (PATIENCE..PATIENCE + 2 * LOOK_AT_MOST_EVERY).contains(&passed),
            "{passed:?}"
        );
        // A request may take as long as it likes, and what counts then is the time since its reply.
        client.write_all(REQUEST).await.unwrap();
        reply(&mut client).await;
        let answered = Instant::now();
        assert!(answered - began >= 3 * PATIENCE);
        second.await.unwrap();
        let passed = answered.elapsed();
        assert!(
            (PATIENCE..PATIENCE + 2 * LOOK_AT_MOST_EVERY).contains(&passed),
            "{passed:?}"
        );
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert!(connections.0.seats().taken.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_not_a_request() {
        let connections = connections();
        let began = Instant::now();
        let (mut client, connection) = open(&connections, Duration::ZERO);
        tokio::time::sleep(PATIENCE / 2).await;
        client.write_all(&REQUEST[..20]).await.unwrap();
        connection.await.unwrap();
        assert!(began.elapsed() < PATIENCE + 2 * LOOK_AT_MOST_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_the_request_and_closes_what_idles() {
        let connections = connections();
        let (mut client, busy) = open(&connections, Duration::from_secs(3));
        let (_idle, idle) = open(&connections, Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        connections.shutdown().await;
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        reply(&mut client).await;
        busy.await.unwrap();
        idle.await.unwrap();
        // A later one is served.
        let (mut client, _late) = open(&connections, Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        reply(&mut client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_first_requests_where_it_is_to() {
        for awaits_first in [false, true] {
            let connections = connections();
            if awaits_first {
                connections.await_first_requests();
            }
            let (mut idle, _) = open(&connections, Duration::ZERO);
            idle.write_all(REQUEST).await.unwrap();
            reply(&mut idle).await;
            let (mut new, _) = open(&connections, Duration::ZERO);
            tokio::task::yield_now().await;
            let began = Instant::now();
            let shutdown = connections.shutdown();
            let client = async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
                if awaits_first {
                    new.write_all(REQUEST).await.unwrap();
                    reply(&mut new).await;
                }
                assert_eq!(new.read(&mut [0]).await.unwrap(), 0);
            };
            let ((), waited) = tokio::join!(client, async {
                shutdown.await;
                began.elapsed()
            });
            let expected = Duration::from_secs(u64::from(awaits_first));
            assert_eq!(waited, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_when_it_is_closed() {
        let connections = Connections::new(PATIENCE);
        let looking = tokio::spawn(connections.clone().give_up_idle());
        tokio::task::yield_now().await;
        connections.close();
        looking.await.unwrap();
    }
}
