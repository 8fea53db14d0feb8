//! A socket to the app under test, over a pipe in memory: real frames, no network.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{Caller, cut, from_json};
use crate::ws::{CloseCode, CloseFrame, Message};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The number of bytes in the pipe at which a side has to wait for the other to read.
pub(crate) const PIPE_BYTES: usize = 64 * 1024;

/// The client's end of a socket, made by [`TestClient::websocket`](super::TestClient::websocket). Dropping it closes the
/// connection without a close frame.
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
    /// When the app has dropped the socket.
    #[track_caller]
    pub fn send(&mut self, message: impl Into<Message>) -> impl Future<Output = ()> {
        let caller = Caller::here();
        let (opcode, payload) = match message.into() {
            Message::Text(text) => (TEXT, Bytes::from(text)),
            Message::Binary(bytes) => (BINARY, bytes),
            Message::Close(frame) => (CLOSE, close_payload(frame.as_ref())),
        };
        async move {
            if let Err(error) = self.write_frame(opcode, &payload).await {
                caller.fail(format_args!("the app has dropped the socket: {error}"));
            }
        }
    }

    /// Sends `value` as JSON in a text message.
    ///
    /// # Panics
    ///
    /// When `value` cannot be serialised, or the app has dropped the socket.
    #[track_caller]
    pub fn send_json(&mut self, value: &impl Serialize) -> impl Future<Output = ()> {
        match serde_json::to_string(value) {
            Ok(text) => self.send(text),
            Err(error) => panic!("the message cannot be serialised: {error}"),
        }
    }

    /// Begins to close. What the app still sends can be received; its close frame is the last.
    ///
    /// # Panics
    ///
    /// When the app has dropped the socket.
    #[track_caller]
    pub fn close(&mut self, code: CloseCode) -> impl Future<Output = ()> {
        self.send(CloseFrame::new(code, ""))
    }

    /// The next whole message; [`Message::Close`] when the app closes, and `None` when no more messages come. Answers pings.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropping the future before it completes may lose a part of a message.
    ///
    /// # Panics
    ///
    /// When the app breaks the protocol.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> {
        let caller = Caller::here();
        async move {
            match self.read().await {
                Ok(message) => message,
                Err(why) => caller.fail(why),
            }
        }
    }

    /// The next message, or the app's breach of the protocol.
    async fn read(&mut self) -> Result<Option<Message>, String> {
        let mut message: Option<(u8, Vec<u8>)> = None;
        loop {
            let Some((head, payload)) = self.read_frame().await else {
                return Ok(None);
            };
            let (is_last, opcode) = (head & 0x80 != 0, head & 0x0F);
            match opcode {
                PING => {
                    // If the app has gone meanwhile, the next read notices.
                    let _ = self.write_frame(PONG, &payload).await;
                    continue;
                }
                PONG => continue,
                CLOSE => return Ok(Some(Message::Close(close_frame(&payload)))),
                CONTINUATION => match &mut message {
                    Some((_, whole)) => whole.extend_from_slice(&payload),
                    None => return Err("the app continued a message that it had not begun".into()),
                },
                opcode => {
                    if message.replace((opcode, payload)).is_some() {
                        return Err("the app began a new message within another".into());
                    }
                }
            }
            if is_last {
                let Some((opcode, payload)) = message else {
                    return Ok(None);
                };
                return Ok(Some(match opcode {
                    TEXT => Message::Text(String::from_utf8(payload).map_err(|error| {
                        format!("the app sent text that is not UTF-8: {error}")
                    })?),
                    _ => Message::Binary(payload.into()),
                }));
            }
        }
    }

    /// The next message, decoded from JSON; `None` when the app closes.
    ///
    /// # Cancel safety
    ///
    /// Not safe, like [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// When it is not a text message, or not JSON of this shape.
    #[track_caller]
    pub fn recv_json<T: DeserializeOwned>(&mut self) -> impl Future<Output = Option<T>> {
        let caller = Caller::here();
        async move {
            let text = match self.read().await {
                Ok(Some(Message::Text(text))) => text,
                Ok(Some(Message::Close(_)) | None) => return None,
                Ok(Some(Message::Binary(bytes))) => {
                    let length = bytes.len();
                    caller.fail(format_args!("the message is {length} bytes, and not JSON"))
                }
                Err(why) => caller.fail(why),
            };
            match from_json("message", text.as_bytes(), cut(text.as_bytes())) {
                Ok(value) => Some(value),
                Err(why) => caller.fail(why),
            }
        }
    }

    /// Clients must mask their frames. The mask is zero, since there is no proxy here to protect.
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
