//! [`WebSocket`] and its halves: the handler's side.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::close::{CloseCode, CloseFrame};
use super::error::WebSocketError;
use super::message::Message;
use super::shared::Shared;
use crate::handler::extract::decode_message;
use crate::util::json;

/// An open socket, as a `#[websocket]` handler gets it.
///
/// ```
/// use agentcore::{Message, WebSocket, WebSocketError};
///
/// #[agentcore::websocket]
/// async fn chat(mut socket: WebSocket) -> Result<(), WebSocketError> {
///     while let Some(message) = socket.recv().await {
///         match message? {
///             Message::Text(text) => socket.send(format!("you said {text}")).await?,
///             Message::Binary(bytes) => socket.send(bytes).await?,
///             Message::Close(_) => break,
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
///
/// It is also a [`Stream`] of `Result<Message, WebSocketError>` and a [`Sink`] of [`Message`]s.
///
/// # The end
///
/// The socket is closed when the handler returns: with 1000, or with 1011 after an error or a panic. [`close`](Self::close)
/// closes it earlier, or with another code. Dropping the socket alone does not close it.
///
/// When the client closes, [`recv`](Self::recv) yields [`Message::Close`] and then `None`. When the client vanishes, it yields an
/// error and then `None`. When the server is told to stop, it yields `None` after all received messages; sending still works
/// until the handler returns or the shutdown grace is nearly over. [`CancellationToken`] is cancelled in all three cases.
///
/// # What is done inside
///
/// Pings are answered and sent even while the handler computes. Messages are split into frames, and the frames are paced, as the
/// platform demands; see [`Config`].
///
/// [`CancellationToken`]: crate::CancellationToken
/// [`Config`]: crate::Config
#[derive(Debug)]
pub struct WebSocket {
    sender: WebSocketSender,
    receiver: WebSocketReceiver,
}

impl WebSocket {
    /// A socket without a connection, and the shared state that connects it.
    pub(super) fn new() -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::new());
        let socket = Self {
            sender: WebSocketSender {
                shared: Arc::clone(&shared),
            },
            receiver: WebSocketReceiver {
                shared: Arc::clone(&shared),
            },
        };
        (socket, shared)
    }

    /// The next message; `None` when there will be none.
    ///
    /// An error is returned once, and ends the socket. See [above](Self#the-end).
    ///
    /// # Cancel safety
    ///
    /// Safe: no message is lost in `tokio::select!`. The next call returns a message that this one has not returned.
    pub async fn recv(&mut self) -> Option<Result<Message, WebSocketError>> {
        self.receiver.recv().await
    }

    /// The next message, text or binary, decoded from JSON; `None` when there will be none.
    ///
    /// If the JSON does not fit `T`, the error's source names the place:
    /// ``items[1].price: invalid type: string "x", expected f64 at line 1 column 75``.
    ///
    /// ```
    /// # use agentcore::{WebSocket, WebSocketError};
    /// #[derive(serde::Deserialize)]
    /// struct Question { text: String }
    ///
    /// async fn answer(mut socket: WebSocket) -> Result<(), WebSocketError> {
    ///     while let Some(question) = socket.recv_json::<Question>().await {
    ///         match question {
    ///             Ok(question) => socket.send(question.text.to_uppercase()).await?,
    ///             Err(error) if error.is_json() => socket.send("what?").await?,
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, WebSocketError>> {
        self.receiver.recv_json().await
    }

    /// Sends a message. It waits while eight messages are queued, but not until this one has left.
    ///
    /// # Errors
    ///
    /// The socket is [closed](WebSocketError::is_closed), by whichever side.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, nothing of the message is sent. Once it is ready, the whole message is
    /// queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        self.sender.send(message).await
    }

    /// Sends `value` as JSON, in a text message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); or the value [cannot be serialised](WebSocketError::is_json), or is a [`Result`], which would
    /// become `{"Ok":..}` or `{"Err":..}`. Then nothing is sent.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), WebSocketError> {
        self.sender.send_json(value).await
    }

    /// Closes the socket after everything that was sent before. Then nothing more can be sent, and messages that still arrive are
    /// not received.
    ///
    /// ```
    /// # use agentcore::{CloseCode, WebSocket, WebSocketError};
    /// # async fn example(socket: WebSocket) -> Result<(), WebSocketError> {
    /// socket.close(CloseCode::POLICY_VIOLATION, "one question at a time").await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// It is closed already.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn close(
        &self,
        code: CloseCode,
        reason: impl Into<String>,
    ) -> Result<(), WebSocketError> {
        self.sender.close(code, reason).await
    }

    /// Splits the socket into its two directions, for two tasks.
    ///
    /// ```
    /// # use agentcore::{WebSocket, WebSocketError};
    /// #[agentcore::websocket]
    /// async fn count(socket: WebSocket) -> Result<(), WebSocketError> {
    ///     let (sender, mut receiver) = socket.split();
    ///     let ticks = tokio::spawn(async move {
    ///         for number in 0.. {
    ///             sender.send_json(&number).await?;
    ///         }
    ///         Ok::<_, WebSocketError>(())
    ///     });
    ///     while let Some(message) = receiver.recv().await {
    ///         println!("{:?}", message?);
    ///     }
    ///     ticks.abort();
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn split(self) -> (WebSocketSender, WebSocketReceiver) {
        (self.sender, self.receiver)
    }
}

/// The half of a [`WebSocket`] that receives; [`WebSocketSender`] shows both at work.
///
/// ```
/// use agentcore::{WebSocket, WebSocketError};
///
/// async fn listen(socket: WebSocket) -> Result<(), WebSocketError> {
///     let (_sender, mut receiver) = socket.split();
///     while let Some(message) = receiver.recv().await {
///         println!("{:?}", message?.as_text());
///     }
///     Ok(())
/// }
/// # let _ = agentcore::App::new().websocket("listen", listen);
/// ```
pub struct WebSocketReceiver {
    shared: Arc<Shared>,
}

impl WebSocketReceiver {
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn recv(&mut self) -> Option<Result<Message, WebSocketError>> {
        poll_fn(|cx| self.shared.poll_recv(cx)).await
    }

    /// As [`WebSocket::recv_json`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, WebSocketError>> {
        let decoded = match self.recv().await? {
            Ok(Message::Text(text)) => decode_message(text.as_bytes()),
            Ok(Message::Binary(bytes)) => decode_message(&bytes),
            Ok(Message::Close(_)) => return None,
            Err(error) => return Some(Err(error)),
        };
        Some(decoded.map_err(WebSocketError::json))
    }
}

/// The half of a [`WebSocket`] that sends. Clones send into the same socket, each message whole.
///
/// ```
/// use agentcore::{WebSocket, WebSocketError};
///
/// async fn ticker(socket: WebSocket) -> Result<(), WebSocketError> {
///     let (sender, mut receiver) = socket.split();
///     let ticking = agentcore::spawn(async move {
///         while sender.send("tick").await.is_ok() {
///             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///         }
///     });
///     while let Some(Ok(_)) = receiver.recv().await {}
///     ticking.abort();
///     Ok(())
/// }
/// # let _ = agentcore::App::new().websocket("ticker", ticker);
/// ```
#[derive(Clone)]
pub struct WebSocketSender {
    shared: Arc<Shared>,
}

impl WebSocketSender {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`WebSocket::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        poll_fn(|cx| self.shared.poll_room(cx)).await?;
        self.shared.send(message.into())
    }

    /// As [`WebSocket::send_json`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_json`].
    ///
    /// # Cancel safety
    ///
    /// As [`WebSocket::send`].
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), WebSocketError> {
        let text = json::to_string(value).map_err(WebSocketError::json)?;
        self.send(text).await
    }

    /// As [`WebSocket::close`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`WebSocket::send`].
    pub async fn close(
        &self,
        code: CloseCode,
        reason: impl Into<String>,
    ) -> Result<(), WebSocketError> {
        self.send(CloseFrame::new(code, reason)).await
    }
}

impl fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for WebSocketReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketReceiver").finish_non_exhaustive()
    }
}

impl Drop for WebSocketReceiver {
    fn drop(&mut self) {
        self.shared.stop_receiving();
    }
}

impl Stream for WebSocketReceiver {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.shared.poll_recv(cx)
    }
}

impl Sink<Message> for WebSocketSender {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.shared.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        self.shared.send(message)
    }

    /// Ready at once: messages that were sent leave without it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the socket with [`CloseCode::NORMAL`], unless it is closed.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.shared.is_closed() || ready!(self.as_mut().poll_ready(cx)).is_err() {
            return Poll::Ready(Ok(()));
        }
        let normal = CloseFrame::new(CloseCode::NORMAL, "");
        // An error means that another clone has just closed it.
        Poll::Ready(self.start_send(normal.into()).or(Ok(())))
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = WebSocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.sender).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        Pin::new(&mut self.sender).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.sender).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.sender).poll_close(cx)
    }
}
