//! A connection's socket, and what a half-closed one means.
//!
//! A client may close its sending side and wait for the reply; a client that left looks the same from here. While a plain
//! reply is being made the difference does not matter, since accepted work is finished anyway, so the socket keeps the
//! end to itself and the client gets its reply. While a reply is streamed, or where the handler wants to know, the end
//! is shown, and hyper drops the connection with everything that belongs to it.
//!
//! The end stays hidden until the reply has left: what hyper still has of it when it sees the end, it drops.
//!
//! Hiding begins with the head of a request, before anything else is read: the end may be right behind it. A body that
//! the end cuts short is noticed by whoever reads it; see [`End::has_come`].
//!
//! hyper does not look for the end while it answers (`half_close`): it would reserve another 8 KiB to read into, for each
//! request in flight, since the headers still lie in the last. The socket looks where the end is shown, a byte at a time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::framing::{Framing, Verdict};
use crate::context::Activity;
use crate::gather;

/// The socket that hyper reads from and writes to. Always TCP, except where connections are tried out without a network.
pub(super) struct Socket<T = TcpStream> {
    stream: T,
    end: Owned,
    framing: Framing,
    /// Came where the end was looked for: the first byte of the next request.
    ahead: Option<u8>,
}

/// The end of what a client sends, and whether it is to be seen.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The client has closed its sending side.
    come: AtomicBool,
    /// By so many.
    hidden: AtomicUsize,
    /// It counts as soon as it comes, though hyper does not read.
    watched: AtomicBool,
    /// Something of the last hidden reply may not have left yet.
    unsent: AtomicBool,
    /// Invocations of which hyper has the whole reply, and may not have sent it.
    leaving: Mutex<Vec<Activity>>,
    /// Who would have seen it.
    reader: Mutex<Option<Waker>>,
}

impl End {
    /// Hides the end, until it is shown as often.
    pub(super) fn hide(&self) {
        self.hidden.fetch_add(1, Ordering::Relaxed);
        self.unsent.store(true, Ordering::Relaxed);
    }

    /// Shows the end as soon as everything has been sent.
    pub(super) fn show(&self) {
        self.hidden.fetch_sub(1, Ordering::Relaxed);
        if !self.is_hidden() {
            self.wake_reader();
        }
    }

    /// Shows the end whatever has been sent, and looks for it until it is [unwatched](Self::unwatch). Said while hyper
    /// polls the connection: it flushes the socket afterwards, which is what looks.
    pub(super) fn watch(&self) {
        self.unsent.store(false, Ordering::Relaxed);
        self.watched.store(true, Ordering::Relaxed);
        self.show();
    }

    /// Leaves the end to whoever reads the next request.
    pub(super) fn unwatch(&self) {
        self.watched.store(false, Ordering::Relaxed);
    }

    /// Keeps an invocation in flight until its reply has left.
    pub(super) fn keep_until_sent(&self, activity: Activity) {
        self.leaving().push(activity);
    }

    /// Everything that hyper had has been sent, or never will be.
    fn sent(&self) {
        self.leaving().clear();
        if self.hidden.load(Ordering::Relaxed) == 0 && self.unsent.swap(false, Ordering::Relaxed) {
            self.wake_reader();
        }
    }

    fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed) > 0 || self.unsent.load(Ordering::Relaxed)
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

/// The socket's own share: without it nothing is sent any more.
struct Owned(Arc<End>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.sent();
    }
}

impl<T> Socket<T> {
    pub(super) fn new(stream: T) -> Self {
        Self {
            stream,
            end: Owned(Arc::default()),
            framing: Framing::default(),
            ahead: None,
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
        if !self.end.0.watched.load(Ordering::Relaxed) || self.ahead.is_some() {
            return Ok(());
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        if !self.end.0.has_come() {
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            self.ahead = buffer.filled().first().copied();
        }
        if self.ahead.is_some() {
            return Ok(());
        }
        self.end.0.come.store(true, Ordering::Relaxed);
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0 {
            if let Some(byte) = self.ahead.take() {
                buffer.put_slice(&[byte]);
                self.framing.follow(&[byte]);
                return Poll::Ready(Ok(()));
            }
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
                    self.framing.follow(&buffer.filled()[before..]);
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
        self.end.0.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::context::{Arrival, Kind};
    use crate::instance::Instance;
    use crate::tasks::{BusyTracker, TrackerHandle};

    /// An invocation whose reply hyper has taken whole; and the client's end of the connection.
    fn leaving() -> (Socket<DuplexStream>, DuplexStream, Arc<Instance>) {
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let instance = Arc::new(Instance::new(tracker, Arc::default()));
        let (stream, client) = duplex(8);
        let socket = Socket::new(stream);
        let arrival = Arrival::uncounted(Kind::Invocation, "handler", HeaderMap::new());
        let end = socket.end();
        end.keep_until_sent(Activity::begin(Arc::clone(&instance), arrival));
        (socket, client, instance)
    }

    #[tokio::test]
    async fn an_invocation_is_in_flight_until_its_reply_has_left() {
        let (mut socket, _client, instance) = leaving();
        socket.write_all(b"reply").await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 1);
        socket.flush().await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 0);
    }

    #[tokio::test]
    async fn the_end_is_looked_for_where_it_is_watched_and_nothing_is_lost() {
        let (stream, mut client) = duplex(8);
        let mut socket = Socket::new(stream);
        let end = socket.end();
        end.hide();
        socket.flush().await.unwrap();
        end.watch();
        socket.flush().await.unwrap();
        client.write_all(b"next").await.unwrap();
        client.shutdown().await.unwrap();
        // Another request waits before the end.
        socket.flush().await.unwrap();
        socket.flush().await.unwrap();
        end.unwatch();
        let mut next = [0; 4];
        socket.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
        // Not watched, and then watched.
        end.hide();
        socket.flush().await.unwrap();
        end.watch();
        let error = socket.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(end.has_come());
    }

    #[tokio::test]
    async fn or_until_its_connection_has_gone() {
        let (socket, _client, instance) = leaving();
        // Others may know of the end for longer.
        let _end = socket.end();
        assert_eq!(instance.tracker.in_progress(), 1);
        drop(socket);
        assert_eq!(instance.tracker.in_progress(), 0);
    }
}
