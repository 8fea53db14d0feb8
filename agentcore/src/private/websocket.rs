//! What an argument of a websocket handler is: the socket, or else something from the handshake.
//!
//! Three choices, told apart by the number of `&`s before the probe: the first has the most. The bounds at the end are
//! in words of our own, as those in `bounds`.

use super::probe::Probe;
use crate::error::BoxError;
use crate::extract::{FromInvocation, Invocation, Requirements};
use crate::response::{IntoResponse, Response};
use crate::ws::{Opening, WebSocket};

/// First choice: the socket itself, by whatever name.
pub trait SocketProbe {
    fn __agentcore_socket_argument(&self) -> SocketTag {
        SocketTag
    }
}

impl SocketProbe for &&Probe<WebSocket> {}

/// Second choice: the type says itself how it is made.
pub trait HandshakeProbe {
    fn __agentcore_socket_argument(&self) -> HandshakeTag {
        HandshakeTag
    }
}

impl<T: FromInvocation> HandshakeProbe for &Probe<T> {}

/// Last choice: it cannot be an argument.
pub trait StrangerProbe {
    fn __agentcore_socket_argument(&self) -> StrangerTag {
        StrangerTag
    }
}

impl<T> StrangerProbe for Probe<T> {}

pub struct SocketTag;

impl SocketTag {
    pub fn __agentcore_requires<T>(self, _: &mut Requirements) {}

    #[expect(
        clippy::extra_unused_type_parameters,
        reason = "expansions tell every tag"
    )]
    pub fn __agentcore_take<T>(self, opening: &mut Opening) -> Result<WebSocket, Response> {
        opening.socket()
    }
}

pub struct HandshakeTag;

impl HandshakeTag {
    pub fn __agentcore_requires<T: FromInvocation>(self, requirements: &mut Requirements) {
        T::requires(requirements);
    }

    pub fn __agentcore_take<T>(self, opening: &mut Opening) -> Result<T, Response>
    where
        T: HandshakeArgument,
    {
        T::take(&mut opening.invocation)
    }
}

pub struct StrangerTag;

impl StrangerTag {
    /// Nothing; and no bound, so that the type is reported once.
    pub fn __agentcore_requires<T>(self, _: &mut Requirements) {}

    pub fn __agentcore_take<T>(self, opening: &mut Opening) -> Result<T, Response>
    where
        T: HandshakeArgument,
    {
        T::take(&mut opening.invocation)
    }
}

/// `Probe::<T>::__AGENTCORE_IS_SOCKET`, in a constant: the inherent one for the socket, this one otherwise.
pub trait SocketCount {
    const __AGENTCORE_IS_SOCKET: bool = false;
}

impl<T> SocketCount for Probe<T> {}

impl Probe<WebSocket> {
    pub const __AGENTCORE_IS_SOCKET: bool = true;
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a websocket handler",
    label = "neither the socket nor an extractor",
    note = "messages come through the `agentcore::WebSocket`; everything else implements `agentcore::FromInvocation`"
)]
pub trait HandshakeArgument: Sized {
    fn take(invocation: &mut Invocation) -> Result<Self, Response>;
}

#[diagnostic::do_not_recommend]
impl<T: FromInvocation> HandshakeArgument for T {
    fn take(invocation: &mut Invocation) -> Result<Self, Response> {
        T::from_invocation(invocation).map_err(IntoResponse::into_response)
    }
}

#[diagnostic::on_unimplemented(
    message = "a websocket handler returns `()` or `Result<(), E>`; found `{Self}`",
    label = "nobody would receive this",
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
    label = "not an error",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`"
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
