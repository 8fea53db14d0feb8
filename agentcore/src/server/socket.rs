//! A connection's socket, and what a half-closed one means.
//!
//! A client may close its sending side and wait for the reply; a client that left looks the same from here. While a plain
//! reply is being made the difference does not matter, since accepted work is finished anyway, so the socket keeps the
//! end to itself and the client gets its reply. While a reply is streamed, or where the handler wants to know, the end
//! is shown, and hyper drops the connection with everything that belongs to it.
//!
//! The end stays hidden until the reply has left: what hyper still has of it when it sees the end, it drops. Until then
//! the client is not late with its next request either.
//!
//! Hiding begins with the head of a request, before anything else is read: the end may be right behind it. A body that
//! the end cuts short is noticed by whoever reads it; see [`End::has_come`].
//!
//! hyper does not look for the end while it answers (`half_close`): it would reserve another 8 KiB to read into, for each
//! request in flight, since the headers still lie in the last. The socket looks where the end is shown, and keeps what
//! comes before it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Waiting;
use super::framing::{Framing, Verdict};
use crate::context::Activity;
use crate::gather;

/// How much may come before the end that is looked for, in bytes. Whoever sends more meanwhile, and leaves, is noticed
/// later: when something is written to it, or when its request has been answered.
const MOST_AHEAD: usize = 16 * 1024;

/// Read at a time on the way there.
const AHEAD_AT_A_TIME: usize = 1024;

/// The socket that hyper reads from and writes to. Always TCP, except where connections are tried out without a network.
pub(super) struct Socket<T = TcpStream> {
    stream: T,
    end: Owned,
    framing: Framing,
    /// Came where the end was looked for: the beginning of the next request.
    ahead: Vec<u8>,
    /// Has the stream reset when it is closed.
    reset: fn(&T),
}

/// The end of what a client sends, and whether it is to be seen.
#[derive(Debug)]
pub(super) struct End {
    /// The client has closed its sending side.
    come: AtomicBool,
    /// Requests of which hyper has not got the whole reply.
    open: AtomicUsize,
    /// It counts as soon as it comes, though hyper does not read.
    watched: AtomicBool,
    /// Something of a reply may not have left yet, though hyper has it whole.
    unsent: AtomicBool,
    /// Invocations that this is true of.
    leaving: Mutex<Vec<Activity>>,
    /// The reply that is being sent ends early, and must not look whole.
    broken: AtomicBool,
    /// Nothing is sent any more.
    gone: AtomicBool,
    /// Who would have seen it.
    reader: Mutex<Option<Waker>>,
    /// Paused by each open request, and by what is unsent.
    waiting: Arc<Waiting>,
}

impl End {
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        Self {
            come: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            unsent: AtomicBool::new(false),
            leaving: Mutex::default(),
            broken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            reader: Mutex::default(),
            waiting,
        }
    }

    /// The connection's note of when it began to wait for a request.
    pub(super) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// A request has come. Hides the end, until its reply and all others have been sent.
    pub(super) fn begin(&self) {
        self.waiting.pause();
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows the end whatever has been sent, and looks for it until the request is [over](Self::over). Said while hyper
    /// polls the connection: it flushes the socket afterwards, which is what looks.
    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
        self.wake_reader();
    }

    /// hyper has the whole reply to a request, and sends what it has not sent yet.
    pub(super) fn over(&self) {
        self.watched.store(false, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
        // One pause is enough for all that is unsent.
        if self.unsent.swap(true, Ordering::Relaxed) {
            self.waiting.resume();
        }
    }

    /// The reply ends here, and early: what there is of it is sent, and then the connection is reset. For a reply that the
    /// client takes for whole when the connection is closed.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Keeps an invocation in flight until its reply has left.
    pub(super) fn keep_until_sent(&self, activity: Activity) {
        if self.gone.load(Ordering::Relaxed) {
            return lost(&activity);
        }
        self.leaving().push(activity);
    }

    /// Everything that hyper had has been sent.
    fn sent(&self) {
        if self.unsent.swap(false, Ordering::Relaxed) {
            self.leaving().clear();
            self.waiting.resume();
            if !self.is_hidden() {
                self.wake_reader();
            }
        }
    }

    fn is_hidden(&self) -> bool {
        !self.watched.load(Ordering::Relaxed)
            && (self.open.load(Ordering::Relaxed) > 0 || self.unsent.load(Ordering::Relaxed))
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Activity>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader().take() {
            reader.wake();
        }
    }

    /// Whether the client has closed its sending side, hidden or not.
    pub(super) fn has_come(&self) -> bool {
        self.come.load(Ordering::Relaxed)
    }
}

/// An invocation whose client did not wait until it had the whole reply.
fn lost(activity: &Activity) {
    activity.scope().observed().note_unsent();
    let say = || tracing::debug!("the connection ended before the reply had been sent");
    activity.scope().enter(say);
}

/// The socket's own share: without it nothing is sent any more.
struct Owned(Arc<End>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
        let leaving = std::mem::take(&mut *self.0.leaving());
        leaving.iter().for_each(lost);
    }
}

impl<T> Socket<T> {
    pub(super) fn new(stream: T, waiting: Arc<Waiting>, reset: fn(&T)) -> Self {
        Self {
            stream,
            end: Owned(Arc::new(End::new(waiting))),
            framing: Framing::default(),
            ahead: Vec::new(),
            reset,
        }
    }

    pub(super) fn end(&self) -> Arc<End> {
        Arc::clone(&self.end.0)
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.framing.verdict()
    }
}

#[cfg(feature = "ws")]
impl<T> Socket<T> {
    /// The connection, for what is spoken on it after HTTP.
    pub(super) fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: AsyncRead + Unpin> Socket<T> {
    /// Fails once the end has come, where it is watched.
    fn look_for_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.end.0.watched.load(Ordering::Relaxed) {
            return Ok(());
        }
        while !self.end.0.has_come() {
            if self.ahead.len() >= MOST_AHEAD {
                return Ok(());
            }
            let mut piece = [MaybeUninit::uninit(); AHEAD_AT_A_TIME];
            let mut piece = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            let has_come = piece.filled().is_empty();
            self.end.0.come.store(has_come, Ordering::Relaxed);
            self.ahead.extend_from_slice(piece.filled());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Hands on what came where the end was looked for.
    fn read_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.ahead.len().min(buffer.remaining());
        let before = buffer.filled().len();
        buffer.put_slice(&self.ahead[..length]);
        self.framing.follow(&mut buffer.filled_mut()[before..]);
        self.ahead.drain(..length);
        if self.ahead.is_empty() {
            // The connection may be idle for long.
            self.ahead = Vec::new();
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.read_ahead(buffer);
            return Poll::Ready(Ok(()));
        }
        if !self.end.0.has_come() {
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buffer) {
                Poll::Ready(Ok(()))
                    if buffer.filled().len() == before && buffer.remaining() > 0 =>
                {
                    self.end.0.come.store(true, Ordering::Relaxed);
                }
                other => {
                    self.framing.follow(&mut buffer.filled_mut()[before..]);
                    return other;
                }
            }
        }
        if self.end.0.is_hidden() {
            // Same thread as whoever shows it: nothing happens between the look and this.
            *self.end.0.reader() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look_for_end(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_for_end(cx)?;
        gather::poll_write(Pin::new(&mut self.stream), cx, slices, usize::MAX)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look_for_end(cx)?;
        // hyper has written all that it had when it comes here.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.end.0.broken.load(Ordering::Relaxed) {
            (self.reset)(&self.stream);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.end.0.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::super::connections::Connections;
    use super::*;
    use crate::context::{Arrival, Kind};
    use crate::instance::Instance;
    use crate::tasks::{BusyTracker, TrackerHandle};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn socket() -> (Socket<DuplexStream>, DuplexStream) {
        let (stream, client) = duplex(8);
        let waiting = Connections::new(PATIENCE).waiting();
        (Socket::new(stream, waiting, |_| ()), client)
    }

    fn invocation() -> (Activity, Arc<Instance>) {
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let instance = Arc::new(Instance::new(tracker, Arc::default()));
        let arrival = Arrival::uncounted(Kind::Invocation, "handler", HeaderMap::new());
        let activity = Activity::begin(Arc::clone(&instance), arrival);
        (activity, instance)
    }

    #[tokio::test]
    async fn an_invocation_is_in_flight_until_its_reply_has_left() {
        let (mut socket, _client) = socket();
        let (activity, instance) = invocation();
        let end = socket.end();
        end.begin();
        end.keep_until_sent(activity);
        end.over();
        socket.write_all(b"reply").await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 1);
        assert!(!end.waiting().is_begun());
        socket.flush().await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 0);
        assert!(end.waiting().is_begun());
    }

    #[tokio::test]
    async fn or_until_its_connection_has_gone() {
        let (socket, _client) = socket();
        let (first, instance) = invocation();
        let (second, other) = invocation();
        // Others may know of the end for longer.
        let end = socket.end();
        end.keep_until_sent(first);
        drop(socket);
        end.keep_until_sent(second);
        for instance in [instance, other] {
            assert_eq!(instance.tracker.in_progress(), 0);
        }
    }

    #[tokio::test]
    async fn the_next_request_is_waited_for_once_all_replies_have_left() {
        let (mut socket, _client) = socket();
        let end = socket.end();
        let is_waiting = || end.waiting().is_begun();
        assert!(is_waiting());
        end.begin();
        end.over();
        end.begin();
        socket.flush().await.unwrap();
        // The second is being answered.
        assert!(!is_waiting());
        let discarding = end.waiting().paused();
        end.over();
        assert!(!is_waiting());
        socket.flush().await.unwrap();
        // The rest of its body still comes.
        assert!(!is_waiting());
        drop(discarding);
        assert!(is_waiting());
    }

    #[tokio::test]
    async fn the_end_is_looked_for_where_it_is_watched_and_nothing_is_lost() {
        let (mut socket, mut client) = socket();
        let end = socket.end();
        end.begin();
        end.watch();
        socket.flush().await.unwrap();
        client.write_all(b"next").await.unwrap();
        socket.flush().await.unwrap();
        client.write_all(b" one").await.unwrap();
        socket.flush().await.unwrap();
        end.over();
        socket.flush().await.unwrap();
        let mut next = [0; 6];
        socket.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next o");
        // Not watched.
        end.begin();
        client.shutdown().await.unwrap();
        socket.flush().await.unwrap();
        // Watched: it is seen behind what has been read.
        end.watch();
        let error = socket.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(end.has_come());
        let mut next = [0; 2];
        socket.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"ne");
    }

    #[tokio::test]
    async fn not_everything_is_read_on_the_way_to_the_end() {
        let (stream, mut client) = duplex(4 * MOST_AHEAD);
        let waiting = Connections::new(PATIENCE).waiting();
        let mut socket = Socket::new(stream, waiting, |_| ());
        socket.end().begin();
        socket.end().watch();
        client.write_all(&[b'x'; 3 * MOST_AHEAD]).await.unwrap();
        client.shutdown().await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(socket.ahead.len(), MOST_AHEAD);
    }
}
