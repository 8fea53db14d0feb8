//! A socket to the app under test, over a pipe in memory: real frames, no network.

use std::fmt;

use bytes::Bytes;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::ws::{CloseCode, CloseFrame, Message};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What fits into the pipe before a side that does not read makes the other wait.
pub(crate) const PIPE_BYTES: usize = 64 * 1024;

/// The client's end of a socket, made by [`TestClient::websocket`](super::TestClient::websocket). Dropping it is leaving
/// without a word.
///
/// ```
/// use agentcore::testing::TestClient;
/// use agentcore::{App, CloseCode, Message, WebSocket};
///
/// async fn echo(mut socket: WebSocket) -> Result<(), agentcore::WebSocketError> {
///     while let Some(message) = socket.recv().await {
///         match message? {
///             Message::Close(_) => break,
///             message => socket.send(message).await?,
///         }
///     }
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), agentcore::Error> {
/// let agent = TestClient::new(App::new().websocket("echo", echo)).await?;
/// let mut socket = agent.websocket().await;
/// socket.send("hello").await;
/// assert_eq!(socket.recv().await, Some(Message::from("hello")));
/// assert!(agent.ping().await.status.is_busy());
/// socket.close(CloseCode::NORMAL).await;
/// assert!(matches!(socket.recv().await, Some(Message::Close(Some(frame))) if frame.code() == CloseCode::NORMAL));
/// agent.idle().await;
/// # Ok(())
/// # }
/// ```
pub struct TestWebSocket {
    stream: DuplexStream,
}

impl TestWebSocket {
    pub(super) fn new(stream: DuplexStream) -> Self {
        Self { stream }
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When the app has let go of the socket.
    pub async fn send(&mut self, message: impl Into<Message>) {
        let (opcode, payload) = match message.into() {
            Message::Text(text) => (TEXT, Bytes::from(text)),
            Message::Binary(bytes) => (BINARY, bytes),
            Message::Close(frame) => (CLOSE, close_payload(frame.as_ref())),
        };
        self.write_frame(opcode, &payload)
            .await
            .expect("a socket that is still open");
    }

    /// Sends `value` as JSON in a text message.
    ///
    /// # Panics
    ///
    /// When it cannot be serialised, or the app has let go of the socket.
    pub async fn send_json(&mut self, value: &impl Serialize) {
        self.send(serde_json::to_string(value).expect("a value that can be serialised"))
            .await;
    }

    /// Begins to close; what the app still sends can be received, its close frame being the last.
    ///
    /// # Panics
    ///
    /// When the app has let go of the socket.
    pub async fn close(&mut self, code: CloseCode) {
        self.send(CloseFrame::new(code, "")).await;
    }

    /// The next message, whole; [`Message::Close`] when the app closes, and `None` when nothing more comes. Pings are
    /// answered.
    ///
    /// # Panics
    ///
    /// When the app breaks the protocol.
    pub async fn recv(&mut self) -> Option<Message> {
        let mut message: Option<(u8, Vec<u8>)> = None;
        loop {
            let (head, payload) = self.read_frame().await?;
            let (is_last, opcode) = (head & 0x80 != 0, head & 0x0F);
            match opcode {
                PING => {
                    // An app that has gone meanwhile is noticed at the next read.
                    let _ = self.write_frame(PONG, &payload).await;
                    continue;
                }
                PONG => continue,
                CLOSE => return Some(Message::Close(close_frame(&payload))),
                CONTINUATION => {
                    let (_, whole) = message.as_mut().expect("a message to continue");
                    whole.extend_from_slice(&payload);
                }
                opcode => {
                    assert!(message.is_none(), "a new message began within another");
                    message = Some((opcode, payload));
                }
            }
            if is_last {
                let (opcode, payload) = message?;
                return Some(match opcode {
                    TEXT => Message::Text(String::from_utf8(payload).expect("text in UTF-8")),
                    _ => Message::Binary(payload.into()),
                });
            }
        }
    }

    /// The next message, decoded from JSON; `None` when the app closes.
    ///
    /// # Panics
    ///
    /// When it is no text, or no JSON of this shape.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<T> {
        match self.recv().await? {
            Message::Text(text) => Some(
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}")),
            ),
            Message::Close(_) => None,
            Message::Binary(bytes) => panic!("{} bytes instead of JSON", bytes.len()),
        }
    }

    /// Clients mask their frames; with zeros, here, since nothing in between could be fooled.
    async fn write_frame(&mut self, opcode: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await
    }

    /// The first byte of a frame, and its payload; `None` at the end.
    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => self.stream.read_u16().await.ok()?.into(),
            127 => self.stream.read_u64().await.ok()?,
            small => small.into(),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a frame that fits into memory")];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((head, payload))
    }
}

impl fmt::Debug for TestWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestWebSocket").finish_non_exhaustive()
    }
}

fn close_payload(frame: Option<&CloseFrame>) -> Bytes {
    frame.map_or_else(Bytes::new, |frame| {
        let mut payload = frame.code().as_u16().to_be_bytes().to_vec();
        payload.extend_from_slice(frame.reason().as_bytes());
        payload.into()
    })
}

fn close_frame(payload: &[u8]) -> Option<CloseFrame> {
    let (code, reason) = payload.split_first_chunk()?;
    let code = CloseCode::new(u16::from_be_bytes(*code))?;
    Some(CloseFrame::new(code, String::from_utf8_lossy(reason)))
}
