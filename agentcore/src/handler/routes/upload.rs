//! The body of a request to a route, on its way from the front to the service.
//!
//! ```text
//! front: [`Feed`]  ──pieces──▶  relay, a task on the workers  ──▶  the service polls [`Upload`]
//!                  ◀─credits──
//! ```
//!
//! The front sends a piece only against a credit, and the relay gives the first credits when the service first polls the body.
//! So the front reads no further than the service, and a client that waits for `100 Continue` is asked only if the service wants
//! the body. A piece has at most the size of the connection's read buffer, so [`CREDITS`] bounds the bytes under way.
//!
//! The relay is there because a channel wakes its receiver from the sender's thread: the service's waker is user code, and must
//! not run on the front. The channels between front and relay have no lock.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Limited;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::{mpsc, oneshot};

use crate::error::BoxError;
use crate::handler::body::Body;
use crate::util::spawn;

/// How many pieces the front may send at first. One more is under way when the relay holds a piece for the service.
const CREDITS: usize = 4;

/// A piece of a body, its end (`None`), or why it broke off.
type Piece = Result<Option<Frame<Bytes>>, BoxError>;

/// The front's end.
pub(crate) struct Feed {
    pub(crate) pieces: UnboundedSender<Piece>,
    /// Yields one item for each piece that may be sent. Ends when the service has dropped the body.
    pub(crate) credits: UnboundedReceiver<()>,
}

/// The workers' end, until the request is started.
pub(crate) struct Arriving(Option<Way>);

struct Way {
    pieces: UnboundedReceiver<Piece>,
    credits: UnboundedSender<()>,
    announced: SizeHint,
    limit: usize,
}

/// Both ends of the way of a body of at most `limit` bytes.
pub(crate) fn way(announced: SizeHint, limit: usize) -> (Feed, Arriving) {
    let (send, pieces) = mpsc::unbounded_channel();
    let (credits, take) = mpsc::unbounded_channel();
    let feed = Feed {
        pieces: send,
        credits: take,
    };
    let way = Way {
        pieces,
        credits,
        announced,
        limit,
    };
    (feed, Arriving(Some(way)))
}

impl Arriving {
    /// An empty body.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// The body for the service. Has to be called on the workers.
    pub(crate) fn open(self) -> Body {
        let Some(way) = self.0 else {
            return Body::default();
        };
        let (forward, pieces) = mpsc::channel(1);
        let (wanted, is_wanted) = oneshot::channel();
        let left = way.announced.exact();
        let limit = way.limit;
        spawn::boxed(relay(way, forward, is_wanted));
        let upload = Upload {
            pieces,
            wanted: Some(wanted),
            left,
            is_over: false,
        };
        Body::new(Limited::new(upload, limit))
    }
}

/// Passes pieces on until the body or the service's interest ends.
async fn relay(mut way: Way, forward: Sender<Piece>, is_wanted: oneshot::Receiver<()>) {
    if is_wanted.await.is_err() {
        return;
    }
    for _ in 0..CREDITS {
        let _ = way.credits.send(());
    }
    loop {
        let piece = tokio::select! {
            biased;
            () = forward.closed() => return,
            piece = way.pieces.recv() => piece,
        };
        let piece = piece.unwrap_or_else(|| Err("the body was cut off".into()));
        let is_last = !matches!(piece, Ok(Some(_)));
        if forward.send(piece).await.is_err() || is_last {
            return;
        }
        let _ = way.credits.send(());
    }
}

/// The body as the service sees it, without the limit on its size.
struct Upload {
    pieces: Receiver<Piece>,
    /// `None` once the body has been polled.
    wanted: Option<oneshot::Sender<()>>,
    /// The number of bytes to come, if the client has announced it.
    left: Option<u64>,
    is_over: bool,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(wanted) = self.wanted.take() {
            let _ = wanted.send(());
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        // The relay sends an end or an error before it lets go, unless the workers' runtime is being shut down.
        let piece = ready!(self.pieces.poll_recv(cx));
        let piece = piece.unwrap_or_else(|| Err("the body was cut off".into()));
        Poll::Ready(match piece {
            Ok(Some(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(length));
                Some(Ok(frame))
            }
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, LengthLimitError};

    use super::*;

    fn piece(length: usize) -> Piece {
        Ok(Some(Frame::data(Bytes::from(vec![b'x'; length]))))
    }

    #[tokio::test]
    async fn nothing_may_be_sent_before_the_service_asks_and_then_a_few_pieces() {
        let (mut feed, arriving) = way(SizeHint::default(), 100);
        let mut body = arriving.open();
        tokio::task::yield_now().await;
        assert!(feed.credits.try_recv().is_err());
        let mut reading = tokio::spawn(async move {
            let frame = body.frame().await.unwrap().unwrap();
            (frame.into_data().unwrap().len(), body)
        });
        for _ in 0..CREDITS {
            assert_eq!(feed.credits.recv().await, Some(()));
        }
        assert!(feed.credits.try_recv().is_err());
        feed.pieces.send(piece(3)).unwrap();
        let (length, body) = (&mut reading).await.unwrap();
        assert_eq!(length, 3);
        // The piece was passed on, so another may come.
        assert_eq!(feed.credits.recv().await, Some(()));
        drop(body);
        // The service has lost interest.
        assert_eq!(feed.credits.recv().await, None);
    }

    #[tokio::test]
    async fn a_body_ends_or_is_cut_off_or_is_too_large() {
        for (last, expected) in [
            (Some(Ok(None)), Ok(6)),
            (Some(Err("broken".into())), Err("broken")),
            (None, Err("the body was cut off")),
        ] {
            let (feed, arriving) = way(SizeHint::default(), 6);
            feed.pieces.send(piece(3)).unwrap();
            feed.pieces.send(piece(3)).unwrap();
            if let Some(last) = last {
                feed.pieces.send(last).unwrap();
            }
            drop(feed);
            let whole = arriving.open().collect().await;
            let read = whole.map(|body| body.to_bytes().len());
            let read = read.map_err(|error| error.to_string());
            assert_eq!(read, expected.map_err(str::to_owned));
        }
        let (feed, arriving) = way(SizeHint::default(), 5);
        feed.pieces.send(piece(3)).unwrap();
        feed.pieces.send(piece(3)).unwrap();
        let error = arriving.open().collect().await.unwrap_err();
        assert!(error.is::<LengthLimitError>());
    }

    #[tokio::test]
    async fn the_announced_length_counts_down() {
        let (feed, arriving) = way(SizeHint::with_exact(5), 100);
        let mut body = arriving.open();
        let hint = |body: &Body| http_body::Body::size_hint(body).exact();
        assert_eq!(hint(&body), Some(5));
        feed.pieces.send(piece(3)).unwrap();
        let _ = body.frame().await;
        assert_eq!(hint(&body), Some(2));
        assert!(!http_body::Body::is_end_stream(&body));
    }
}
