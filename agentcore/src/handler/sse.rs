//! Server-sent events: the reply of a handler that returns a `Stream`.
//!
//! Each item becomes `data: <json>` and a blank line, and is flushed at once. An [`Event`] sets its own fields. An error, a
//! panic, or an item that cannot be serialised becomes one last event,
//! `data: {"error":..,"error_type":..,"message":"An error occurred during streaming"}`, as in Python's SDK. While the producer
//! is silent, a comment is sent every 15 seconds, so that proxies keep the connection and a client that has gone is noticed.
//!
//! [`App::timeout`](crate::App::timeout) and [`App::idle_timeout`](crate::App::idle_timeout) limit how long a stream may take.
//! A stream that takes longer is dropped, and the last event reports it, with the `error_type` `TimedOut`.
//!
//! ```
//! use agentcore::{Stream, stream};
//!
//! #[agentcore::entrypoint(main = false)]
//! async fn handler(text: String) -> impl Stream<Item = String> {
//!     stream! {
//!         for word in text.split(' ') {
//!             yield word.to_owned();
//!         }
//!     }
//! }
//! ```

use std::fmt::{self, Write as _};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;
use pin_project_lite::pin_project;
use serde_core::Serialize;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::TimedOut;
use crate::error::{BoxError, with_causes};
use crate::handler::body::{Events, Late};
use crate::handler::http_error::HttpError;
use crate::report::panics;
use crate::report::{Failure, Outcome};
use crate::request;
use crate::util::json;

/// The time after which a silent producer is replaced by a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event, for handlers that need more than a value: an id, a name, a reconnection time, or a comment.
///
/// ```
/// use std::time::Duration;
///
/// use agentcore::sse::Event;
/// use agentcore::{Stream, stream};
/// use serde_json::json;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler() -> impl Stream<Item = Event> {
///     stream! {
///         yield Event::comment("thinking").retry(Duration::from_secs(1));
///         for number in 0..3 {
///             yield Event::json(&json!({ "token": number })).id(number.to_string()).event("token");
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Event {
    comment: Option<String>,
    retry: Option<Duration>,
    event: Option<String>,
    id: Option<String>,
    data: Option<Result<String, String>>,
}

impl Event {
    /// An event whose data is `value` as JSON.
    ///
    /// A value that cannot be serialised, or is a [`Result`], ends the stream with an error event. The log says why, and
    /// names the line of the call.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let caller = Location::caller();
        let data = json::to_string(value).map_err(|error| format!("{error} (at {caller})"));
        Self {
            data: Some(data),
            ..Self::default()
        }
    }

    /// An event whose data is `text`. Each of its lines becomes a `data:` line.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            data: Some(Ok(text.into())),
            ..Self::default()
        }
    }

    /// A comment, which clients ignore.
    pub fn comment(text: impl Into<String>) -> Self {
        Self {
            comment: Some(text.into()),
            ..Self::default()
        }
    }

    /// The id that a client sends back as `Last-Event-ID` when it reconnects.
    ///
    /// Line breaks and NULs become spaces, because the format does not allow them.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The event's name, `message` by default. Line breaks become spaces.
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.event = Some(name.into());
        self
    }

    /// The time that a client waits before it reconnects, in whole milliseconds.
    pub fn retry(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    fn encode(&self) -> Result<String, String> {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            let _ = writeln!(text, "{name}: {value}");
        };
        for line in self.comment.as_deref().into_iter().flat_map(lines) {
            field("", line);
        }
        if let Some(wait) = self.retry {
            field("retry", &wait.as_millis().to_string());
        }
        if let Some(name) = &self.event {
            field("event", &on_one_line(name));
        }
        if let Some(id) = &self.id {
            field("id", &on_one_line(id));
        }
        if let Some(data) = &self.data {
            for line in lines(data.as_ref().map_err(Clone::clone)?) {
                field("data", line);
            }
        }
        text.push('\n');
        Ok(text)
    }
}

/// The lines of `text` by the rules of the format: CR LF, LF and CR each end a line, and there is always at least one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(end) = text.find(['\r', '\n']) else {
            return Some(text);
        };
        let after = &text[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&text[..end])
    })
}

fn on_one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

/// What a stream's items may be: anything [`serde::Serialize`](serde_core::Serialize), or an [`Event`].
///
/// It is implemented for these, and cannot be implemented elsewhere. An item that is a [`Result`] ends the stream with an
/// error event; for streams of `Result`s there is [`Response::try_stream`](crate::Response::try_stream).
///
/// ```
/// use agentcore::sse::{Event, StreamItem};
///
/// fn may_be_streamed<T: StreamItem>(_: T) {}
/// may_be_streamed("a value");
/// may_be_streamed(Event::comment("an event"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a streamed reply",
    label = "not an item",
    note = "return an `agentcore::sse::Event`, or derive `serde::Serialize` for the item and the types in it",
    note = "a stream of `Result<T, BoxError>` goes into `agentcore::Response::try_stream`"
)]
pub trait StreamItem: sealed::Item {
    /// The bytes of its event, with the blank line; or the error.
    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, String>;
}

/// Implemented once for every type, and a second time for every `Result`. So where `M` is inferred, a `Result` is ambiguous and
/// does not compile.
mod not_a_result {
    pub trait NotAResult<M> {}

    impl<T> NotAResult<()> for T {}

    /// rustc shows the name in its message.
    #[derive(Debug)]
    pub struct UseResponseTryStream;

    impl<T, E> NotAResult<UseResponseTryStream> for Result<T, E> {}
}

pub(crate) use not_a_result::NotAResult;

mod sealed {
    use serde_core::Serialize;

    /// Implemented where [`StreamItem`](super::StreamItem) is. Other crates cannot name it.
    pub trait Item {}

    impl<T: Serialize> Item for T {}

    impl Item for super::Event {}
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> StreamItem for T {
    fn encode(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(b"data: ");
        // JSON has no raw line breaks, so one `data:` line holds it.
        json::to_writer(&mut bytes, self).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(b"\n\n");
        Ok(bytes)
    }
}

impl StreamItem for Event {
    fn encode(&self) -> Result<Vec<u8>, String> {
        Self::encode(self).map(String::into_bytes)
    }
}

/// The result of one item.
pub(crate) enum Step {
    Send(Bytes),
    /// The error event, which is the last one.
    End(Bytes),
}

/// The step for an item of a stream that cannot fail.
#[expect(clippy::needless_pass_by_value, reason = "a `fn(S::Item) -> Step`")]
pub(crate) fn plain<T: StreamItem>(item: T) -> Step {
    match item.encode() {
        Ok(bytes) => Step::Send(bytes.into()),
        Err(problem) => {
            let what = format!("serialising an item of {}", request::the_stream());
            request::fail(Failure::error(what, &*problem));
            request::note(Outcome::Error);
            Step::End(error_event(&problem, "SerializationError"))
        }
    }
}

/// The step for an item of a stream that may fail.
pub(crate) fn fallible<T: StreamItem, E: Into<BoxError>>(item: Result<T, E>) -> Step {
    item_or_error(item.map_err(|error| (error.into(), short_type_name::<E>())))
}

/// The step for an item, or for an error and the name of its type.
pub(crate) fn item_or_error<T: StreamItem>(item: Result<T, (BoxError, &str)>) -> Step {
    match item {
        Ok(item) => plain(item),
        Err((error, name)) => {
            // A boxed error has lost its type's name. Only `HttpError` can be recognised.
            let name = if error.is::<HttpError>() {
                "HttpError"
            } else {
                name
            };
            request::fail(Failure::error(request::the_stream(), with_causes(&*error)));
            request::note(Outcome::Error);
            Step::End(error_event(&error.to_string(), name))
        }
    }
}

fn error_event(error: &str, error_type: &str) -> Bytes {
    // Strings always serialise.
    StreamItem::encode(&serde_json::json!({
        "error": error,
        "error_type": error_type,
        "message": "An error occurred during streaming",
    }))
    .unwrap_or_default()
    .into()
}

/// The last event of a stream that took too long.
pub(crate) fn late_event(late: &Late) -> Bytes {
    error_event(&late.to_string(), short_type_name::<TimedOut>())
}

/// The last event of a stream that panicked.
fn panicked() -> Bytes {
    request::note(Outcome::Panic);
    error_event("Internal server error", "panic")
}

/// Drops the stream, which runs user code too. The error is the event for a panic in it.
fn end<S>(mut stream: Pin<&mut Option<S>>) -> Result<(), Bytes> {
    panics::guard(|| stream.set(None)).map_err(|panic| {
        let what = format!("{}, when it was dropped,", request::the_stream());
        request::fail(Failure::panic(what, panic));
        panicked()
    })
}

/// The last part of a type's name: `HttpError` for `agentcore::error::HttpError`, and `Error` for a boxed error.
pub(crate) fn short_type_name<E>() -> &'static str {
    let name = std::any::type_name::<E>();
    let name = name.split('<').next().unwrap_or(name);
    match name.rsplit("::").next().unwrap_or(name) {
        "Box" => "Error",
        short => short,
    }
}

pin_project! {
    /// The body that sends a stream's items as events. Polled on the workers.
    pub(crate) struct SseBody<S: Stream> {
        // `None` once it has ended.
        #[pin]
        stream: Option<S>,
        step: fn(S::Item) -> Step,
        #[pin]
        keep_alive: Sleep,
        was_keep_alive: bool,
    }
}

impl<S: Stream> SseBody<S> {
    pub(crate) fn new(stream: S, step: fn(S::Item) -> Step) -> Self {
        Self {
            stream: Some(stream),
            step,
            keep_alive: sleep(KEEP_ALIVE),
            was_keep_alive: false,
        }
    }
}

impl<S: Stream> http_body::Body for SseBody<S> {
    type Data = Bytes;
    /// No frame is an error, since errors are events. With this type, frames need no conversion.
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        // `Serialize` is user code as much as the stream is, and may panic.
        *this.was_keep_alive = false;
        let step = panics::guard(|| stream.poll_next(cx).map(|item| item.map(this.step)));
        let bytes = match step {
            Ok(Poll::Ready(Some(Step::Send(bytes)))) => bytes,
            Ok(Poll::Ready(Some(Step::End(bytes)))) => {
                let _ = end(this.stream);
                bytes
            }
            Ok(Poll::Ready(None)) => match end(this.stream) {
                Ok(()) => return Poll::Ready(None),
                Err(last) => last,
            },
            Ok(Poll::Pending) => {
                if this.keep_alive.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                *this.was_keep_alive = true;
                Bytes::from_static(b": keep-alive\n\n")
            }
            Err(panic) => {
                request::fail(Failure::panic(request::the_stream(), panic));
                let _ = end(this.stream);
                panicked()
            }
        };
        this.keep_alive.reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }
}

impl<S: Stream + Send> Events for SseBody<S> {
    fn was_keep_alive(&self) -> bool {
        self.was_keep_alive
    }
}

impl<S: Stream> fmt::Debug for SseBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn text(item: &impl StreamItem) -> String {
        String::from_utf8(StreamItem::encode(item).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_value_is_one_data_line_of_json() {
        assert_eq!(text(&json!({"a": "x\ny"})), "data: {\"a\":\"x\\ny\"}\n\n");
        assert_eq!(text(&"ü"), "data: \"ü\"\n\n");
        assert_eq!(text(&f64::NAN), "data: null\n\n");
    }

    #[test]
    fn an_event_has_its_fields_in_order_and_every_line_of_its_text() {
        let event = Event::text("a\r\nb\rc\n")
            .id("7\n8")
            .event("token")
            .retry(Duration::from_millis(1500));
        assert_eq!(
            text(&event),
            "retry: 1500\nevent: token\nid: 7 8\ndata: a\ndata: b\ndata: c\ndata: \n\n"
        );
        assert_eq!(text(&Event::comment("still\nhere")), ": still\n: here\n\n");
    }

    fn ended(step: Step) -> Value {
        let Step::End(bytes) = step else {
            panic!("the stream goes on")
        };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = text
            .strip_prefix("data: ")
            .and_then(|rest| rest.strip_suffix("\n\n"));
        serde_json::from_str(json.expect("one event")).unwrap()
    }

    #[test]
    fn an_error_is_the_last_event_with_its_type() {
        let message = "An error occurred during streaming";
        assert_eq!(
            ended(fallible(Err::<(), _>(HttpError::new(429, "slow down")))),
            json!({"error": "slow down", "error_type": "HttpError", "message": message})
        );
        assert_eq!(
            ended(fallible(Err::<(), BoxError>("no".into())))["error_type"],
            "Error"
        );
    }

    #[test]
    fn an_item_that_cannot_be_serialised_is_a_whole_error_event() {
        let item = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(ended(plain(item))["error_type"], "SerializationError");
    }

    struct Script(Vec<Poll<Option<Result<u32, BoxError>>>>);

    impl Stream for Script {
        type Item = Result<u32, BoxError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            match self.0.is_empty() {
                true => panic!("polled behind its end"),
                false => self.0.remove(0),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let pending = || Poll::Pending;
        let script = Script(vec![
            Poll::Ready(Some(Ok(1))),
            pending(),
            pending(),
            Poll::Ready(None),
        ]);
        let began = Instant::now();
        let mut body = Box::pin(SseBody::new(script, fallible));
        let mut next = async || {
            body.frame()
                .await
                .map(|frame| frame.unwrap().into_data().unwrap())
        };
        assert_eq!(next().await.unwrap(), "data: 1\n\n");
        assert_eq!(next().await.unwrap(), ": keep-alive\n\n");
        assert_eq!(began.elapsed(), KEEP_ALIVE);
        assert_eq!(next().await, None);
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn a_panic_is_the_last_event() {
        let mut body = Box::pin(SseBody::new(
            Script(vec![Poll::Ready(Some(Ok(1)))]),
            fallible,
        ));
        assert!(body.frame().await.is_some());
        let last = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(String::from_utf8_lossy(&last).contains("\"error_type\":\"panic\""));
        assert!(body.frame().await.is_none());
    }

    proptest! {
        /// Whatever the text is, a client that splits by the rules gets its lines back, and never a second event.
        #[test]
        fn no_text_breaks_out_of_its_event(data in ".*", id in ".*", name in ".*") {
            let text = text(&Event::text(data.clone()).id(id).event(name));
            let (event, rest) = text.split_once("\n\n").expect("a blank line");
            prop_assert_eq!(rest, "");
            let got: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            prop_assert_eq!(got, lines(&data).collect::<Vec<_>>());
            prop_assert!(!text.contains('\r'));
        }
    }
}
