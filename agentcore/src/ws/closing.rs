//! The end of a connection, in good order as far as the other side takes part in it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;
use tokio_websockets as wire;

use super::link::{Connection, End};
use super::message::close_into_wire;

/// How long the other side has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that is closed is listened to. One that is dropped with unread data in it is reset, and the
/// client may never see why.
const LINGER: Duration = Duration::from_secs(1);

/// Closes `connection`, whose talking is over because of `end`.
pub(super) async fn close(mut connection: Connection, end: End) {
    match end {
        End::Lost => return,
        End::Ours(frame) => {
            let close = close_into_wire(frame.as_ref());
            // It may be closed already: then the library has its own answer ready.
            let _ = Pin::new(&mut connection).start_send(close);
        }
        End::Theirs => {}
    }
    // Until both have closed. What arrives on the way is not wanted any more.
    let shake_hands = async { while let Some(Ok(_)) = next(&mut connection).await {} };
    let _ = timeout(CLOSE_TIMEOUT, shake_hands).await;
    let _ = timeout(LINGER, linger(&mut connection)).await;
}

async fn next(connection: &mut Connection) -> Option<Result<wire::Message, wire::Error>> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}

/// Says that nothing more will come, and listens until the other side does.
async fn linger(connection: &mut Connection) {
    let flushed = poll_fn(|cx| Pin::new(&mut *connection).poll_flush(cx)).await;
    if flushed.is_err() {
        return;
    }
    let transport = connection.get_mut();
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
    // An error is an end, too.
    let _ = discard.await;
}
