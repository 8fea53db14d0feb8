//! The body of a reply.
//!
//! What a handler returns may be any `http_body::Body`, and polling it is running the user's code. So before a reply
//! leaves the workers it is [settled](Body::settle): its body is either in memory, or a producer task on the workers
//! feeds it through a bounded pipe. The front only ever sees those two.

mod pipe;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};

use crate::context;
use crate::error::{BoxError, with_causes};
use crate::panics;
use crate::registry::BoxFuture;
use crate::telemetry::{self, Outcome};

/// The body of a request or a reply, as [layers](crate::App::layer) see it.
///
/// ```
/// use agentcore::Body;
///
/// let body = Body::from("hello");
/// assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
/// ```
#[derive(Debug, Default)]
pub struct Body(Repr);

#[derive(Default)]
enum Repr {
    #[default]
    Empty,
    Full(Bytes),
    /// Not yet polled; only on the workers.
    Foreign(UnsyncBoxBody<Bytes, BoxError>),
    /// Produced by a task on the workers. What an error says has been logged there, and it is dropped there.
    Piped(pipe::Reader),
}

impl Body {
    /// Any body at all. It will be polled on the workers.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Repr::Foreign(body.map_err(Into::into).boxed_unsync()))
    }

    /// Makes the body safe to be polled outside the workers. Must be called on them.
    ///
    /// What `hold` returns lives as long as the producer does.
    pub(crate) async fn settle<H: Send + 'static>(self, hold: impl FnOnce() -> H) -> Self {
        match self.0 {
            // In a box of its own: it would be half of what every request's task is made of.
            Repr::Foreign(body) => Box::pin(Self::settle_foreign(body, hold())).await,
            settled => Self(settled),
        }
    }

    async fn settle_foreign<H: Send + 'static>(
        mut body: UnsyncBoxBody<Bytes, BoxError>,
        hold: H,
    ) -> Self {
        // Most foreign bodies are one buffer in disguise: take it if it is there at once.
        let first = match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx)))
            .await
        {
            Poll::Ready(None) => return Self::default(),
            Poll::Ready(Some(Ok(frame))) if body.is_end_stream() && frame.is_data() => {
                return frame.into_data().map(Self::from).unwrap_or_default();
            }
            Poll::Ready(Some(first)) => Some(first),
            Poll::Pending => None,
        };
        let (writer, reader) = pipe::pipe();
        // What is there leaves with the head.
        let failed = match first {
            Some(Ok(frame)) => {
                let _ = writer.send(frame).await;
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        let stream = telemetry::Stream::open();
        let current = stream.current();
        let hold = (hold, stream);
        let produce = async move {
            let pump = panics::catch(async {
                let mut next = match failed {
                    Some(failed) => Some(failed),
                    None => body.frame().await,
                };
                while let Some(frame) = next {
                    match frame {
                        // While it is in flight, which it is no longer without the hold.
                        Ok(frame) => writer
                            .send(frame)
                            .await
                            .inspect_err(|_| context::note(Outcome::Cancelled))?,
                        Err(error) => {
                            tracing::error!("a streamed reply failed: {}", with_causes(&*error));
                            context::note(Outcome::Error);
                            return Err(pipe::Left);
                        }
                    }
                    next = body.frame().await;
                }
                // Before the end is told: whoever has seen it finds everything over.
                drop((body, hold));
                Ok(())
            });
            let left = async {
                writer.left().await;
                context::note(Outcome::Cancelled);
                pipe::Left
            };
            // A reader that leaves ends the producer wherever it waits, not only at its next piece.
            let ended = tokio::select! {
                biased;
                ended = pump => ended,
                left = left => Ok(Err(left)),
            };
            match ended {
                Ok(Ok(())) => writer.finish(),
                Ok(Err(pipe::Left)) => {}
                Err(panic) => {
                    panic.log("a streamed reply");
                    context::note(Outcome::Panic);
                }
            }
        };
        let produce: BoxFuture<()> = Box::pin(current.wrap(produce));
        context::spawn_in_scope(produce);
        Self(Repr::Piped(reader))
    }

    /// The same, boxed.
    pub(crate) fn into_boxed(self) -> UnsyncBoxBody<Bytes, BoxError> {
        match self.0 {
            Repr::Foreign(body) => body,
            other => Self(other).boxed_unsync(),
        }
    }

    /// The bytes, if the body is in memory.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Empty => Some(&[]),
            Repr::Full(bytes) => Some(bytes),
            Repr::Foreign(_) | Repr::Piped(_) => None,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self(if bytes.is_empty() {
            Repr::Empty
        } else {
            Repr::Full(bytes)
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Repr::Empty => Poll::Ready(None),
            Repr::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Repr::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Repr::Foreign(body) => Pin::new(body).poll_frame(cx),
            Repr::Piped(reader) => {
                let frame = std::task::ready!(reader.poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    self.0 = Repr::Empty;
                }
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|pipe::CutOff| "the reply was cut off".into())),
                )
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Empty => true,
            Repr::Full(bytes) => bytes.is_empty(),
            Repr::Foreign(body) => body.is_end_stream(),
            Repr::Piped(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Empty => SizeHint::with_exact(0),
            Repr::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Repr::Foreign(body) => body.size_hint(),
            Repr::Piped(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Foreign(_) | Self::Piped(_) => f.write_str("Streaming"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn a_single_buffer_settles_into_memory() {
        let body = Body::new(Full::new(Bytes::from_static(b"abc")))
            .settle(|| ())
            .await;
        assert_eq!(body.as_bytes(), Some(&b"abc"[..]));
    }

    /// One chunk, and then a panic.
    struct Breaks(bool);

    impl http_body::Body for Breaks {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            assert!(!std::mem::replace(&mut self.0, true), "it breaks");
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"abc")))))
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_an_end() {
        let mut body = Body::new(Breaks(false)).settle(|| ()).await;
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(
            body.frame().await.unwrap().unwrap_err().to_string(),
            "the reply was cut off"
        );
        assert!(body.frame().await.is_none());
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
        let body = Body::new(Never).settle(|| held).await;
        drop(body);
        // `held` was dropped, not sent.
        assert!(observed.await.is_err());
    }
}
