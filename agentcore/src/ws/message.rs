//! [`Message`]: what a socket receives and sends.

use bytes::Bytes;
use tokio_websockets as wire;

use super::close::{CloseCode, CloseFrame};
use super::error::WebSocketError;

/// One whole message, sent in one frame or in several.
///
/// Pings and pongs are no messages: the library answers them.
///
/// ```
/// use agentcore::Message;
///
/// assert_eq!(Message::from("hello"), Message::Text("hello".to_owned()));
/// assert_eq!(Message::from("hello").as_text(), Some("hello"));
/// assert_eq!(Message::from(vec![1, 2]).as_text(), None);
/// ```
///
/// A `match` needs a last arm for kinds that may be added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// The end. Received: the client has closed, with or without a reason. Sent: it closes the socket, like
    /// [`WebSocket::close`](super::WebSocket::close).
    Close(Option<CloseFrame>),
}

impl Message {
    /// The text, if it is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) | Self::Close(_) => None,
        }
    }

    /// The length of its payload, in bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Close(_) => 0,
        }
    }

    /// Converts a received data message; `None` for a control frame.
    pub(super) fn of_wire(message: wire::Message) -> Option<Result<Self, WebSocketError>> {
        if message.is_text() {
            // The library checks texts too, but passes one that ends within a character if the last fragment is empty. Its own
            // `as_text` would make an invalid `str` of that.
            let text = simdutf8::compat::from_utf8(message.as_payload());
            let text = text.map(|text| Self::Text(text.to_owned()));
            Some(text.map_err(WebSocketError::not_text))
        } else if message.is_binary() {
            Some(Ok(Self::Binary(message.into_payload().into())))
        } else {
            None
        }
    }

    pub(super) fn close_of_wire(message: &wire::Message) -> Option<CloseFrame> {
        let (code, reason) = message.as_close()?;
        // The library reports a close frame without a code as 1005.
        CloseCode::new(code.into()).map(|code| CloseFrame::new(code, reason))
    }

    pub(super) fn into_wire(self) -> wire::Message {
        match self {
            Self::Text(text) => wire::Message::text(text),
            Self::Binary(bytes) => wire::Message::binary(bytes),
            Self::Close(frame) => close_into_wire(frame.as_ref()),
        }
    }
}

pub(super) fn close_into_wire(frame: Option<&CloseFrame>) -> wire::Message {
    let code = |frame: &CloseFrame| wire::CloseCode::try_from(frame.code().as_u16()).ok();
    wire::Message::close(frame.and_then(code), frame.map_or("", CloseFrame::reason))
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<CloseFrame> for Message {
    fn from(frame: CloseFrame) -> Self {
        Self::Close(Some(frame))
    }
}
