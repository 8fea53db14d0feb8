//! Replies: [`Response`], the types that can become one ([`IntoResponse`]), and the JSON wrapper [`Json`].

use std::fmt;
use std::panic::Location;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use serde_core::Serialize;

use crate::error::{BoxError, with_causes};
use crate::handler::body::{Body, Limits, Settled};
use crate::handler::sse::{self, NotAResult, SseBody, StreamItem};
use crate::report::Rejection;
use crate::report::panics::{self, Panic};
use crate::request;
use crate::request::detach;
use crate::tasks::{self, TaskResult};
use crate::util::fields::fields;
use crate::util::json;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The headers that a handler may not set.
const FRAMING: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::UPGRADE,
];

/// The JSON of every error that the server itself answers with. It is a struct, so that its keys keep this order.
pub(crate) struct ErrorBody<'a> {
    pub(crate) error: &'a str,
    pub(crate) details: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

fields! { ErrorBody<'a> { error, details?, path? } }

/// A reply that a handler builds at run time.
///
/// A handler that always answers with JSON does not need it: it returns the value. Converts from and into
/// [`http::Response`].
///
/// ```
/// use agentcore::Response;
/// use serde_json::{Value, json};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: Value) -> Response {
///     match event["format"].as_str() {
///         Some("text") => Response::text("hello"),
///         _ => Response::json(&json!({ "message": "hello" })).with_header("x-cache", "miss"),
///     }
/// }
/// ```
#[derive(Debug, Default)]
#[must_use]
// Boxed, because it is passed from function to function, often inside a `Result`.
pub struct Response(Box<http::Response<Body>>);

impl Response {
    /// 200 with `value` as JSON.
    ///
    /// The reply is a 500 when `value` cannot be serialised, and when it is a [`Result`]: that would be sent as
    /// `{"Ok":..}` or `{"Err":..}`, with status 200 in both cases. The log says why, and names the line of the call.
    /// A `Result` in a field or a list of `value` is serialised as usual.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let caller = Location::caller();
        Self::try_json(value).unwrap_or_else(|error| Self::not_json(&error, Some(caller)))
    }

    /// Like [`json`](Self::json), for a value that the handler has returned: there is no call whose line could be logged.
    pub(crate) fn returned<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::try_json(value).unwrap_or_else(|error| Self::not_json(&error, None))
    }

    fn try_json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        let mut buffer = Buffer::new();
        json::to_writer(&mut buffer, value)?;
        Ok(Self::with_body(JSON, Body::memory(buffer.0)))
    }

    #[cold]
    fn not_json(why: &dyn fmt::Display, caller: Option<&Location<'_>>) -> Self {
        Self::error("the reply cannot be serialised to JSON").failed(why, caller)
    }

    /// Turns the reply into a final 500 for a mistake in the program, with its reason for the log.
    fn failed(mut self, why: &dyn fmt::Display, caller: Option<&Location<'_>>) -> Self {
        *self.0.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        self.0.extensions_mut().insert(Failure {
            text: match caller {
                Some(caller) => format!("{why} (at {caller})"),
                None => why.to_string(),
            },
            is_final: true,
        });
        self
    }

    /// 200 with `text` as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::with_body(
            HeaderValue::from_static("text/plain; charset=utf-8"),
            Body::memory(text.into()),
        )
    }

    /// 200 with `bytes` as `application/octet-stream`.
    ///
    /// Up to 16 KiB are copied before they are sent. The owner of a larger buffer, such as that of [`Bytes::from_owner`], is
    /// dropped on the runtime's blocking pool once the bytes have been sent. The invocation is in progress until then.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::with_body(
            HeaderValue::from_static("application/octet-stream"),
            Body::from(bytes.into()),
        )
    }

    /// 200 with the items of `stream` as [server-sent events](crate::sse), each sent as soon as it is ready.
    ///
    /// Pass a stream of `Result`s to [`try_stream`](Self::try_stream). Here its items would be sent as `{"Ok":..}` and
    /// `{"Err":..}`, so it does not compile: rustc says "type annotations needed" (E0283), because the type parameter, which it
    /// finds by itself for all other items, has two meanings for a `Result`. Behind an `impl Serialize` the compiler does
    /// not see that an item is a `Result`. Then the reply is a 500, before anything is sent, and the log names the line of
    /// the call.
    ///
    /// ```compile_fail,E0283
    /// use agentcore::{Response, stream};
    ///
    /// Response::stream(stream! { yield "12".parse::<u32>().map_err(|error| error.to_string()); });
    /// ```
    // The type parameter and the trait are what rustc's message consists of. Because the argument is an `impl Trait`, rustc
    // does not advise to write the parameter at the call.
    #[track_caller]
    pub fn stream<ResultsGoIntoTryStream>(
        stream: impl Stream<Item: StreamItem + NotAResult<ResultsGoIntoTryStream>> + Send + 'static,
    ) -> Self {
        Self::stream_from(stream, Some(Location::caller()))
    }

    /// Like [`stream`](Self::stream), for a stream that the handler has returned.
    pub(crate) fn returned_stream<S>(stream: S) -> Self
    where
        S: Stream<Item: StreamItem> + Send + 'static,
    {
        Self::stream_from(stream, None)
    }

    fn stream_from<S>(stream: S, caller: Option<&Location<'_>>) -> Self
    where
        S: Stream<Item: StreamItem> + Send + 'static,
    {
        if json::is_result::<S::Item>() {
            return Self::not_json(&json::IS_A_RESULT, caller);
        }
        Self::events(SseBody::new(stream, sse::plain))
    }

    /// Like [`stream`](Self::stream), for a stream that may fail: an error becomes the last event.
    ///
    /// The error is a [`BoxError`], so that `?` in a [`try_stream!`](crate::try_stream) accepts any error.
    pub fn try_stream<S, T>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, BoxError>> + Send + 'static,
        T: StreamItem,
    {
        Self::events(SseBody::new(stream, sse::fallible))
    }

    pub(crate) fn events<S: Stream + Send + 'static>(body: SseBody<S>) -> Self {
        let mut response = http::Response::new(Body::events(body));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Self(Box::new(response))
    }

    /// Sets the status; 500 for a number outside 100–999.
    ///
    /// A reply that is a 500 because of [`json`](Self::json), [`stream`](Self::stream) or [`with_header`](Self::with_header)
    /// stays a 500.
    pub fn with_status(self, status: impl TryInto<StatusCode>) -> Self {
        if self.is_failed() {
            return self;
        }
        let status = status.try_into();
        self.set_status(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Sets the status of any reply.
    pub(crate) fn set_status(mut self, status: StatusCode) -> Self {
        *self.0.status_mut() = status;
        self
    }

    /// Sets a header, and replaces its earlier values.
    ///
    /// Use it for names and values that the program chooses. If one is not valid, such as a value with a line break, the reply
    /// becomes a 500, and the log names the header and the line of the call, but not the value. For a value that comes from a
    /// user, use [`try_with_header`](Self::try_with_header).
    #[track_caller]
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let caller = Location::caller();
        let wrong = match parse_header(name, value) {
            Ok((name, value)) => {
                self.0.headers_mut().insert(name, value);
                return self;
            }
            Err((None, error)) => format!("a reply's header has a name that is not valid: {error}"),
            Err((Some(name), error)) => {
                format!("the value of a reply's header `{name}` is not valid: {error}")
            }
        };
        Self::error("Internal server error").failed(&wrong, Some(caller))
    }

    /// Sets a header as [`with_header`](Self::with_header) does, and returns an error if the name or the value is not valid.
    ///
    /// ```
    /// use agentcore::{HttpError, Response};
    ///
    /// fn greet(language: &str) -> Result<Response, HttpError> {
    ///     Response::text("hello")
    ///         .try_with_header("content-language", language)
    ///         .map_err(|_| HttpError::new(400, "`language` has characters that it cannot have"))
    /// }
    /// assert_eq!(greet("en").unwrap().headers()["content-language"], "en");
    /// assert_eq!(greet("en\r\nset-cookie: a=b").unwrap_err().status(), 400);
    /// ```
    ///
    /// # Errors
    ///
    /// If `name` or `value` is not valid. A value may contain visible ASCII characters, spaces, tabs, and bytes above 127.
    pub fn try_with_header<N, V>(mut self, name: N, value: V) -> Result<Self, http::Error>
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let (name, value) = parse_header(name, value).map_err(|(_, error)| error)?;
        self.0.headers_mut().insert(name, value);
        Ok(self)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &http::HeaderMap {
        self.0.headers()
    }

    /// The body's bytes; `None` if the body is produced while it is sent.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.0.body().as_bytes()
    }

    fn with_body(content_type: HeaderValue, body: Body) -> Self {
        let mut response = http::Response::new(body);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        Self(Box::new(response))
    }

    /// `{"error": message}`; the caller sets the status.
    pub(crate) fn error(message: impl AsRef<str>) -> Self {
        Self::json(&ErrorBody {
            error: message.as_ref(),
            details: None,
            path: None,
        })
    }

    /// `{"error": .., "details": ..}` with `status`, and with the JSON path if there is one.
    pub(crate) fn rejection(
        status: StatusCode,
        error: &str,
        details: &str,
        path: Option<&str>,
    ) -> Self {
        Self::json(&ErrorBody {
            error,
            details: Some(details),
            path,
        })
        .with_status(status)
    }

    /// Stores the error behind the reply, for the log.
    pub(crate) fn with_failure(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        if !self.is_failed() {
            self.0.extensions_mut().insert(Failure {
                text: with_causes(error),
                is_final: false,
            });
        }
        self
    }

    /// Stores the reason of a rejection, for the invocation's line.
    pub(crate) fn with_rejection(mut self, rejection: Rejection) -> Self {
        self.0.extensions_mut().insert(rejection);
        self
    }

    /// Why the library has rejected the request, if it has.
    pub(crate) fn why_rejected(&self) -> Option<&Rejection> {
        self.0.extensions().get()
    }

    /// The error behind the reply, with its causes.
    pub(crate) fn failure(&self) -> Option<&str> {
        let failure = self.0.extensions().get::<Failure>();
        failure.map(|failure| failure.text.as_str())
    }

    /// Whether the reply has [failed](Self::failed).
    fn is_failed(&self) -> bool {
        let failure = self.0.extensions().get::<Failure>();
        failure.is_some_and(|failure| failure.is_final)
    }

    /// Replaces the body by `value` as JSON.
    pub(crate) fn with_json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let Self(json) = Self::json(value);
        let (parts, body) = json.into_parts();
        self.0.headers_mut().extend(parts.headers);
        *self.0.body_mut() = body;
        self
    }

    /// The reply without a header.
    pub(crate) fn without_header(mut self, name: &HeaderName) -> Self {
        self.0.headers_mut().remove(name);
        self
    }

    /// Settles the body: see [`Body::settle`].
    pub(crate) async fn settled(self, limits: Limits) -> Self {
        let mut this = self.without_informational();
        let body = std::mem::take(this.0.body_mut());
        *this.0.body_mut() = body.settle(limits, request::hold).await;
        this
    }

    /// An error in place of an informational status, which is not that of a reply. 101 is one if the server can upgrade the
    /// connection.
    fn without_informational(self) -> Self {
        let status = self.0.status();
        let is_switching = self.0.extensions().get::<Switching>().is_some();
        if !status.is_informational() || is_switching {
            return self;
        }
        let error = BoxError::from(format!("a reply cannot have the status {status}"));
        Self::error("Internal server error")
            .with_status(500)
            .with_failure(&*error)
    }

    /// Gives a streamed body the length that the headers announce. The length of a reply that has no body is that of another one.
    /// For replies of services, which send files or pass on what they get.
    pub(crate) fn with_announced_length(mut self) -> Self {
        let has_body = !matches!(
            self.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if let Some(length) = announced_length(self.headers()).filter(|_| has_body) {
            let body = std::mem::take(self.0.body_mut());
            *self.0.body_mut() = body.of_length(length);
        }
        self
    }

    /// Makes this the reply to a `HEAD` request: it has the headers of a reply with a body, and no body.
    pub(crate) fn without_body(mut self) -> Self {
        let body = std::mem::take(self.0.body_mut());
        let length = http_body::Body::size_hint(&body).exact();
        if let Some(length) = length.filter(|length| *length > 0) {
            let headers = self.0.headers_mut();
            headers
                .entry(header::CONTENT_LENGTH)
                .or_insert_with(|| length.into());
        }
        self.0.extensions_mut().insert(WithoutBody);
        self
    }

    /// Makes this a reply with status 101 that may be sent. The server can upgrade the connection of the request.
    pub(crate) fn switching(mut self) -> Self {
        self.0.extensions_mut().insert(Switching);
        *self.0.body_mut() = Body::default();
        self
    }

    /// The reply without its reasons for the log, which has them already.
    pub(crate) fn without_reasons(mut self) -> Self {
        self.0.extensions_mut().remove::<Failure>();
        self.0.extensions_mut().remove::<Rejection>();
        self
    }

    /// Removes what only the server may set, and detaches what user code may still own. A handler that sets the framing of its
    /// body, or options of the connection, would make one reply run into the next. Extensions are dropped, because nothing reads
    /// them from here on.
    pub(crate) fn into_outgoing(self) -> Outgoing {
        let mut this = self.without_informational();
        let switching = this.0.extensions_mut().remove::<Switching>();
        // Most replies have none of these headers, and a check is cheaper than removals.
        if this.headers().keys().any(|name| FRAMING.contains(name)) {
            let without_body = this.0.extensions_mut().remove::<WithoutBody>();
            let has_no_body = this.body().is_some_and(<[u8]>::is_empty);
            let length = announced_length(this.headers()).filter(|_| has_no_body);
            let upgrade = this.0.headers_mut().remove(header::UPGRADE);
            let headers = this.0.headers_mut();
            FRAMING.iter().for_each(|name| {
                headers.remove(name);
            });
            if let (Some(protocol), Some(Switching)) = (upgrade, switching) {
                headers.insert(header::UPGRADE, protocol);
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
            if let (Some(length), Some(WithoutBody)) = (length, without_body) {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
        }
        let (mut parts, body) = this.into_parts();
        // hyper would panic at a version that it does not speak, and tells the end of a body by that of the connection in 1.0.
        parts.version = Version::HTTP_11;
        if !parts.extensions.is_empty() {
            let extensions = std::mem::take(&mut parts.extensions);
            panics::drop_caught(extensions, "an extension of a reply");
        }
        detach::headers(&mut parts.headers);
        Outgoing::from_parts(parts, body.into_settled(request::hold))
    }

    pub(crate) fn from_http(response: http::Response<Body>) -> Self {
        Self(Box::new(response))
    }

    pub(crate) fn into_http(self) -> http::Response<Body> {
        *self.0
    }

    pub(crate) fn into_parts(self) -> (http::response::Parts, Body) {
        self.0.into_parts()
    }
}

/// The length that the headers announce; `None` if it is not one number.
fn announced_length(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// An extension of a reply to a `HEAD` request. Its `content-length` is that of the body which it would have.
#[derive(Clone, Copy)]
struct WithoutBody;

/// An extension of a reply with status 101. It says that the server can upgrade the connection.
#[derive(Clone, Copy)]
struct Switching;

/// A reply that may leave the workers: user code owns no part of it.
pub(crate) type Outgoing = http::Response<Settled>;

/// The buffer that JSON is written into. A vector that grows is moved, and its old memory may stay with the allocator: one that
/// doubles from nothing to 50 MB can take as much again.
struct Buffer(Vec<u8>);

impl Buffer {
    /// The first capacity in bytes, enough for most replies.
    const FIRST: usize = 512;
    /// The length in bytes from which it grows faster than by doubling. Memory that is not written to is not occupied.
    const LARGE: usize = 1 << 20;
    const FACTOR: usize = 8;
    const BEHIND: usize = 256;

    fn new() -> Self {
        Self(Vec::with_capacity(Self::FIRST))
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let length = self.0.len();
        if length.saturating_add(bytes) >= Self::LARGE {
            // Even one large text is followed by more.
            let more = length.saturating_mul(Self::FACTOR);
            let more = more.max(bytes.saturating_add(Self::LARGE));
            if self.0.try_reserve_exact(more).is_ok() {
                return;
            }
        }
        // A long text is followed by more, at least by a quote.
        self.0.reserve(bytes.saturating_add(Self::BEHIND));
    }
}

impl std::io::Write for Buffer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.len() > self.0.capacity() - self.0.len() {
            self.grow(bytes.len());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A valid header, or the name whose value is not valid.
fn parse_header<N, V>(
    name: N,
    value: V,
) -> Result<(HeaderName, HeaderValue), (Option<HeaderName>, http::Error)>
where
    N: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
{
    let name = name.try_into().map_err(|error| (None, error.into()))?;
    match value.try_into() {
        Ok(value) => Ok((name, value)),
        Err(error) => Err((Some(name), error.into())),
    }
}

/// The error behind a reply, for the log.
#[derive(Clone)]
struct Failure {
    /// The texts of the error and its causes.
    text: String,
    /// The program made a mistake, so the handler can no longer choose the status.
    is_final: bool,
}

impl<B> From<http::Response<B>> for Response
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from(response: http::Response<B>) -> Self {
        Self(Box::new(response.map(Body::new)))
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        response.into_http()
    }
}

/// A type that can be a reply with its own status, headers and body.
///
/// A handler may return any `T: IntoResponse`, or a `Result` of one; an error type that implements it chooses its own
/// status. Types that should simply become JSON implement [`serde::Serialize`](serde_core::Serialize) instead.
///
/// ```
/// use agentcore::{IntoResponse, Response};
///
/// enum Failure {
///     NotFound(String),
///     Overloaded,
/// }
///
/// impl IntoResponse for Failure {
///     fn into_response(self) -> Response {
///         match self {
///             Self::NotFound(what) => Response::text(format!("no {what}")).with_status(404),
///             Self::Overloaded => Response::text("later").with_status(503).with_header("retry-after", "2"),
///         }
///     }
/// }
/// assert_eq!(Failure::Overloaded.into_response().status(), 503);
/// assert_eq!(Failure::NotFound("tea".into()).into_response().body(), Some(&b"no tea"[..]));
/// ```
pub trait IntoResponse {
    /// Makes the reply.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<B> IntoResponse for http::Response<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn into_response(self) -> Response {
        self.into()
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl IntoResponse for std::convert::Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

/// A value as JSON, for types that have to say so: in [`App`](crate::App) handlers, as payload and as reply.
///
/// Annotated functions take and return plain values. A `Json` of a [`Result`] is answered with 500, as by
/// [`Response::json`]: return a `Result` of a `Json` instead.
///
/// ```
/// use agentcore::{App, Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Question { text: String }
/// #[derive(Serialize)]
/// struct Answer { length: usize }
///
/// let app = App::new().entrypoint("count", async |Json(question): Json<Question>| {
///     Json(Answer { length: question.text.len() })
/// });
/// # let _ = app;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::returned(&self.0)
    }
}

/// The reply to a panic. It tells the caller nothing of the panic.
pub(crate) fn internal_error() -> Response {
    Response::error("Internal server error").with_status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The reply of code that has panicked.
pub(crate) fn panic_response(panic: &Panic) -> Response {
    match panic.limit() {
        Some(_) => Response::error(panic.message()).with_status(StatusCode::GATEWAY_TIMEOUT),
        None => internal_error(),
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> TaskResult for Json<T> {}

impl<T: Serialize> tasks::ToText for Json<T> {
    fn to_text(&self) -> tasks::Finished {
        tasks::to_json(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Writes `texts`. Returns the total capacity of the places that the buffer has left behind, and the buffer.
    fn places(texts: impl IntoIterator<Item = Vec<u8>>) -> (usize, Buffer) {
        let (mut buffer, mut left) = (Buffer::new(), 0);
        for text in texts {
            let before = buffer.0.capacity();
            buffer.write_all(&text).unwrap();
            if buffer.0.capacity() != before {
                left += before;
            }
        }
        (left, buffer)
    }

    #[test]
    fn a_large_reply_leaves_little_behind_where_it_grew() {
        let (left, buffer) = places((0..50_000).map(|_| vec![b'x'; 1000]));
        assert_eq!(buffer.0.len(), 50_000_000);
        // Doubling would leave as much behind as the reply is long.
        assert!(left < 16 << 20, "{left}");
        // A text that is followed by more.
        let (left, buffer) = places([vec![b'"'], vec![b'x'; 50_000_000], vec![b'"']]);
        assert_eq!(left, Buffer::FIRST);
        assert!(buffer.0.capacity() < 52 << 20);
    }

    #[test]
    fn a_small_reply_takes_little() {
        let (_, buffer) = places((0..600).map(|_| vec![b'x'; 1000]));
        assert!(buffer.0.capacity() < 2 << 20);
    }

    /// The text for the log of a reply that is a 500.
    fn failure(response: Response) -> String {
        assert_eq!(response.status(), 500);
        let response = response.with_status(200);
        assert_eq!(response.status(), 500, "it stays one");
        assert_eq!(
            response.body(),
            Some(&br#"{"error":"the reply cannot be serialised to JSON"}"#[..])
        );
        response.failure().expect("a reason").to_owned()
    }

    #[test]
    fn a_result_is_no_json() {
        let outcomes: [Result<u32, String>; 2] = [Ok(1), Err("no".to_owned())];
        for outcome in outcomes {
            let (line, at_the_call) = (line!(), failure(Response::json(&outcome)));
            let (what, place) = at_the_call.rsplit_once(" (at ").unwrap();
            assert_eq!(what, json::IS_A_RESULT);
            assert!(
                place.starts_with(&format!("{}:{line}:", file!())),
                "{place}"
            );
            assert_eq!(failure(Json(&outcome).into_response()), json::IS_A_RESULT);
            let within = Response::json(&[outcome]);
            assert_eq!(within.status(), 200);
        }
    }

    #[test]
    fn a_header_that_is_not_valid_is_a_500_for_good_and_the_log_has_its_name_and_line() {
        let with = |name: &str, value: &str| {
            let response = Response::text("x")
                .with_header("x-first", "1")
                .with_header(name, value);
            (response, line!() - 1)
        };
        assert_eq!(with("x-title", "b").0.headers()["x-title"], "b");
        for (name, value, expected) in [
            (
                "x-title",
                "a secret\r\n",
                "the value of a reply's header `x-title` is not valid",
            ),
            (
                "x title",
                "a secret",
                "a reply's header has a name that is not valid",
            ),
        ] {
            let (response, line) = with(name, value);
            let response = response.with_status(201).with_header("x-last", "2");
            assert_eq!(response.status(), 500);
            assert_eq!(
                response.body(),
                Some(&br#"{"error":"Internal server error"}"#[..])
            );
            let failure = response.failure().unwrap();
            assert!(failure.starts_with(expected), "{failure}");
            assert!(
                failure.contains(&format!("(at {}:{line}:", file!())),
                "{failure}"
            );
            assert!(!failure.contains("secret"), "{failure}");
            let tried = Response::text("x").try_with_header(name, value);
            assert!(tried.is_err());
        }
    }
}
