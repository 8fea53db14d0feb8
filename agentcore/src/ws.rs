//! WebSockets, which clients open by `GET /ws`.
//!
//! ```text
//! server/websockets ─ handshake ─ session ─┬─ the handler, with a `WebSocket` ─┐
//!   (on the front)                         │                                shared ─ connection ─ tokio-websockets ─ transport ─ TCP
//!                                          └─ the driver ─────────────────────┘
//! ```
//!
//! A socket is two tasks on the workers, which share its connection. The handler's task reads the messages that it waits for, and
//! writes those that it sends: no message is handed from one task to another. The driver keeps the connection going while the
//! handler computes, and when the handler has dropped one of its halves. It answers pings, receives a few messages ahead, sends
//! what could not be sent at once, and notices when the client is gone. It also sends the server's pings and closes the
//! connection. `wakeups` decides which of the two tasks is woken.

mod close;
mod closing;
mod connection;
mod error;
mod handler;
mod handshake;
mod message;
mod pace;
mod read_ahead;
mod session;
mod shared;
mod socket;
mod transport;
mod wakeups;

#[cfg(test)]
mod tests;

pub use close::{CloseCode, CloseFrame};
pub use error::WebSocketError;
pub use handler::{WebSocketHandler, WebSocketReply};
pub(crate) use handshake::accept;
pub use message::Message;
pub use session::Opening;
pub(crate) use session::{Opened, Session, Sockets};
pub use socket::{WebSocket, WebSocketReceiver, WebSocketSender};

/// The largest payload of a frame under `settings`, in bytes; for `fuzz`.
#[cfg(fuzzing)]
pub(crate) fn payload_bytes(settings: &crate::config::WsSettings) -> usize {
    settings.payload_bytes()
}
