//! What the macros ask of types, in words of our own.
//!
//! Each of these traits is implemented for everything that satisfies some other trait. rustc would name that one;
//! `do_not_recommend` keeps it to ours, and `on_unimplemented` says what to do.
//!
//! rustc may quote the line of a bound or an `impl`. Those lines are short, here and beside this file, so that people can
//! read them and formatting leaves them alone: the UI tests compare them.

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::error::BoxError;
use crate::extract::{Invocation, decode_payload};
use crate::ping::PingStatus;
use crate::response::Response;
use crate::state::StateSlot;
use crate::tasks::TimedOut;

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the payload of an entrypoint",
    label = "not a payload, and not an extractor",
    note = "derive `serde::Deserialize` for it, or take `serde_json::Value`"
)]
pub trait Payload: Sized {
    fn decode(invocation: &Invocation) -> Result<Self, Response>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Payload for T {
    fn decode(invocation: &Invocation) -> Result<Self, Response> {
        decode_payload(invocation)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from an entrypoint",
    label = "not a reply",
    note = "return a `serde::Serialize` type, a `Stream` of such values, an `http::Response`, or a `Result` of these"
)]
pub trait JsonReply {
    fn into_json(self) -> Response;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> JsonReply for T {
    fn into_json(self) -> Response {
        Response::returned(&self)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error type of an entrypoint",
    label = "not an error",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`"
)]
pub trait ErrorReply {
    fn boxed(self) -> BoxError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> ErrorReply for E {
    fn boxed(self) -> BoxError {
        self.into()
    }
}

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
    label = "not an error",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`"
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
    note = "what a start hook returns is shared between threads; wrap what cannot be in a `Mutex`, or return `()`"
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
    message = "a shutdown hook returns `()` or `Result<(), E>`; found `{Self}`",
    label = "nobody would read this"
)]
pub trait ShutdownReply {
    fn __agentcore_done(self);
}

impl ShutdownReply for () {
    fn __agentcore_done(self) {}
}

#[diagnostic::on_unimplemented(
    message = "a task with a `timeout` returns a `Result`; found `{Self}`",
    label = "cannot tell that the time was up",
    note = "return a `Result` whose error is `From<agentcore::TimedOut>`, such as `agentcore::BoxError`"
)]
pub trait TimeLimited {
    fn timed_out(late: TimedOut) -> Self;
}

impl<T, E: FromTimedOut> TimeLimited for Result<T, E> {
    fn timed_out(late: TimedOut) -> Self {
        Err(E::from_timed_out(late))
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
