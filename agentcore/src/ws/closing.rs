//! The closing of a connection, in good order as far as the client takes part.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;

use super::connection::{End, Protocol};
use super::message::close_into_wire;

/// How long the client may read nothing of what is sent, and how long it has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a closed connection is still read. If it is dropped with unread data it is reset, and the client may never see why it
/// was closed.
const LINGER: Duration = Duration::from_secs(1);

/// The reasons why something was not sent.
const SILENT: &str = "the client read nothing for 5s";
const GONE: &str = "the connection was lost";

/// Sends what is queued, and then the close frame, if `end` needs one. The connection is not [closed](shake_hands) yet.
///
/// # Errors
///
/// The connection is gone, or the client read nothing in time; the text says which.
pub(super) async fn send(mut protocol: Protocol, end: End) -> Result<Protocol, &'static str> {
    match end {
        End::Lost => return Err(GONE),
        End::Ours(frame) => {
            let close = close_into_wire(frame.as_ref());
            // An error means that the library has its own close frame ready.
            let _ = Pin::new(&mut protocol).start_send(close);
        }
        End::Theirs => {}
    }
    loop {
        let written = protocol.get_ref().written();
        let flush = poll_fn(|cx| Pin::new(&mut protocol).poll_flush(cx));
        match timeout(CLOSE_TIMEOUT, flush).await {
            Ok(Ok(())) => return Ok(protocol),
            Ok(Err(_)) => return Err(GONE),
            // Something was sent meanwhile: a large message may take longer.
            Err(_) if protocol.get_ref().written() > written => {}
            Err(_) => return Err(SILENT),
        }
    }
}

/// Waits until both sides have closed, and then for the end of the connection. At most `most` bytes of one message are kept.
pub(super) async fn shake_hands(mut protocol: Protocol, most: usize) {
    protocol.get_mut().limit_reads(Some(most));
    let until_closed = poll_fn(|cx| poll_closed(&mut protocol, most, cx));
    let _ = timeout(CLOSE_TIMEOUT, until_closed).await;
    protocol.get_mut().limit_reads(None);
    let _ = timeout(LINGER, linger(&mut protocol)).await;
}

/// Reads and discards messages until the client has closed.
fn poll_closed(protocol: &mut Protocol, most: usize, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        match Pin::new(&mut *protocol).poll_next(cx) {
            Poll::Ready(Some(Ok(_))) => _ = protocol.get_mut().limit_reads(Some(most)),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
            // The rest of a larger message is not read.
            Poll::Pending if protocol.get_ref().is_starved() => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Shuts down the server's direction, and reads until the client does so too.
async fn linger(protocol: &mut Protocol) {
    let flushed = poll_fn(|cx| Pin::new(&mut *protocol).poll_flush(cx)).await;
    if flushed.is_err() {
        return;
    }
    let transport = protocol.get_mut();
    let mut bytes = [0; 1024];
    let discard = poll_fn(|cx| {
        ready!(Pin::new(&mut *transport).poll_shutdown(cx))?;
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *transport).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(std::io::Result::Ok(()));
            }
        }
    });
    // An error ends it too.
    let _ = discard.await;
}
