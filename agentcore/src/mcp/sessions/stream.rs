//! Streams of a session. A client that does not read one must not hold up the others: `rmcp` serves all of them in one task, which waits
//! for each.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Open;
use crate::handler::body::Body;
use crate::util::spawn;

/// How many bytes of a stream may wait for its client. A message that comes when more of them wait ends the stream.
const MOST_WAITING: usize = 1 << 20;

/// Reads `source` whether the client reads or not, until too much waits or the session has ended. `open` ends with the stream.
pub(super) fn read_ahead(source: BoxBody<Bytes, Infallible>, open: Open) -> Body {
    let (frames, reader) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let ended = open.ended.clone();
    spawn::boxed(read(source, frames, Arc::clone(&waiting), ended));
    Body::new(ReadAhead {
        frames: reader,
        waiting,
        _open: open,
    })
}

async fn read(
    mut source: BoxBody<Bytes, Infallible>,
    frames: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
    ended: CancellationToken,
) {
    loop {
        let frame = tokio::select! {
            biased;
            // The end of the session cancels its calls, and `rmcp` ends the streams later. The errors of the calls must not come between.
            () = ended.cancelled() => return,
            frame = source.frame() => frame,
            // The client has left.
            () = frames.closed() => return,
        };
        let Some(Ok(frame)) = frame else { return };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let before = waiting.fetch_add(data.len(), Ordering::Relaxed);
        if before > MOST_WAITING || frames.send(data).is_err() {
            return;
        }
    }
}

struct ReadAhead {
    frames: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    _open: Open,
}

impl http_body::Body for ReadAhead {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(cx).map(|data| {
            let data = data?;
            self.waiting.fetch_sub(data.len(), Ordering::Relaxed);
            Some(Ok(Frame::data(data)))
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    /// The frames that are read from a body with one frame.
    async fn read_from(ended: CancellationToken) -> Vec<Bytes> {
        let (frames, mut reader) = mpsc::unbounded_channel();
        let source = Full::new(Bytes::from("an error")).boxed();
        read(source, frames, Arc::default(), ended).await;
        let mut read = Vec::new();
        while let Some(frame) = reader.recv().await {
            read.push(frame);
        }
        read
    }

    #[tokio::test]
    async fn nothing_is_read_once_the_session_has_ended() {
        let ended = CancellationToken::new();
        assert_eq!(read_from(ended.clone()).await, ["an error"]);
        ended.cancel();
        assert!(read_from(ended).await.is_empty());
    }
}
