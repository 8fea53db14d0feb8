//! The write timeout: closes the connection of a client that reads nothing of its reply.
//!
//! A client that reads anything stays, however slowly it reads. While a write waits, the connection is checked at intervals.
//! It is closed once the client has acknowledged nothing new for the whole limit. The kernel's timeout, `TCP_USER_TIMEOUT`,
//! does not measure this: while a client's window is closed, Linux goes on counting until the window has room for a whole
//! block that Linux has put together, whatever the client reads. A client on loopback that read 30 kB a second was closed
//! after five seconds. So the kernel's timeout is switched off while a write waits for long. Otherwise it stays on: for
//! clients that vanish while a stream sends nothing, and for the part of a written reply that the kernel still holds.
//!
//! The client's system decides how finely progress can be seen. It opens a closed window once there is room for a whole
//! segment: 64 KiB on loopback, 1.4 kB on an Ethernet. Until then, the sender cannot tell a client that reads from one that
//! does not.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::platform;

/// How often a connection is checked within the limit.
const LOOKS: u32 = 4;

/// The least time between two checks.
const SHORTEST: Duration = Duration::from_millis(10);

/// A connection to a client.
pub(crate) trait Peer {
    /// How many bytes the client has not acknowledged yet; `None` where the system cannot tell.
    fn unacknowledged(&self) -> Option<u32>;

    /// Sets the kernel's timeout: the kernel closes the connection when the client acknowledges nothing for `limit`. `None`
    /// switches it off.
    fn end_when_silent(&self, limit: Option<Duration>);

    /// Makes the close of the connection send a reset.
    fn reset_when_closed(&self);
}

impl Peer for TcpStream {
    fn unacknowledged(&self) -> Option<u32> {
        platform::unacknowledged(self)
    }

    fn end_when_silent(&self, limit: Option<Duration>) {
        platform::end_when_silent(self, limit);
    }

    fn reset_when_closed(&self) {
        platform::reset_when_closed(self);
    }
}

/// A connection whose writes wait no longer than `limit` without progress.
pub(crate) struct Timed<T = TcpStream> {
    stream: T,
    limit: Duration,
    /// Set while a write waits.
    blocked: Option<Blocked>,
    /// Whether the kernel's timeout is switched off.
    is_lifted: bool,
}

/// A write that waits for the client.
struct Blocked {
    /// When the client was last seen to acknowledge something.
    progress: Instant,
    /// How many bytes were not acknowledged at the last check.
    unacknowledged: Option<u32>,
    next_look: Pin<Box<Sleep>>,
}

impl<T: Peer> Timed<T> {
    pub(crate) fn new(stream: T, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            blocked: None,
            is_lifted: false,
        }
    }

    pub(crate) fn reset_when_closed(&self) {
        self.stream.reset_when_closed();
    }

    /// Returns the connection, with the kernel's timeout switched on.
    pub(crate) fn into_inner(mut self) -> T {
        self.settle();
        self.stream
    }

    /// Turns a write that waits into an error once the client has acknowledged nothing for too long.
    fn timed<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let pause = (self.limit / LOOKS).max(SHORTEST);
        let blocked = self.blocked.get_or_insert_with(|| Blocked {
            progress: Instant::now(),
            unacknowledged: None,
            next_look: Box::pin(sleep(pause)),
        });
        while blocked.next_look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let unacknowledged = self.stream.unacknowledged();
            if unacknowledged.is_none() {
                // The kernel's timeout has to do. An earlier check may have switched it off.
                if std::mem::take(&mut self.is_lifted) {
                    self.stream.end_when_silent(Some(self.limit));
                }
            } else if blocked.unacknowledged != unacknowledged {
                blocked.unacknowledged = unacknowledged;
                blocked.progress = now;
                if !std::mem::replace(&mut self.is_lifted, true) {
                    self.stream.end_when_silent(None);
                }
            } else if now >= blocked.progress + self.limit {
                // Without a reset the kernel would go on sending the bytes that it holds.
                self.stream.reset_when_closed();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            blocked.next_look.as_mut().reset(now + pause);
        }
        Poll::Pending
    }

    /// Called when no write waits any more. Switches the kernel's timeout on again.
    fn settle(&mut self) {
        self.blocked = None;
        if std::mem::take(&mut self.is_lifted) {
            self.stream.end_when_silent(Some(self.limit));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Peer + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this once it has written everything that it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.settle();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Waker;

    use super::*;

    /// A connection that accepts writes while `room` is set.
    #[derive(Default)]
    struct Client {
        room: Cell<bool>,
        unacknowledged: Cell<Option<u32>>,
        limit: Cell<Option<Duration>>,
        is_reset: Cell<bool>,
    }

    impl Peer for Client {
        fn unacknowledged(&self) -> Option<u32> {
            self.unacknowledged.get()
        }

        fn end_when_silent(&self, limit: Option<Duration>) {
            self.limit.set(limit);
        }

        fn reset_when_closed(&self) {
            self.is_reset.set(true);
        }
    }

    impl AsyncWrite for Client {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.room.get() {
                Poll::Ready(Ok(bytes.len()))
            } else {
                Poll::Pending
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const LIMIT: Duration = Duration::from_secs(60);

    fn blocked(unacknowledged: Option<u32>) -> Timed<Client> {
        let client = Client::default();
        client.unacknowledged.set(unacknowledged);
        client.limit.set(Some(LIMIT));
        Timed::new(client, LIMIT)
    }

    fn write(stream: &mut Timed<Client>) -> Poll<io::Result<usize>> {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(stream).poll_write(&mut context, b"x")
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_reset() {
        let mut stream = blocked(Some(1000));
        let began = Instant::now();
        let error = loop {
            match write(&mut stream) {
                Poll::Pending => tokio::time::advance(Duration::from_secs(1)).await,
                Poll::Ready(written) => break written.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let took = began.elapsed();
        assert!(
            took >= LIMIT && took <= LIMIT / 4 * 5 + SHORTEST,
            "{took:?}"
        );
        assert!(stream.stream.is_reset.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_anything_stays_though_there_is_no_room() {
        let mut stream = blocked(Some(1000));
        for left in (0..20).rev() {
            assert!(write(&mut stream).is_pending());
            tokio::time::advance(LIMIT - Duration::from_secs(1)).await;
            stream.stream.unacknowledged.set(Some(left));
            assert!(write(&mut stream).is_pending());
        }
        // The kernel's timeout would have closed the connection.
        assert_eq!(stream.stream.limit.get(), None);
        stream.stream.room.set(true);
        assert!(write(&mut stream).is_ready());
        let mut context = Context::from_waker(Waker::noop());
        let flushed = Pin::new(&mut stream).poll_flush(&mut context);
        assert!(flushed.is_ready());
        assert_eq!(stream.stream.limit.get(), Some(LIMIT));
    }

    /// A check needs a descriptor, and the process may run out of them.
    #[tokio::test(start_paused = true)]
    async fn the_systems_time_is_put_back_when_a_look_fails() {
        let mut stream = blocked(Some(1000));
        assert!(write(&mut stream).is_pending());
        tokio::time::advance(LIMIT / 2).await;
        assert!(write(&mut stream).is_pending());
        assert_eq!(stream.stream.limit.get(), None);
        stream.stream.unacknowledged.set(None);
        tokio::time::advance(LIMIT / 2).await;
        assert!(write(&mut stream).is_pending());
        assert_eq!(stream.stream.limit.get(), Some(LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_can_tell_the_systems_time_holds() {
        let mut stream = blocked(None);
        for _ in 0..10 {
            assert!(write(&mut stream).is_pending());
            tokio::time::advance(LIMIT).await;
        }
        assert_eq!(stream.stream.limit.get(), Some(LIMIT));
        assert!(!stream.stream.is_reset.get());
    }

    /// Skips a system that does not tell it.
    #[tokio::test]
    async fn what_a_client_has_not_acknowledged_is_known() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            if server.unacknowledged().is_none() {
                continue;
            }
            assert_eq!(server.unacknowledged(), Some(0));
            let mut sent = 0;
            server.writable().await.unwrap();
            while let Ok(bytes) = server.try_write(&[0; 65536]) {
                sent += bytes;
            }
            let left = server.unacknowledged().unwrap() as usize;
            assert!(left > 0 && left <= sent, "{left} of {sent}");
            drop(client);
        }
    }
}
