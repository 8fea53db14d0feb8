//! The bounds that the macros put on the user's types, with error messages of our own.
//!
//! Each of these traits is implemented for every type that satisfies some other trait. rustc would name that other trait;
//! `do_not_recommend` makes it name ours, and `on_unimplemented` says what to do.
//!
//! The bounds for an entrypoint's payload, reply and error are traits *of a tag* (see `probe`), with the user's type as their
//! parameter. rustc quotes the declaration of an unsatisfied bound, and a trait's own method has no such declaration.
//!
//! rustc may quote the line of a bound or an `impl`. Those lines are short, here and in the files beside this one, so that
//! they are easy to read and formatting does not change them: the UI tests compare them.

use bytes::Buf;
use http::Request;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use tower_service::Service;

use super::args::PayloadTag;
use super::probe::Probe;
use super::reply::{ErrorTag, JsonTag};
use crate::error::BoxError;
use crate::error::TimedOut;
use crate::handler::body::Body;
use crate::handler::extract::{Invocation, decode_payload};
use crate::handler::http_error::error_response;
use crate::handler::response::Response;
use crate::handler::routes::RouteService;
use crate::request::StateSlot;
use crate::tracker::PingStatus;

/// Marks an `impl Trait` that borrows with the lifetime `'a`.
pub trait Captures<'a> {}

impl<T: ?Sized> Captures<'_> for T {}

#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be the payload of an entrypoint",
    label = "not `serde::Deserialize`, and not an extractor",
    note = "derive `serde::Deserialize` for it and the types in it, or take `serde_json::Value`",
    note = "if a start hook makes it, take `agentcore::State<{T}>`"
)]
pub trait Payload<T> {
    fn __agentcore_extract(self, _: Probe<T>, invocation: &mut Invocation) -> Result<T, Response>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Payload<T> for PayloadTag {
    fn __agentcore_extract(self, _: Probe<T>, invocation: &mut Invocation) -> Result<T, Response> {
        decode_payload(invocation)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be returned from an entrypoint",
    label = "neither `serde::Serialize` nor another kind of reply",
    note = "derive `serde::Serialize` for it and the types in it",
    note = "a reply may also be a `Stream`, an `http::Response`, any other `agentcore::IntoResponse`, or a `Result` of these"
)]
pub trait JsonReply<T> {
    fn __agentcore_respond(self, value: T) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> JsonReply<T> for JsonTag {
    fn __agentcore_respond(self, value: T) -> Response {
        Response::returned(&value)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be the error type of an entrypoint",
    label = "does not convert into `agentcore::BoxError`",
    note = "implement `std::error::Error` for it (or `agentcore::IntoResponse`, to choose the reply), or use `anyhow::Error` \
            or `agentcore::BoxError`",
    note = "a `Box<dyn Error>` has to be a `Box<dyn Error + Send + Sync>`, which is `agentcore::BoxError`"
)]
pub trait ErrorReply<E> {
    fn __agentcore_boxed(self, error: E) -> BoxError;
    fn __agentcore_respond(self, error: E) -> Response;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> ErrorReply<E> for ErrorTag {
    fn __agentcore_boxed(self, error: E) -> BoxError {
        error.into()
    }

    fn __agentcore_respond(self, error: E) -> Response {
        error_response(&error.into())
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` is the server's own error; an entrypoint cannot return it",
    label = "no other error converts into it",
    note = "return `Result<T, agentcore::BoxError>`: `?` turns every error into one, and `\"text\".into()` makes one"
)]
pub trait OwnError {}

#[diagnostic::on_unimplemented(
    message = "a ping handler returns `PingStatus` (or a value that converts into it); found `{Self}`",
    label = "not a status",
    note = "it may also return a `Result` of that and any error"
)]
pub trait PingReply {
    fn __agentcore_status(self) -> PingStatus;
}

#[diagnostic::do_not_recommend]
impl<T: Into<PingStatus>> PingReply for T {
    fn __agentcore_status(self) -> PingStatus {
        self.into()
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error type of a ping handler or a hook",
    label = "does not convert into `agentcore::BoxError`",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`",
    note = "a `Box<dyn Error>` has to be a `Box<dyn Error + Send + Sync>`, which is `agentcore::BoxError`"
)]
pub trait HookError {
    fn __agentcore_boxed(self) -> BoxError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> HookError for E {
    fn __agentcore_boxed(self) -> BoxError {
        self.into()
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared state",
    label = "not `Send + Sync`",
    note = "the value that a start hook returns is shared between threads; wrap a value that cannot be shared in a `Mutex`, or return `()`"
)]
pub trait SharedState {
    fn slot(self) -> StateSlot;
}

#[diagnostic::do_not_recommend]
impl<S: Send + Sync + 'static> SharedState for S {
    fn slot(self) -> StateSlot {
        StateSlot::new(self)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot serve routes",
    label = "not a tower service of `http::Request<agentcore::Body>` that is `Clone + Send`",
    note = "return an `axum::Router`, or another `tower_service::Service<http::Request<agentcore::Body>>` whose response is \
            an `http::Response` with any `http_body::Body`, or a `Result` of one"
)]
pub trait RoutesService {
    fn __agentcore_service(self) -> RouteService;
}

#[diagnostic::do_not_recommend]
impl<S, B> RoutesService for S
where
    S: Service<Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    fn __agentcore_service(self) -> RouteService {
        RouteService::new(self)
    }
}

#[diagnostic::on_unimplemented(
    message = "a shutdown hook returns `()` or `Result<(), E>`; found `{Self}`",
    label = "this value would be dropped"
)]
pub trait ShutdownReply {
    fn __agentcore_done(self);
}

impl ShutdownReply for () {
    fn __agentcore_done(self) {}
}

#[diagnostic::on_unimplemented(
    message = "a warm-up or restore hook returns `()` or `Result<(), E>`; found `{Self}`",
    label = "this value would be dropped"
)]
pub trait PlatformReply {
    fn __agentcore_done(self);
}

impl PlatformReply for () {
    fn __agentcore_done(self) {}
}

#[diagnostic::on_unimplemented(
    message = "a task with a `timeout` returns a `Result`; found `{Self}`",
    label = "cannot report that the time limit was reached",
    note = "return a `Result` whose error is `From<agentcore::TimedOut>`, such as `agentcore::BoxError`"
)]
pub trait TimeLimited<E> {
    fn failed(error: E) -> Self;
}

impl<T, E> TimeLimited<E> for Result<T, E> {
    fn failed(error: E) -> Self {
        Err(error)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error type of a task with a `timeout`",
    label = "not `From<TimedOut>`",
    note = "implement `From<agentcore::TimedOut>` for it, or use `anyhow::Error` or `agentcore::BoxError`"
)]
pub trait FromTimedOut {
    fn from_timed_out(late: TimedOut) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<TimedOut>> FromTimedOut for E {
    fn from_timed_out(late: TimedOut) -> Self {
        late.into()
    }
}
