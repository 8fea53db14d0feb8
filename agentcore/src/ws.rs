//! WebSocket: what comes in by `GET /ws`.
//!
//! ```text
//! server/websockets ─ handshake ─ session ─┬─ the handler, with a `WebSocket` ─┐
//!   (on the front)                         │                                  line ─ link ─ tokio-websockets ─ transport ─ TCP
//!                                          └─ the keeper ─────────────────────┘
//! ```
//!
//! A socket is two tasks on the workers, which share its connection. The handler's reads what it waits for, and writes
//! what it sends, by itself: no message has to be handed from one task to another. The other task keeps the connection
//! whenever the handler does not, while it computes or when it has dropped one of its halves: it answers pings, receives
//! a few messages ahead, sends what could not be sent at once, and notices that the client has gone. It also sends the
//! server's pings, and closes in the end. The `bell` decides which of the two is woken.

mod bell;
mod close;
mod closing;
mod error;
mod handler;
mod handshake;
mod line;
mod link;
mod message;
mod pace;
mod session;
mod socket;
mod transport;

#[cfg(test)]
mod tests;

pub use close::{CloseCode, CloseFrame};
pub use error::WebSocketError;
pub use handler::{WebSocketHandler, WebSocketReply};
pub(crate) use handshake::{Origins, accept};
pub use message::Message;
pub use session::Opening;
pub(crate) use session::{Opened, Session, WsSettings};
pub use socket::{WebSocket, WebSocketReceiver, WebSocketSender};

/// For `fuzz`: the most that a frame carries under `settings`.
#[cfg(fuzzing)]
pub(crate) fn payload_bytes(settings: &WsSettings) -> usize {
    settings.payload_bytes()
}
