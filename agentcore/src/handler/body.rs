//! The body of a reply.
//!
//! A handler may return any `http_body::Body`, whose poll and drop run user code. So before a reply leaves the workers, its
//! body is [settled](Body::settle). A [`Settled`] body is bytes that are [detached](detach) from the user's code, or the reader
//! of a bounded pipe that a task on the workers fills with such bytes. The front gets only settled bodies.

mod limits;
mod of_length;
mod pipe;
#[cfg(test)]
#[path = "body/pipe/tests.rs"]
mod pipe_tests;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use tracing::Instrument as _;

use crate::error::{BoxError, with_causes};
use crate::handler::sse;
use crate::report::panics;
use crate::report::{Failure, Outcome};
use crate::request::{self, detach};
use crate::util::BoxFuture;
use limits::Progress;
pub(crate) use limits::{Late, Limits};
use of_length::OfLength;

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
    /// Bytes from the user, not yet detached.
    Full(Bytes),
    /// A body that has not been polled. Only on the workers.
    Foreign(Foreign),
}

/// A body to be polled on the workers.
enum Foreign {
    /// A body whose frames have a drop that is user code.
    Opaque(UnsyncBoxBody<Bytes, BoxError>),
    /// A body as in `Opaque`, with the length that its reply announces.
    OfLength(OfLength),
    /// A body whose frames are the library's memory: user code has only made the values that are encoded in them.
    Events(Pin<Box<dyn Events>>),
}

/// A body of server-sent events, whose frames are plain memory.
pub(crate) trait Events: http_body::Body<Data = Bytes, Error = BoxError> + Send {
    /// Whether the last frame was a keep-alive comment, and not an item.
    fn was_keep_alive(&self) -> bool;
}

impl Foreign {
    /// Detaches the frame from the user's code.
    fn detach(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match self {
            Self::Opaque(_) | Self::OfLength(_) => detach::frame(frame),
            Self::Events(_) => detach::frame_of_memory(frame),
        }
    }

    /// The length of the whole body, if it has been announced.
    fn announced(&self) -> Option<u64> {
        match self {
            Self::OfLength(body) => Some(body.announced()),
            Self::Opaque(_) | Self::Events(_) => None,
        }
    }

    /// Whether the announced length has been reached.
    fn is_whole(&self) -> bool {
        match self {
            Self::OfLength(body) => body.is_whole(),
            Self::Opaque(_) | Self::Events(_) => false,
        }
    }

    /// Whether the last frame was an item of the producer's.
    fn was_item(&self) -> bool {
        match self {
            Self::Opaque(_) | Self::OfLength(_) => true,
            Self::Events(events) => !events.was_keep_alive(),
        }
    }
}

impl http_body::Body for Foreign {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Opaque(body) => Pin::new(body).poll_frame(cx),
            Self::OfLength(body) => Pin::new(body).poll_frame(cx),
            Self::Events(events) => events.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Opaque(body) => body.is_end_stream(),
            Self::OfLength(body) => body.is_end_stream(),
            Self::Events(events) => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Opaque(body) => body.size_hint(),
            Self::OfLength(body) => body.size_hint(),
            Self::Events(events) => events.size_hint(),
        }
    }
}

/// How the task that polls a body has ended.
enum Ended {
    Whole,
    /// The reader has left, or the body has failed.
    Broken,
    Late(Late),
}

impl Default for Body {
    fn default() -> Self {
        Self::settled(Settled::default())
    }
}

impl Body {
    /// Wraps any body. It will be polled on the workers. A `Body` is returned unchanged.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        if let Some(own) = (&mut body as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_default();
        }
        body.map_or_else(Self::default, |body| {
            let body = body.map_err(Into::into).boxed_unsync();
            Self(Repr::Foreign(Foreign::Opaque(body)))
        })
    }

    /// A body of server-sent events.
    pub(crate) fn events(events: impl Events + 'static) -> Self {
        Self(Repr::Foreign(Foreign::Events(Box::pin(events))))
    }

    /// A body in plain memory, such as a serialised reply.
    pub(crate) fn memory(bytes: impl Into<Vec<u8>>) -> Self {
        Self::settled(Settled::memory(bytes.into().into()))
    }

    pub(crate) fn settled(settled: Settled) -> Self {
        Self(Repr::Settled(settled))
    }

    /// The body with the length that its reply announces, if it is a stream of the user's. It fails if it has another length.
    pub(crate) fn of_length(self, announced: u64) -> Self {
        match self.0 {
            Repr::Foreign(Foreign::Opaque(body)) => {
                let body = OfLength::new(body, announced);
                Self(Repr::Foreign(Foreign::OfLength(body)))
            }
            other => Self(other),
        }
    }

    /// Polls a body of the user's once, and starts a task that polls it for the rest. Must be called on the workers.
    ///
    /// The task drops the body when it takes longer than `limits`. The value that `hold` returns lives as long as the task.
    pub(crate) async fn settle<H: Send + 'static>(
        self,
        limits: Limits,
        hold: impl FnOnce() -> H,
    ) -> Self {
        match self.0 {
            // Boxed, because this future would be half of the size of every request's task.
            Repr::Foreign(body) => Box::pin(Self::settle_foreign(body, limits, hold())).await,
            _ => self,
        }
    }

    /// Makes the body safe to be polled and dropped outside the workers. Must be called on them.
    ///
    /// The value that `hold` returns lives as long as the task that polls a body of the user's.
    pub(crate) fn into_settled<H: Send + 'static>(self, hold: impl FnOnce() -> H) -> Settled {
        match self.0 {
            Repr::Foreign(body) => {
                Self::produce(body, None, pipe::pipe(), Limits::default(), hold())
            }
            Repr::Full(bytes) => Settled::memory(detach::bytes(bytes)),
            Repr::Settled(settled) => settled.detached(),
        }
    }

    async fn settle_foreign<H: Send + 'static>(mut body: Foreign, limits: Limits, hold: H) -> Self {
        // Most foreign bodies are one buffer, which is taken if it is ready at once.
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
        // A frame that is ready leaves together with the head.
        let failed = match first {
            Some(Ok(frame)) => {
                let _ = writer.feed(body.detach(frame)).await;
                None
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        Self::settled(Self::produce(body, failed, (writer, reader), limits, hold))
    }

    /// Starts the task that polls `body`, or reports the error `failed`. Returns the body that the task fills.
    fn produce<H: Send + 'static>(
        mut body: Foreign,
        failed: Option<BoxError>,
        (writer, reader): (pipe::Writer, pipe::Reader),
        limits: Limits,
        hold: H,
    ) -> Settled {
        let stream = request::Stream::open();
        let current = stream.current();
        let is_events = matches!(body, Foreign::Events(_));
        let left = body.announced();
        let produce = async move {
            let progress = Progress::default();
            // Whether the announced length has been reached.
            let is_whole = AtomicBool::new(body.is_whole());
            let ended = {
                let mut pump = pin!(panics::catch(async {
                    let mut next = match failed {
                        Some(failed) => Some(Err(failed)),
                        None => body.frame().await,
                    };
                    while let Some(frame) = next {
                        match frame {
                            // Trailers, or a frame without bytes: the reply has ended with its last byte.
                            Ok(_) if is_whole.load(Ordering::Relaxed) => {}
                            Ok(frame) => {
                                // Before the frame leaves, because hyper lets go of the body with its last byte.
                                is_whole.store(body.is_whole(), Ordering::Relaxed);
                                let is_item = limits.look_at_items() && body.was_item();
                                if is_item {
                                    progress.set_sending();
                                }
                                // Recorded here, because the invocation is no longer in flight once the hold is dropped.
                                writer
                                    .feed(body.detach(frame))
                                    .await
                                    .inspect_err(|_| request::note(Outcome::Cancelled))?;
                                if is_item {
                                    progress.set_sent();
                                }
                            }
                            Err(error) => {
                                let error = with_causes(&*error);
                                request::fail(Failure::error(request::the_stream(), error));
                                request::note(Outcome::Error);
                                return Err(pipe::Left);
                            }
                        }
                        next = body.frame().await;
                    }
                    // The drop of the body may panic.
                    drop(body);
                    Ok(())
                }));
                let left = async {
                    writer.left().await;
                    if !is_whole.load(Ordering::Relaxed) {
                        request::note(Outcome::Cancelled);
                        return;
                    }
                    // The client has the whole reply. What the body still does is done, unless the shutdown cuts it off.
                    match request::until_cut_off() {
                        Some(cut_off) => cut_off.await,
                        None => std::future::pending().await,
                    }
                };
                // A reader that leaves ends the producer wherever it waits, not only at its next frame.
                tokio::select! {
                    biased;
                    ended = writer.flush_when_pending(pump.as_mut()) => match ended {
                        Ok(Ok(())) => Ended::Whole,
                        Ok(Err(pipe::Left)) => Ended::Broken,
                        Err(panic) => {
                            request::fail(Failure::panic(request::the_stream(), panic));
                            request::note(Outcome::Panic);
                            Ended::Broken
                        }
                    },
                    () = left => Ended::Broken,
                    late = limits.exceeded(&progress), if limits.are_set() => {
                        late.report();
                        pump.give_up(&request::the_stream());
                        Ended::Late(late)
                    }
                }
            };
            // Dropped before the end is sent, so that a client that has seen the end finds everything over. The drop of `stream`
            // writes the line of the invocation, which `hold` keeps in flight until then.
            drop(stream);
            drop(hold);
            match ended {
                Ended::Whole => writer.finish(),
                Ended::Broken => {}
                Ended::Late(late) => {
                    // Waits for room for as long as the client stays.
                    if is_events
                        && writer
                            .feed(Frame::data(sse::late_event(&late)))
                            .await
                            .is_ok()
                    {
                        writer.finish();
                    }
                }
            }
        };
        let produce: BoxFuture<()> = Box::pin(current.wrap(produce).in_current_span());
        request::spawn_in_scope(produce);
        Settled(State::Piped { reader, left })
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

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Repr::Full(bytes))
    }
}

/// An empty body.
impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::default()
    }
}

macro_rules! from_bytes {
    ($($type:ty),+) => {$(
        impl From<$type> for Body {
            fn from(bytes: $type) -> Self {
                Bytes::from(bytes).into()
            }
        }
    )+};
}

from_bytes!(&'static [u8], &'static str, Box<[u8]>, String, Vec<u8>);

impl From<Cow<'static, [u8]>> for Body {
    fn from(bytes: Cow<'static, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
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
        match &mut self.0 {
            Repr::Settled(settled) => Pin::new(settled).poll_frame(cx),
            Repr::Full(bytes) => Poll::Ready(take_frame(bytes)),
            Repr::Foreign(foreign) => Pin::new(foreign).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Settled(settled) => settled.is_end_stream(),
            Repr::Full(bytes) => bytes.is_empty(),
            Repr::Foreign(foreign) => foreign.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Settled(settled) => settled.size_hint(),
            Repr::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Repr::Foreign(foreign) => foreign.size_hint(),
        }
    }
}

/// All of `bytes` as one frame; `None` if it is empty.
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

/// A body that may leave the workers: neither its polls nor its drop run user code.
pub(crate) struct Settled(State);

enum State {
    Memory(Bytes),
    /// Filled by a task on the workers, which logs and drops the error of a failed body.
    Piped {
        reader: pipe::Reader,
        /// The number of bytes to come, if it has been announced.
        left: Option<u64>,
    },
    /// A body of the front that passes on another one and inspects it.
    Watched(UnsyncBoxBody<Bytes, BoxError>),
}

impl Default for Settled {
    fn default() -> Self {
        Self::memory(Bytes::new())
    }
}

impl Settled {
    /// A body of plain memory, or of bytes that have been [detached](detach).
    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self(State::Memory(bytes))
    }

    /// A body of the front that polls another settled body.
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

    /// Marks large memory to be freed on the workers. Must be called on them.
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
            State::Piped { reader, left } => {
                let frame = std::task::ready!(reader.poll_frame(cx));
                if let Some(Ok(frame)) = &frame {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    *left = left.map(|left| left.saturating_sub(length));
                } else {
                    *self = Self::default();
                }
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|pipe::CutOff| "the reply was cut off".into())),
                )
            }
            State::Watched(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Memory(bytes) => bytes.is_empty(),
            State::Piped { .. } => false,
            State::Watched(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Piped { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
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
    use std::time::Duration;

    use super::*;
    use crate::handler::sse::SseBody;
    use http_body_util::Full;
    use tokio::time::Instant;

    #[test]
    fn texts_and_bytes_are_bodies() {
        let text = || "tea".to_owned();
        for body in [
            Body::from("tea"),
            text().into(),
            text().into_bytes().into(),
            text().into_bytes().into_boxed_slice().into(),
            b"tea".as_slice().into(),
            Bytes::from_static(b"tea").into(),
            Cow::Borrowed("tea").into(),
            Cow::<str>::Owned(text()).into(),
            Cow::Borrowed(b"tea".as_slice()).into(),
            Cow::<[u8]>::Owned(text().into_bytes()).into(),
        ] {
            assert_eq!(body.as_bytes(), Some(&b"tea"[..]));
        }
        assert_eq!(Body::from(()).as_bytes(), Some(&b""[..]));
    }

    #[tokio::test]
    async fn a_single_buffer_settles_into_memory() {
        let body = Body::new(Full::new(Bytes::from_static(b"abc")))
            .settle(Limits::default(), || ())
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
        let mut body = Body::new(Breaks(false))
            .settle(Limits::default(), || ())
            .await;
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(
            body.frame().await.unwrap().unwrap_err().to_string(),
            "the reply was cut off"
        );
        assert!(body.frame().await.is_none());
    }

    /// A stream whose items come from a function of their number.
    struct Numbered<F>(usize, F);

    impl<T, F: FnMut(usize) -> Poll<Option<T>> + Unpin> futures_core::Stream for Numbered<F> {
        type Item = T;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
            let number = self.0;
            self.0 += 1;
            (self.1)(number)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn text(frame: Option<Result<Frame<Bytes>, BoxError>>) -> String {
        let data = frame.expect("a frame").expect("no error").into_data();
        String::from_utf8(data.expect("data").to_vec()).expect("text")
    }

    /// The comments that keep a connection come every 15 seconds.
    #[tokio::test(start_paused = true)]
    async fn comments_during_silence_are_no_items() {
        let silent = Numbered(0, |number| match number {
            0 => Poll::Ready(Some(1)),
            _ => Poll::Pending,
        });
        let began = Instant::now();
        let body = Body::events(SseBody::new(silent, sse::plain));
        let limits = Limits::begin(None, Some(40 * SECOND));
        let mut body = body.settle(limits, || ()).await;
        assert_eq!(text(body.frame().await), "data: 1\n\n");
        for _ in 0..2 {
            assert_eq!(text(body.frame().await), ": keep-alive\n\n");
        }
        let last = text(body.frame().await);
        assert!(last.contains(r#""error":"no item for 40s""#), "{last}");
        assert_eq!(began.elapsed(), 40 * SECOND);
        assert!(body.frame().await.is_none());
    }

    /// A client that reads nothing has a limit of its own.
    #[tokio::test(start_paused = true)]
    async fn an_idle_time_stands_still_while_an_item_waits_for_its_client() {
        let endless = Numbered(0, |_| Poll::Ready(Some("x".repeat(1000))));
        let body = Body::events(SseBody::new(endless, sse::plain));
        let limits = Limits::begin(None, Some(SECOND));
        let mut body = body.settle(limits, || ()).await;
        for _ in 0..3 {
            tokio::time::sleep(100 * SECOND).await;
            for _ in 0..100 {
                assert!(text(body.frame().await).starts_with("data: \"x"));
            }
        }
    }

    /// A client that reads nothing does not keep the invocation in progress. It gets the error event when it reads.
    #[tokio::test(start_paused = true)]
    async fn the_total_time_ends_a_producer_whose_client_takes_nothing() {
        let (held, observed) = tokio::sync::oneshot::channel::<()>();
        let endless = Numbered(0, move |_| {
            let _ = &held;
            Poll::Ready(Some("x".repeat(1000)))
        });
        let began = Instant::now();
        let body = Body::events(SseBody::new(endless, sse::plain));
        let limits = Limits::begin(Some(3 * SECOND), None);
        let mut body = body.settle(limits, || ()).await;
        assert!(observed.await.is_err());
        assert_eq!(began.elapsed(), 3 * SECOND);
        let mut last = String::new();
        while let Some(frame) = body.frame().await {
            last = text(Some(frame));
        }
        assert!(last.contains(r#""error":"timed out after 3s""#), "{last}");
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
        let body = Body::new(Never).settle(Limits::default(), || held).await;
        drop(body);
        // `held` was dropped without sending.
        assert!(observed.await.is_err());
    }
}
