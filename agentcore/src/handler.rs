//! The user's code: its arguments, the call, and its replies.
//!
//! This file has [`Handler`], which lets plain functions and closures be entrypoints without macros.

pub(crate) mod body;
mod debug_actions;
pub(crate) mod extract;
pub(crate) mod hook;
pub(crate) mod http_error;
pub(crate) mod invoke;
#[cfg(feature = "durable")]
mod job_error;
pub(crate) mod layer;
pub(crate) mod ping;
pub(crate) mod response;
pub(crate) mod routes;
pub mod sse;
pub(crate) mod state;
pub(crate) mod stream_macro;

use std::future::Future;

use futures_core::Stream;

use crate::error::BoxError;
use crate::handler::extract::{FromInvocation, Invocation, Requirements};
use crate::handler::http_error::error_response;
use crate::handler::response::{IntoResponse, Response};
use crate::handler::sse::{SseBody, StreamItem};
use crate::request::blocking;
use crate::util::sealed::{Awaited, Blocking, Seal};

/// A function or closure that [`App::entrypoint`](crate::App::entrypoint) takes.
///
/// Implemented for functions of up to six arguments, `async` or not. Each argument is a [`FromInvocation`] (the payload is
/// [`Json<T>`](crate::Json)), and they return a [`HandlerReply`]. A function that is not `async` runs on the blocking pool.
/// `Args` is inferred. The trait is sealed.
///
/// ```
/// use agentcore::{App, BoxError, Json};
/// use serde_json::{Value, json};
///
/// async fn double(Json(number): Json<i64>) -> Result<Json<Value>, BoxError> {
///     Ok(Json(json!({ "doubled": number.checked_mul(2).ok_or("too large")? })))
/// }
///
/// fn hash(Json(text): Json<String>) -> Json<u32> {
///     Json(text.bytes().fold(0, |hash, byte| hash.rotate_left(5) ^ u32::from(byte)))
/// }
///
/// let app = App::new().entrypoint("double", double);
/// let app = App::new().entrypoint("hash", hash);
/// # let _ = app;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an entrypoint",
    note = "an entrypoint is a function whose arguments implement `FromInvocation` (the payload as `Json<T>`), and whose \
            result is a `HandlerReply`: `Json<T>`, a `Response`, a `Stream`, or a `Result` of these whose error is \
            `BoxError` or another `IntoResponse`"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// What the arguments need from the app.
    #[doc(hidden)]
    fn requires(requirements: &mut Requirements, seal: Seal);

    /// Makes the arguments, calls the function and makes the reply.
    #[doc(hidden)]
    fn call(
        self,
        invocation: Invocation,
        seal: Seal,
    ) -> impl Future<Output = Response> + Send + 'static;
}

/// What a [`Handler`] returns. `Kind` is inferred; the trait is sealed.
///
/// | type | reply |
/// | --- | --- |
/// | anything [`IntoResponse`]: [`Json<T>`](crate::Json), [`Response`], `http::Response<B>` | its own reply |
/// | a `Stream` of [`StreamItem`]s | [server-sent events](crate::sse) |
/// | a `Stream` of `Result<T, E>`, where `E` converts into [`BoxError`] | server-sent events; an error is the last event |
/// | a `Result` of one of these and an error that is [`IntoResponse`], such as [`BoxError`] and [`HttpError`](crate::HttpError) | for an error: its own reply |
///
/// The items of a stream are `Result`s or can be serialised. `Result<T, String>` is both, since serde serialises a `Result`, so
/// the compiler asks for type annotations. Use [`BoxError`] as the error then.
///
/// ```
/// use agentcore::{BoxError, HandlerReply, HttpError, Json, stream, try_stream};
/// use futures_core::Stream;
///
/// fn lines(path: &'static str) -> impl Stream<Item = Result<String, BoxError>> {
///     try_stream! {
///         for line in std::fs::read_to_string(path)?.lines() {
///             yield line.to_owned();
///         }
///     }
/// }
///
/// fn check<Kind, R: HandlerReply<Kind>>(_: R) {}
/// check(Json(1));
/// check(Ok::<_, HttpError>(Json("one")));
/// check(stream! { yield 1; });
/// check(Ok::<_, HttpError>(lines("prompt.txt")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from an entrypoint of an `App`",
    label = "not a reply",
    note = "return `agentcore::Json(value)`, an `agentcore::Response`, a `Stream`, or a `Result` of these whose error is \
            `agentcore::BoxError` or another `IntoResponse`"
)]
pub trait HandlerReply<Kind> {
    /// Makes the reply.
    #[doc(hidden)]
    fn into_reply(self, seal: Seal) -> Response;
}

/// Markers that tell the kinds of replies apart.
mod kind {
    #[derive(Debug)]
    pub enum Whole {}
    #[derive(Debug)]
    pub enum Items {}
    #[derive(Debug)]
    pub enum FallibleItems {}
    #[derive(Debug)]
    pub struct Fallible<Kind>(std::marker::PhantomData<Kind>);
}

impl<R: IntoResponse> HandlerReply<kind::Whole> for R {
    fn into_reply(self, _: Seal) -> Response {
        self.into_response()
    }
}

impl<S> HandlerReply<kind::Items> for S
where
    S: Stream<Item: StreamItem> + Send + 'static,
{
    fn into_reply(self, _: Seal) -> Response {
        Response::stream(self)
    }
}

impl<S, T, E> HandlerReply<kind::FallibleItems> for S
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: StreamItem,
    E: Into<BoxError>,
{
    fn into_reply(self, _: Seal) -> Response {
        Response::events(SseBody::new(self, sse::fallible))
    }
}

impl<R, E, Kind> HandlerReply<kind::Fallible<Kind>> for Result<R, E>
where
    R: HandlerReply<Kind>,
    E: IntoResponse,
{
    fn into_reply(self, seal: Seal) -> Response {
        match self {
            Ok(value) => value.into_reply(seal),
            Err(error) => error.into_response(),
        }
    }
}

/// The status of the [`HttpError`](crate::HttpError) that the error is or was caused by; 504 for a
/// [`TimedOut`](crate::TimedOut); or else 500. The body is `{"error": "<its text>"}`.
impl IntoResponse for BoxError {
    fn into_response(self) -> Response {
        error_response(&self)
    }
}

/// The value that a call of the user's function returns in the end.
macro_rules! returned {
    (Awaited $call:expr) => {
        $call.await
    };
    (Blocking $call:expr) => {
        blocking(move || $call).await
    };
}
pub(crate) use returned;

/// Implements the trait for the functions of one form, with one number of arguments.
macro_rules! handler {
    ($form:ident $($future:ident)? -> $result:ident where [$($bounds:tt)*]; $($argument:ident),*) => {
        impl<F, $($future,)? R, Kind, $($argument),*> Handler<($form, Kind, $($argument,)*)> for F
        where
            F: Fn($($argument),*) -> $result + Clone + Send + Sync + 'static,
            $($bounds)*,
            R: HandlerReply<Kind>,
            $($argument: FromInvocation + Send + 'static,)*
        {
            fn requires(requirements: &mut Requirements, _: Seal) {
                let _ = &requirements;
                $($argument::requires(requirements);)*
            }

            #[allow(non_snake_case, unused_mut, reason = "the type parameters double as variables; there may be none")]
            fn call(
                self,
                mut invocation: Invocation,
                seal: Seal,
            ) -> impl Future<Output = Response> + Send + 'static {
                async move {
                    $(let $argument = match $argument::from_invocation(&mut invocation) {
                        Ok(argument) => argument,
                        Err(rejection) => return rejection.into_response(),
                    };)*
                    drop(invocation);
                    returned!($form self($($argument),*)).into_reply(seal)
                }
            }
        }
    };
}

macro_rules! handlers {
    ($(($($argument:ident),*)),+) => {$(
        handler! { Awaited Fut -> Fut where [Fut: Future<Output = R> + Send + 'static]; $($argument),* }
        handler! { Blocking -> R where [R: Send + 'static]; $($argument),* }
    )+};
}

handlers!(
    (),
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, G)
);
