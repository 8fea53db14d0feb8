//! WebSocket: what comes in by `GET /ws`.
//!
//! ```text
//! server/websockets ─ handshake ─ session ─┬─ the handler, with a `WebSocket`
//!   (on the front)                         │            ║ two bounded channels
//!                                          └─ link ─ tokio-websockets ─ transport ─ TCP
//! ```
//!
//! A socket is two tasks on the workers. The handler's knows nothing of the network: its [`WebSocket`] is the ends of
//! two channels, which makes everything on it cancel safe and the halves of it independent. The other task owns the
//! connection: it answers pings, sends its own, keeps the platform's limits on frames, and closes in the end. It goes
//! on doing so while the handler computes.

mod close;
mod error;
mod handler;
mod handshake;
mod link;
mod message;
mod pace;
mod rarely;
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
