//! All open connections: closes those that stay idle, and asks all to finish when the server stops.
//!
//! hyper-util's `GracefulShutdown` takes no connections that may be upgraded. hyper's own timeout for heads sets a timer
//! for each request, which almost never expires, and reads the connection once more for it. Here each connection has an
//! entry with its waker and its state. One task checks all states when the first deadline is due.
//!
//! # Invariant
//!
//! Everything here is used on the front's thread only. The locks and atomics are never contended. They make the types
//! `Send`, which tasks have to be. The state of a connection is one [`Idle`]. Three functions change it:
//!
//! - `Busy` counts the [pauses](Waiting::pause) that have not been resumed. There is at least one.
//! - `New` holds the time since which the connection waits for its first request. What the next line says holds here, too.
//! - `Since` holds the time since which the connection waits for another request. The task that closes idle connections
//!   sleeps until the first deadline at the latest, or is notified when the first connection begins to wait.
//! - `GivenUp` means that this task has found the connection past its deadline. A request that arrives before the
//!   connection is polled makes it `Busy` again, and the connection stays.

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
use crate::util::sync::Mutex;

/// The least time between two checks of all states: a connection may be closed this much late.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    /// Whether the server stops. Then each connection finishes its current request and closes.
    finishing: AtomicBool,
    /// Whether a connection is asked to finish only after its first request.
    awaits_first: AtomicBool,
    /// Notified when the last entry is removed.
    empty: Notify,
    /// How long a connection may wait for a request, until the whole head has arrived.
    header_timeout: Duration,
    /// Whether the checking task sleeps until a deadline.
    watched: AtomicBool,
    /// Notified when a connection begins to wait and that task does not; and at the end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    slab: Slab<Entry>,
    /// Whether the checking task is to end.
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    /// The waker of the connection's task, once the task has been polled.
    waker: Option<Waker>,
    waiting: Arc<Waiting>,
}

impl Connections {
    /// A set for connections that may wait `header_timeout` for a request.
    pub(crate) fn new(header_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            entries: Mutex::default(),
            finishing: AtomicBool::new(false),
            awaits_first: AtomicBool::new(false),
            empty: Notify::new(),
            header_timeout,
            watched: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// Returns the state of a new connection, which waits from now on.
    pub(crate) fn waiting(&self) -> Arc<Waiting> {
        let waiting = Waiting {
            idle: Mutex::new(Idle::New(Instant::now())),
            shared: Arc::clone(&self.0),
        };
        waiting.tell();
        Arc::new(waiting)
    }

    /// Drives `connection`, and asks it to finish once the shutdown begins: after its current request, or at once if there is
    /// none. The future ends when the connection is upgraded. A connection that opens after the shutdown has begun is served,
    /// and the shutdown does not wait for it.
    ///
    /// A connection that has waited for too long is closed without a reply.
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
            registration: (!is_late).then(|| Registration::take(&self.0, waiting)),
        }
    }

    /// Wakes the tasks of all connections, so that each sees what has changed.
    pub(crate) fn look_again(&self) {
        let entries = self.0.entries.lock();
        let all = entries.slab.iter();
        let wakers: Vec<_> = all.filter_map(|(_, entry)| entry.waker.clone()).collect();
        drop(entries);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Makes the shutdown wait for the first request of each connection. hyper closes a connection that is asked to finish
    /// before it has read anything, so a request on its way would have no answer.
    pub(crate) fn await_first_requests(&self) {
        self.0.awaits_first.store(true, Ordering::Relaxed);
    }

    /// Asks all connections to finish, and completes when they have.
    pub(crate) async fn shutdown(&self) {
        self.0.finishing.store(true, Ordering::Relaxed);
        self.look_again();
        loop {
            // Before the check, so that no notification in between is missed.
            let empty = self.0.empty.notified();
            if self.0.entries.lock().slab.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Closes connections that wait for too long, until [`close`](Self::close) is called. One task on the front runs this.
    pub(crate) async fn give_up_idle(self) {
        loop {
            match self.0.check() {
                Check::Closed => return,
                Check::Nothing => self.0.changed.notified().await,
                Check::Next(due) => {
                    sleep_until(due.max(Instant::now() + CHECK_INTERVAL)).await;
                }
            }
        }
    }

    pub(crate) fn close(&self) {
        self.0.entries.lock().closed = true;
        self.0.changed.notify_one();
    }
}

enum Check {
    Closed,
    /// No connection waits.
    Nothing,
    /// The first deadline. A connection that begins to wait later has a later one.
    Next(Instant),
}

impl Shared {
    fn check(&self) -> Check {
        let now = Instant::now();
        let entries = self.entries.lock();
        if entries.closed {
            return Check::Closed;
        }
        // Before the check: a connection that begins to wait after it notifies this task.
        self.watched.store(false, Ordering::Relaxed);
        let mut next: Option<Instant> = None;
        let mut late = Vec::new();
        for (_, entry) in &entries.slab {
            let Some(due) = entry.waiting.check(now) else {
                continue;
            };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            } else {
                late.extend(entry.waker.clone());
            }
        }
        drop(entries);
        late.into_iter().for_each(Waker::wake);
        self.watched.store(next.is_some(), Ordering::Relaxed);
        next.map_or(Check::Nothing, Check::Next)
    }
}

/// What a connection does; see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// It waits for its first request, since this time.
    New(Instant),
    /// It waits for another request, since this time.
    Since(Instant),
    /// The number of pauses: requests, replies that have not been sent, request bodies that are discarded.
    Busy(usize),
    /// It has waited for too long and is closed when it is next polled.
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

    /// The state after a check by the task that closes idle connections, and the connection's deadline if it waits.
    fn checked(self, now: Instant, header_timeout: Duration) -> (Self, Option<Instant>) {
        match self {
            Self::New(since) | Self::Since(since) if since + header_timeout <= now => {
                (Self::GivenUp, Some(since + header_timeout))
            }
            Self::New(since) | Self::Since(since) => (self, Some(since + header_timeout)),
            Self::Busy(_) | Self::GivenUp => (self, None),
        }
    }
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Waiting {
    idle: Mutex<Idle>,
    shared: Arc<Shared>,
}

impl Waiting {
    /// Stops the wait, until `resume` has been called as often as `pause`.
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

    /// Notifies the checking task that a connection waits, unless that task sleeps until a deadline already.
    fn tell(&self) {
        if !self.shared.watched.swap(true, Ordering::Relaxed) {
            self.shared.changed.notify_one();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_begun(&self) -> bool {
        matches!(*self.idle.lock(), Idle::New(_) | Idle::Since(_))
    }

    /// Pauses the connection for as long as the guard lives.
    pub(crate) fn paused(self: &Arc<Self>) -> Paused {
        self.pause();
        Paused(Arc::clone(self))
    }

    /// Returns the deadline of a connection that waits, and marks the connection as given up if the deadline has passed.
    fn check(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.idle.lock();
        let due;
        (*idle, due) = idle.checked(now, self.shared.header_timeout);
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
    /// The future of [`Connections::watch`]. An async block would be twice as large, for as long as the connection lives.
    pub(crate) struct Watched<I, S>
    where
        S: HttpService<Incoming>,
    {
        #[pin]
        connection: UpgradeableConnection<I, S>,
        // `None` for a connection that opened after the shutdown had begun.
        registration: Option<Registration>,
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
        if let Some(registration) = this.registration {
            registration.keep(cx.waker());
            if registration.is_to_finish() {
                this.connection.as_mut().graceful_shutdown();
            }
        }
        let mut polled = this.connection.as_mut().poll(cx);
        // This poll may have read the first request.
        let is_to_finish = this
            .registration
            .as_mut()
            .is_some_and(Registration::is_to_finish);
        if polled.is_pending() && is_to_finish {
            this.connection.as_mut().graceful_shutdown();
            polled = this.connection.poll(cx);
        }
        let is_given_up = |registration: &Registration| registration.waiting.is_given_up();
        // Only now the deadline: a request that this poll has read is answered.
        match polled {
            Poll::Pending if this.registration.as_ref().is_some_and(is_given_up) => {}
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            // The client has left, or does not speak HTTP. hyper has answered what could be answered.
            Poll::Ready(Err(error)) => {
                request::emit_often(LevelFilter::TRACE, None, move || {
                    tracing::trace!("connection ended: {error}");
                });
            }
        }
        Poll::Ready(())
    }
}

/// The guard of an entry: its drop removes the entry.
struct Registration {
    shared: Arc<Shared>,
    number: usize,
    waiting: Arc<Waiting>,
    /// A copy of the waker in the entry.
    waker: Option<Waker>,
    /// Whether the connection has been asked to finish.
    is_asked: bool,
}

impl Registration {
    fn take(shared: &Arc<Shared>, waiting: Arc<Waiting>) -> Self {
        let number = shared.entries.lock().slab.insert(Entry {
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

    /// Stores the waker of the connection's task, if it has changed.
    fn keep(&mut self, waker: &Waker) {
        if !self
            .waker
            .as_ref()
            .is_some_and(|kept| kept.will_wake(waker))
        {
            self.waker = Some(waker.clone());
            let mut entries = self.shared.entries.lock();
            let before = match entries.slab.get_mut(self.number) {
                Some(entry) => entry.waker.replace(waker.clone()),
                None => None,
            };
            // The waker may be the last owner of a task and its connection, so it is dropped outside the lock.
            drop(entries);
            drop(before);
        }
    }

    /// Whether the connection has to be asked to finish. `true` at most once.
    fn is_to_finish(&mut self) -> bool {
        if self.is_asked || !self.shared.finishing.load(Ordering::Relaxed) {
            return false;
        }
        let awaits_first = self.shared.awaits_first.load(Ordering::Relaxed);
        self.is_asked = !(awaits_first && self.waiting.is_new());
        self.is_asked
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.shared.entries.lock();
        let entry = entries.slab.try_remove(self.number);
        let is_last = entries.slab.is_empty();
        drop(entries);
        drop(entry);
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

    const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn connections() -> Connections {
        let connections = Connections::new(HEADER_TIMEOUT);
        tokio::spawn(connections.clone().give_up_idle());
        connections
    }

    /// A client, and its connection, which takes `work` to answer each request.
    fn open(connections: &Connections, work: Duration) -> (DuplexStream, JoinHandle<()>) {
        let (client, socket) = duplex(1000);
        let waiting = connections.waiting();
        let state = Arc::clone(&waiting);
        let service = service_fn(move |_| {
            let paused = state.paused();
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
        let later = now + HEADER_TIMEOUT;
        let waits = Idle::Since(now);
        for (before, paused, resumed, checked) in [
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
            assert_eq!(before.checked(later, HEADER_TIMEOUT), checked);
        }
        let just_before = later - Duration::from_micros(1);
        assert_eq!(
            waits.checked(just_before, HEADER_TIMEOUT),
            (waits, Some(later))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_given_up_when_it_has_waited_and_not_before() {
        let connections = connections();
        let began = Instant::now();
        let (_first, first) = open(&connections, Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (mut client, second) = open(&connections, 2 * HEADER_TIMEOUT);
        first.await.unwrap();
        let passed = began.elapsed();
        assert!(
            (HEADER_TIMEOUT..HEADER_TIMEOUT + 2 * CHECK_INTERVAL).contains(&passed),
            "{passed:?}"
        );
        // A request may take any time. After it, the time counts from its reply.
        client.write_all(REQUEST).await.unwrap();
        reply(&mut client).await;
        let answered = Instant::now();
        assert!(answered - began >= 3 * HEADER_TIMEOUT);
        second.await.unwrap();
        let passed = answered.elapsed();
        assert!(
            (HEADER_TIMEOUT..HEADER_TIMEOUT + 2 * CHECK_INTERVAL).contains(&passed),
            "{passed:?}"
        );
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert!(connections.0.entries.lock().slab.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_not_a_request() {
        let connections = connections();
        let began = Instant::now();
        let (mut client, connection) = open(&connections, Duration::ZERO);
        tokio::time::sleep(HEADER_TIMEOUT / 2).await;
        client.write_all(&REQUEST[..20]).await.unwrap();
        connection.await.unwrap();
        assert!(began.elapsed() < HEADER_TIMEOUT + 2 * CHECK_INTERVAL);
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
        // A connection that opens now is served.
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
        let connections = Connections::new(HEADER_TIMEOUT);
        let looking = tokio::spawn(connections.clone().give_up_idle());
        tokio::task::yield_now().await;
        connections.close();
        looking.await.unwrap();
    }
}
