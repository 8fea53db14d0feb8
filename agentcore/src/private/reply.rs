//! Decides what an entrypoint's value and error become on the wire.
//!
//! A value is [`IntoResponse`], or else a `Stream` of `Result`s, or else another `Stream`, or else JSON. The number of `&`s
//! before the probe tells these four choices apart: the first choice has the most.
//!
//! An error is [`IntoResponse`], which chooses its own status, or else converts into [`BoxError`], but is not the server's own.
//!
//! [`BoxError`]: crate::BoxError

use futures_core::Stream;

use super::bounds::{ErrorReply, OwnError};
use super::probe::{Probe, choice};
use crate::error::Error;
use crate::handler::response::{IntoResponse, Response};
use crate::handler::sse::{self, SseBody, StreamItem};

// First choice for a value: the type implements `IntoResponse`.
choice! { ResponseProbe(__agentcore_reply -> ResponseTag) for [T: IntoResponse] &&&Probe<T> }

// Second choice for a value: a stream that may fail.
choice! { TryStreamProbe(__agentcore_reply -> TryStreamTag) for [S: Stream<Item = Result<T, E>>, T, E] &&Probe<S> }

// Third choice for a value: a stream.
choice! { StreamProbe(__agentcore_reply -> StreamTag) for [S: Stream] &Probe<S> }

// Last choice for a value: it is serialised as JSON.
choice! { JsonProbe(__agentcore_reply -> JsonTag) for [T] Probe<T> }

// First choice for an error: the type implements `IntoResponse`.
choice! { FailureResponseProbe(__agentcore_failure -> ResponseTag) for [E: IntoResponse] &&Probe<E> }

// Second choice for an error: the server's own [`Error`]. It has a text, but a handler must not return it: no `?` converts
// into it.
choice! { OwnErrorProbe(__agentcore_failure -> OwnErrorTag) for [] &Probe<Error> }

// Last choice for an error: it converts into a `BoxError`.
choice! { ErrorProbe(__agentcore_failure -> ErrorTag) for [E] Probe<E> }

pub struct ResponseTag;

impl ResponseTag {
    pub fn __agentcore_respond<T: IntoResponse>(self, value: T) -> Response {
        value.into_response()
    }
}

pub struct TryStreamTag;

impl TryStreamTag {
    pub fn __agentcore_respond<S, T, E>(self, stream: S) -> Response
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: StreamItem,
        ErrorTag: ErrorReply<E>,
    {
        Response::events(SseBody::new(stream, |item: Result<T, E>| {
            sse::item_or_error(item.map_err(|error| {
                let error = ErrorTag.__agentcore_boxed(error);
                (error, sse::short_type_name::<E>())
            }))
        }))
    }
}

pub struct StreamTag;

impl StreamTag {
    pub fn __agentcore_respond<S>(self, stream: S) -> Response
    where
        S: Stream<Item: StreamItem> + Send + 'static,
    {
        Response::returned_stream(stream)
    }
}

/// The tag of a JSON reply. [`JsonReply`](super::bounds::JsonReply) has its `__agentcore_respond`.
pub struct JsonTag;

/// The tag of an error with a text. [`ErrorReply`] has its `__agentcore_respond`.
pub struct ErrorTag;

pub struct OwnErrorTag;

impl OwnErrorTag {
    /// Never compiles, because no type satisfies the bound. The message of the bound says what to return instead.
    pub fn __agentcore_respond<E: OwnError>(self, _: E) -> Response {
        unreachable!("nothing implements `OwnError`")
    }
}
