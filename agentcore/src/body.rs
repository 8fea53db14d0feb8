//! The body of a reply.
//!
//! What a handler returns may be any `http_body::Body`: polling it runs the user's code, and so may dropping it. So before a
//! reply leaves the workers it is [settled](Body::settle). A [`Settled`] body is bytes that are [detached](detach) from the
//! user's code, or the reader of a bounded pipe that a task on the workers fills with such bytes. The front sees no other.

pub(crate) mod detach;
mod pipe;
#[cfg(test)]
#[path = "body/pipe/tests.rs"]
mod pipe_tests;

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use tracing::Instrument as _;

use crate::context;
use crate::error::{BoxError, with_causes};
use crate::panics;
use crate::registry::BoxFuture;
use crate::telemetry::{self, Failure, Outcome};

/// The body of a request or a reply, as [layers](crate::App::layer) see it.
///
/// ```
/// use agentcore::Body;
///
/// let body = Body::from("hello");
/// assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
/// ```
#[derive(Debug)]
pub struct Body(Repr);

enum Repr {
    Settled(Settled),
    /// The user's bytes.
    Full(Bytes),
    /// Not yet polled; only on the workers.
    Foreign(Foreign),
}

/// A body to be polled on the workers, and the owner of its frames' memory.
struct Foreign {
    body: UnsyncBoxBody<Bytes, BoxError>,
    frames: Frames,
}

/// The owner of the memory of a body's frames.
#[derive(Clone, Copy)]
enum Frames {
    /// The user's: their drop is the user's code.
    Foreign,
    /// The library's: the user's code has only made the values that are encoded in them.
    Encoded,
}

impl Frames {
    fn detach(self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match self {
            Self::Foreign => detach::frame(frame),
            Self::Encoded => detach::frame_of_memory(frame),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::settled(Settled::default())
    }
}

impl Body {
    /// Any body at all. It will be polled on the workers. A `Body` stays as it is.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        if let Some(own) = (&mut body as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_default();
        }
        body.map_or_else(Self::default, |body| Self::foreign(body, Frames::Foreign))
    }

    /// A body whose frames are plain memory, such as encoded events.
    pub(crate) fn encoded<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::foreign(body, Frames::Encoded)
    }

    fn foreign<B>(body: B, frames: Frames) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let body = body.map_err(Into::into).boxed_unsync();
        Self(Repr::Foreign(Foreign { body, frames }))
    }

    /// A body in plain memory, such as a serialised reply.
    pub(crate) fn memory(bytes: impl Into<Vec<u8>>) -> Self {
        Self::settled(Settled::memory(bytes.into().into()))
    }

    pub(crate) fn settled(settled: Settled) -> Self {
        Self(Repr::Settled(settled))
    }

    /// Polls a body of the user's for the first time, and starts a task that polls it for the rest. Must be called on the
    /// workers.
    ///
    /// What `hold` returns lives as long as that task does.
    pub(crate) async fn settle<H: Send + 'static>(self, hold: impl FnOnce() -> H) -> Self {
        match self.0 {
            // In a box of its own: it would be half of what every request's task is made of.
            Repr::Foreign(body) => Box::pin(Self::settle_foreign(body, hold())).await,
            _ => self,
        }
    }

    /// Makes the body safe to be polled and dropped outside the workers. Must be called on them.
    ///
    /// What `hold` returns lives as long as the task does that polls a body of the user's.
    pub(crate) fn into_settled<H: Send + 'static>(self, hold: impl FnOnce() -> H) -> Settled {
        match self.0 {
            Repr::Foreign(body) => Self::produce(body, None, pipe::pipe(), hold()),
            Repr::Full(bytes) => Settled::memory(detach::bytes(bytes)),
            Repr::Settled(settled) => settled.detached(),
        }
    }

    async fn settle_foreign<H: Send + 'static>(
        Foreign { mut body, frames }: Foreign,
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
                let _ = writer.send(frames.detach(frame)).await;
                None
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        let body = Foreign { body, frames };
        Self::settled(Self::produce(body, failed, (writer, reader), hold))
    }

    /// Starts the task that polls `body`, or reports that it has `failed`, and returns what that task writes.
    fn produce<H: Send + 'static>(
        Foreign { mut body, frames }: Foreign,
        failed: Option<BoxError>,
        (writer, reader): (pipe::Writer, pipe::Reader),
        hold: H,
    ) -> Settled {
        let stream = telemetry::Stream::open();
        let current = stream.current();
        let produce = async move {
            let pump = panics::catch(async {
                let mut next = match failed {
                    Some(failed) => Some(Err(failed)),
                    None => body.frame().await,
                };
                while let Some(frame) = next {
                    match frame {
                        // While it is in flight, which it is no longer without the hold.
                        Ok(frame) => writer
                            .send(frames.detach(frame))
                            .await
                            .inspect_err(|_| context::note(Outcome::Cancelled))?,
                        Err(error) => {
                            let error = with_causes(&*error);
                            context::fail(Failure::error("a streamed reply", error));
                            context::note(Outcome::Error);
                            return Err(pipe::Left);
                        }
                    }
                    next = body.frame().await;
                }
                // Its drop may panic.
                drop(body);
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
            let is_whole = matches!(ended, Ok(Ok(())));
            if let Err(panic) = ended {
                context::fail(Failure::panic("a streamed reply", panic));
                context::note(Outcome::Panic);
            }
            // Before the end is told: a client that has seen it finds everything over. The stream's end writes the line of
            // the invocation, which the hold keeps in flight until then.
            drop(stream);
            drop(hold);
            if is_whole {
                writer.finish();
            }
        };
        let produce: BoxFuture<()> = Box::pin(current.wrap(produce).in_current_span());
        context::spawn_in_scope(produce);
        Settled(State::Piped(reader))
    }

    /// The body, boxed.
    pub(crate) fn into_boxed(self) -> UnsyncBoxBody<Bytes, BoxError> {
        match self.0 {
            Repr::Foreign(foreign) => foreign.body,
            other => Self(other).boxed_unsync(),
        }
    }

    /// The bytes, if the body is in memory.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Settled(settled) => settled.as_bytes(),
            Repr::Full(bytes) => Some(bytes),
            Repr::Foreign(_) => None,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Repr::Full(bytes.into()))
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
            Repr::Settled(settled) => Pin::new(settled).poll_frame(cx),
            Repr::Full(bytes) => Poll::Ready(take_frame(bytes)),
            Repr::Foreign(foreign) => Pin::new(&mut foreign.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Settled(settled) => settled.is_end_stream(),
            Repr::Full(bytes) => bytes.is_empty(),
            Repr::Foreign(foreign) => foreign.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Settled(settled) => settled.size_hint(),
            Repr::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Repr::Foreign(foreign) => foreign.body.size_hint(),
        }
    }
}

/// All of `bytes` as one frame; `None` if there are none.
fn take_frame<E>(bytes: &mut Bytes) -> Option<Result<Frame<Bytes>, E>> {
    (!bytes.is_empty()).then(|| Ok(Frame::data(std::mem::take(bytes))))
}

impl fmt::Debug for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled(settled) => settled.fmt(f),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Foreign(_) => f.write_str("Streaming"),
        }
    }
}

/// A body that may leave the workers: neither its polls nor its drop run the user's code.
pub(crate) struct Settled(State);

enum State {
    Memory(Bytes),
    /// Filled by a task on the workers. What an error says has been logged there, and it is dropped there.
    Piped(pipe::Reader),
    /// One of the front's own, which looks at another on its way.
    #[cfg(feature = "dev-page")]
    Watched(UnsyncBoxBody<Bytes, BoxError>),
}

impl Default for Settled {
    fn default() -> Self {
        Self::memory(Bytes::new())
    }
}

impl Settled {
    /// Plain memory, or bytes that have been [detached](detach).
    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self(State::Memory(bytes))
    }

    /// A body of the front's own, which polls another that is settled.
    #[cfg(feature = "dev-page")]
    pub(crate) fn watched<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        Self(State::Watched(body.boxed_unsync()))
    }

    /// The bytes, if the body is in memory.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            State::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The body, with large memory to be freed on the workers. Must be called on them.
    fn detached(self) -> Self {
        match self.0 {
            State::Memory(bytes) => Self::memory(detach::memory(bytes)),
            _ => self,
        }
    }
}

impl http_body::Body for Settled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            State::Memory(bytes) => Poll::Ready(take_frame(bytes)),
            State::Piped(reader) => {
                let frame = std::task::ready!(reader.poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    *self = Self::default();
                }
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|pipe::CutOff| "the reply was cut off".into())),
                )
            }
            #[cfg(feature = "dev-page")]
            State::Watched(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Memory(bytes) => bytes.is_empty(),
            State::Piped(_) => false,
            #[cfg(feature = "dev-page")]
            State::Watched(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Piped(_) => SizeHint::default(),
            #[cfg(feature = "dev-page")]
            State::Watched(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            Some(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            None => f.write_str("Streaming"),
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
