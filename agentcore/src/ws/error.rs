//! Errors of a socket.

use std::error::Error as StdError;
use std::fmt;

use simdutf8::compat::Utf8Error;
use tokio_websockets as wire;

use super::close::CloseCode;
use crate::error::BoxError;

/// Why a message was not received or not sent.
///
/// Its text is for people; ask the `is_*` methods to decide something in code. A handler may return it with `?`: a client that
/// has left is no failure of the handler, and is not logged as one.
///
/// ```
/// use agentcore::{WebSocket, WebSocketError};
///
/// #[agentcore::websocket]
/// async fn chat(mut socket: WebSocket) -> Result<(), WebSocketError> {
///     while let Some(message) = socket.recv().await {
///         socket.send(message?).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct WebSocketError {
    kind: Kind,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A message was sent into a closed socket.
    Closed,
    /// The connection ended without a close frame.
    Lost,
    /// The other side sends nothing any more.
    Silent,
    /// The other side broke the protocol.
    Protocol(CloseCode),
    /// JSON that does not fit the type, in either direction.
    Json,
}

impl WebSocketError {
    fn new(kind: Kind) -> Self {
        Self { kind, source: None }
    }

    fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn closed() -> Self {
        Self::new(Kind::Closed)
    }

    pub(super) fn lost() -> Self {
        Self::new(Kind::Lost)
    }

    pub(super) fn silent() -> Self {
        Self::new(Kind::Silent)
    }

    pub(super) fn json(error: serde_json::Error) -> Self {
        Self::new(Kind::Json).with_source(error)
    }

    pub(super) fn not_text(error: Utf8Error) -> Self {
        Self::new(Kind::Protocol(CloseCode::INVALID_DATA)).with_source(error)
    }

    pub(super) fn of_wire(error: wire::Error) -> Self {
        use wire::proto::ProtocolError;
        let kind = match &error {
            wire::Error::Protocol(ProtocolError::InvalidUtf8) => {
                Kind::Protocol(CloseCode::INVALID_DATA)
            }
            wire::Error::Protocol(_) => Kind::Protocol(CloseCode::PROTOCOL_ERROR),
            wire::Error::PayloadTooLong { .. } => Kind::Protocol(CloseCode::MESSAGE_TOO_BIG),
            wire::Error::AlreadyClosed => Kind::Closed,
            _ => Kind::Lost,
        };
        Self::new(kind).with_source(error)
    }

    /// The socket was closed, by either side, before the message could be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// The client is gone without a close frame: the connection broke, or nothing was heard from it for too long.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        matches!(self.kind, Kind::Lost | Kind::Silent)
    }

    /// The client broke the protocol: an invalid frame, text that is not UTF-8, a message over the limit. The socket has been
    /// closed with the matching code.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        self.protocol_code().is_some()
    }

    /// [`recv_json`](super::WebSocket::recv_json) could not read a message, or [`send_json`](super::WebSocket::send_json) could
    /// not write one. The socket is still open.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }

    /// The code that the socket is closed with, for a breach of the protocol.
    pub(super) fn protocol_code(&self) -> Option<CloseCode> {
        match self.kind {
            Kind::Protocol(code) => Some(code),
            _ => None,
        }
    }
}

/// Whether a handler that returned `error` failed because of its client.
pub(super) fn is_of_the_client(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<WebSocketError>() {
            return error.kind != Kind::Json;
        }
        cause = current.source();
    }
    false
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Closed => "the socket is closed",
            Kind::Lost => "the connection was lost",
            Kind::Silent => "the client has not answered pings",
            Kind::Protocol(CloseCode::INVALID_DATA) => "the client sent text that is not UTF-8",
            Kind::Protocol(CloseCode::MESSAGE_TOO_BIG) => "the client sent too large a message",
            Kind::Protocol(_) => "the client broke the WebSocket protocol",
            Kind::Json => "the message is not the expected JSON",
        })
    }
}

impl StdError for WebSocketError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
