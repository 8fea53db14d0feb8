//! The body of a reply.
//!
//! What a handler returns may be any `http_body::Body`, and polling it is running the user's code. So before a reply
//! leaves the workers it is [settled](Body::settle): its body is either in memory, or a producer task on the workers
//! feeds it through a bounded channel. The front only ever sees those two.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

use crate::error::BoxError;

/// Chunks that a producer may be ahead of its reader. Small, so that a slow reader soon slows its producer.
const CHUNKS_AHEAD: usize = 16;

/// The body of a [`Response`](crate::Response).
#[derive(Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Not yet polled; only on the workers.
    Foreign(UnsyncBoxBody<Bytes, BoxError>),
    /// Produced by a task on the workers.
    Channel(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>),
}

impl Body {
    pub(crate) fn foreign<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::Foreign(body.map_err(Into::into).boxed_unsync())
    }

    /// Makes the body safe to be polled outside the workers. Must be called on them.
    ///
    /// `hold` lives as long as the producer does.
    pub(crate) async fn settle<H: Send + 'static>(self, hold: H) -> Self {
        let Self::Foreign(mut body) = self else {
            return self;
        };
        // Most foreign bodies are one buffer in disguise: take it if it is there at once.
        let first = match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx)))
            .await
        {
            Poll::Ready(None) => return Self::Empty,
            Poll::Ready(Some(Ok(frame))) if body.is_end_stream() && frame.is_data() => {
                return frame.into_data().map_or(Self::Empty, Self::Full);
            }
            Poll::Ready(Some(first)) => Some(first),
            Poll::Pending => None,
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        crate::context::spawn_in_scope(async move {
            let _hold = hold;
            let pump = async {
                if let Some(first) = first {
                    sender.send(first).await.ok()?;
                }
                while let Some(frame) = body.frame().await {
                    sender.send(frame).await.ok()?;
                }
                Some(())
            };
            // A reader that leaves ends the producer wherever it waits, not only at its next chunk.
            tokio::select! {
                _ = pump => {}
                () = sender.closed() => {}
            }
        });
        Self::Channel(receiver)
    }

    /// The bytes, if the body is in memory.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Full(bytes) => Some(bytes),
            Self::Foreign(_) | Self::Channel(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Foreign(body) => Pin::new(body).poll_frame(cx),
            Self::Channel(receiver) => receiver.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Foreign(body) => body.is_end_stream(),
            Self::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Foreign(body) => body.size_hint(),
            Self::Channel(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Foreign(_) | Self::Channel(_) => f.write_str("Streaming"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn a_single_buffer_settles_into_memory() {
        let body = Body::foreign(Full::new(Bytes::from_static(b"abc")))
            .settle(())
            .await;
        assert_eq!(body.as_bytes(), Some(&b"abc"[..]));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_ends_a_producer_that_is_waiting() {
        let (held, observed) = tokio::sync::oneshot::channel::<()>();
        struct Never;
        impl http_body::Body for Never {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                Poll::Pending
            }
        }
        let body = Body::foreign(Never).settle(held).await;
        drop(body);
        // `held` was dropped, not sent.
        assert!(observed.await.is_err());
    }
}
