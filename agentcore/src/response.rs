//! Replies: [`Response`], what can become one ([`IntoResponse`]), and the JSON wrapper [`Json`].

use std::fmt;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_core::Serialize;

use crate::body::{Body, Limits, Settled, detach};
use crate::context;
use crate::error::{BoxError, ErrorBody, with_causes};
use crate::panics;
use crate::sse::{self, SseBody, StreamItem};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a handler may not say.
const FRAMING: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
];

/// A reply that a handler builds at run time.
///
/// A handler that always answers with JSON has no need of it: it returns the value. Converts from and into
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
// Boxed: it is handed from function to function, often inside a `Result`.
pub struct Response(Box<http::Response<Body>>);

impl Response {
    /// 200 with `value` as JSON; 500 if it cannot be serialised.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let mut json = Buffer::new();
        match serde_json::to_writer(&mut json, value) {
            Ok(()) => Self::with_body(JSON, Body::memory(json.0)),
            Err(error) => Self::error("the reply cannot be serialised to JSON")
                .with_status(StatusCode::INTERNAL_SERVER_ERROR)
                .with_failure(&error),
        }
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
    /// Up to 16 KiB are copied before they are sent. Of more than that, what they are made of, such as the owner of
    /// [`Bytes::from_owner`], is dropped on the runtime's blocking pool once they have been sent. The invocation is in
    /// progress until then.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::with_body(
            HeaderValue::from_static("application/octet-stream"),
            Body::from(bytes),
        )
    }

    /// 200 with the items of `stream` as [server-sent events](crate::sse), each sent as soon as it is there.
    pub fn stream<S>(stream: S) -> Self
    where
        S: Stream<Item: StreamItem> + Send + 'static,
    {
        Self::events(SseBody::new(stream, sse::plain))
    }

    /// As [`stream`](Self::stream), for a stream that may fail: an error becomes the last event.
    ///
    /// The error is a [`BoxError`], so that `?` in a [`try_stream!`](crate::try_stream) takes any.
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
    pub fn with_status(mut self, status: impl TryInto<StatusCode>) -> Self {
        *self.0.status_mut() = status
            .try_into()
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self
    }

    /// Sets a header, replacing what it held.
    ///
    /// # Panics
    ///
    /// When `name` or `value` is not a valid header, as [`http::HeaderMap`]'s `from_static` constructors do.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
        V: TryInto<HeaderValue, Error: fmt::Debug>,
    {
        let name = name.try_into().expect("a valid header name");
        let value = value.try_into().expect("a valid header value");
        self.0.headers_mut().insert(name, value);
        self
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

    /// The body's bytes, unless it is produced while it is sent.
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

    /// `{"error": .., "details": ..}` with `status`, and the JSON path where there is one.
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

    /// Remembers the error behind the reply, for the log.
    pub(crate) fn with_failure(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.0.extensions_mut().insert(Failure(with_causes(error)));
        self
    }

    /// The error behind the reply, with its causes.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.0
            .extensions()
            .get::<Failure>()
            .map(|failure| failure.0.as_str())
    }

    /// The same reply with `value` as its body.
    pub(crate) fn with_json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let Self(json) = Self::json(value);
        let (parts, body) = json.into_parts();
        self.0.headers_mut().extend(parts.headers);
        *self.0.body_mut() = body;
        self
    }

    /// Settles the body: see [`Body::settle`].
    pub(crate) async fn settled(mut self, limits: Limits) -> Self {
        let body = std::mem::take(self.0.body_mut());
        *self.0.body_mut() = body.settle(limits, context::hold).await;
        self
    }

    /// Takes out what is the server's to say, and what the user's code may still own. A handler that says how its body is
    /// framed, or what the connection does, would make one reply run into the next. Informational statuses are no replies.
    /// Nothing reads extensions from here on.
    pub(crate) fn into_outgoing(mut self) -> Outgoing {
        if self.0.status().is_informational() {
            tracing::error!("a reply cannot have the status {}", self.0.status());
            self = Self::error("Internal server error").with_status(500);
        }
        // Most replies say nothing of the kind, and looking is cheaper than trying to remove.
        if self.headers().keys().any(|name| FRAMING.contains(name)) {
            FRAMING.iter().for_each(|name| {
                self.0.headers_mut().remove(name);
            });
        }
        let (mut parts, body) = self.into_parts();
        if !parts.extensions.is_empty() {
            let extensions = std::mem::take(&mut parts.extensions);
            panics::drop_caught(extensions, "an extension of a reply");
        }
        detach::headers(&mut parts.headers);
        Outgoing {
            parts,
            body: body.into_settled(context::hold),
        }
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

/// A reply that may leave the workers: nothing of it is the user's any more.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) parts: http::response::Parts,
    pub(crate) body: Settled,
}

/// What JSON is written into. A vector that grows is moved on the way, and its old place may stay with the allocator: one
/// that doubles from nothing to 50 MB can take as much again.
struct Buffer(Vec<u8>);

impl Buffer {
    /// As large as most replies.
    const FIRST: usize = 512;
    /// From here on it grows faster than by doubling. What it does not write to, it does not occupy.
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
            // One large text, too, has something behind it.
            let more = length.saturating_mul(Self::FACTOR);
            let more = more.max(bytes.saturating_add(Self::LARGE));
            if self.0.try_reserve_exact(more).is_ok() {
                return;
            }
        }
        // A long text has something behind it, at least a quote.
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

/// What stands behind an error reply: the error's text and its causes'.
#[derive(Clone)]
struct Failure(String);

impl<B> From<http::Response<B>> for Response
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn from(response: http::Response<B>) -> Self {
        Self(Box::new(response.map(Body::new)))
    }
}

impl From<Response>
    for http::Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>
{
    fn from(response: Response) -> Self {
        response.0.map(Body::into_boxed)
    }
}

/// What can be a reply with a status, headers and a body of its own.
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

/// A value as JSON, where a type has to say so: in [`App`](crate::App) handlers, as payload and as reply.
///
/// Annotated functions take and return plain values.
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
        Response::json(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What the places that a buffer has left behind take together, and its last one.
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
        // Doubling leaves as much as there is.
        assert!(left < 16 << 20, "{left}");
        // As a text with something behind it.
        let (left, buffer) = places([vec![b'"'], vec![b'x'; 50_000_000], vec![b'"']]);
        assert_eq!(left, Buffer::FIRST);
        assert!(buffer.0.capacity() < 52 << 20);
    }

    #[test]
    fn a_small_reply_takes_little() {
        let (_, buffer) = places((0..600).map(|_| vec![b'x'; 1000]));
        assert!(buffer.0.capacity() < 2 << 20);
    }
}
