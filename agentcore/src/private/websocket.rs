//! Decides what an argument of a websocket handler is: the socket, or else a value from the handshake.
//!
//! The number of `&`s before the probe tells the three choices apart: the first choice has the most. The bounds at the end
//! have error messages of our own, like those in `bounds`.

use super::probe::{Probe, choice};
use crate::error::BoxError;
use crate::handler::extract::{FromInvocation, Requirements};
use crate::handler::response::{IntoResponse, Response};
use crate::ws::{Opening, WebSocket};

// First choice: the socket itself, under any name.
choice! { SocketProbe(__agentcore_socket_argument -> SocketTag) for [] &&Probe<WebSocket> }

// Second choice: the type implements `FromInvocation`.
choice! { HandshakeProbe(__agentcore_socket_argument -> HandshakeTag) for [T: FromInvocation] &Probe<T> }

// Last choice: the type cannot be an argument.
choice! { StrangerProbe(__agentcore_socket_argument -> StrangerTag) for [T] Probe<T> }

pub struct SocketTag;

impl SocketTag {
    pub fn __agentcore_requires<T>(self, _: &mut Requirements) {}

    pub fn __agentcore_take(
        self,
        _: Probe<WebSocket>,
        opening: &mut Opening,
    ) -> Result<WebSocket, Response> {
        opening.socket()
    }
}

pub struct HandshakeTag;

impl HandshakeTag {
    pub fn __agentcore_requires<T: FromInvocation>(self, requirements: &mut Requirements) {
        T::requires(requirements);
    }

    pub fn __agentcore_take<T>(self, _: Probe<T>, opening: &mut Opening) -> Result<T, Response>
    where
        T: FromInvocation,
    {
        T::from_invocation(&mut opening.invocation).map_err(IntoResponse::into_response)
    }
}

/// The tag of any other type. [`HandshakeArgument`] has its `__agentcore_take`.
pub struct StrangerTag;

impl StrangerTag {
    /// Requires nothing. It has no bound, so that the type is reported only once.
    pub fn __agentcore_requires<T>(self, _: &mut Requirements) {}
}

/// `Probe::<T>::__AGENTCORE_IS_SOCKET` for a constant: the inherent one for the socket, else this one.
pub trait SocketCount {
    const __AGENTCORE_IS_SOCKET: bool = false;
}

impl<T> SocketCount for Probe<T> {}

impl Probe<WebSocket> {
    pub const __AGENTCORE_IS_SOCKET: bool = true;
}

#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be an argument of a websocket handler",
    label = "neither the socket nor an extractor",
    note = "messages come through the `agentcore::WebSocket`; everything else implements `agentcore::FromInvocation`",
    note = "if a start hook makes it, take `agentcore::State<{T}>`"
)]
pub trait HandshakeArgument<T> {
    fn __agentcore_take(self, _: Probe<T>, opening: &mut Opening) -> Result<T, Response>;
}

#[diagnostic::do_not_recommend]
impl<T: FromInvocation> HandshakeArgument<T> for StrangerTag {
    fn __agentcore_take(self, _: Probe<T>, opening: &mut Opening) -> Result<T, Response> {
        T::from_invocation(&mut opening.invocation).map_err(IntoResponse::into_response)
    }
}

#[diagnostic::on_unimplemented(
    message = "a websocket handler returns `()` or `Result<(), E>`; found `{Self}`",
    label = "this value would be dropped",
    note = "send data through the socket"
)]
pub trait SocketReply {
    fn __agentcore_done(self);
}

impl SocketReply for () {
    fn __agentcore_done(self) {}
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error type of a websocket handler",
    label = "does not convert into `agentcore::BoxError`",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`",
    note = "a `Box<dyn Error>` has to be a `Box<dyn Error + Send + Sync>`, which is `agentcore::BoxError`"
)]
pub trait SocketError {
    fn __agentcore_boxed(self) -> BoxError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> SocketError for E {
    fn __agentcore_boxed(self) -> BoxError {
        self.into()
    }
}
