//! [`WebSocket`] and its halves: the handler's ends of the two channels.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;

use super::close::{CloseCode, CloseFrame};
use super::error::WebSocketError;
use super::message::Message;

/// Messages that either side may be ahead of the other. Few: each may have the size of the largest.
const MESSAGES_AHEAD: usize = 8;

/// What the connection hands to the handler.
pub(super) type Received = Result<Message, WebSocketError>;

/// The connection's ends of the channels.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) incoming: Incoming,
    pub(super) outgoing: mpsc::Receiver<Message>,
}

/// Where messages go that the handler is to receive. The handler sees the end when this is dropped.
#[derive(Debug)]
pub(super) struct Incoming {
    /// How it ended. Apart from the messages: it has to have room when they have not. And before them: it is settled
    /// when the handler sees that they have ended.
    last: oneshot::Sender<Received>,
    messages: mpsc::Sender<Message>,
    /// The same, for when there is no room: to wait costs more than to send.
    waiting: PollSender<Message>,
}

impl Incoming {
    /// Ready when there is room for a message; an error when nobody will receive it.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoReceiver>> {
        if self.messages.is_closed() {
            return Poll::Ready(Err(NoReceiver));
        }
        // Nobody else sends: what is free stays free.
        if self.messages.capacity() == 0 {
            let room = ready!(self.waiting.poll_reserve(cx));
            self.waiting.abort_send();
            return Poll::Ready(room.map_err(|_| NoReceiver));
        }
        Poll::Ready(Ok(()))
    }

    /// Hands a message over for which there is room; nothing happens if nobody receives any more.
    pub(super) fn send(&self, message: Message) {
        let _ = self.messages.try_send(message);
    }

    /// Ends it with `last`.
    pub(super) fn end_with(self, last: Received) {
        // Nobody waits for it if the handler has dropped its half.
        let _ = self.last.send(last);
    }
}

/// The handler has dropped its half.
#[derive(Debug)]
pub(super) struct NoReceiver;

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
/// The socket is closed when the handler returns: with 1000, or with 1011 after an error or a panic. To close earlier, or
/// with another code, there is [`close`](Self::close). Dropping the socket alone does not close it.
///
/// When the client closes, [`recv`](Self::recv) yields [`Message::Close`] and then `None`; when it vanishes, an error
/// and then `None`; when the server is told to stop, `None` once all that was received has been read, while sending
/// goes on working until the handler returns or the shutdown grace is nearly over. [`CancellationToken`] tells of all
/// three.
///
/// # What is done inside
///
/// Pings are answered, and sent, whatever the handler does meanwhile. Messages are split into frames, and those paced,
/// as the platform demands; see [`Config`].
///
/// [`CancellationToken`]: crate::CancellationToken
/// [`Config`]: crate::Config
#[derive(Debug)]
pub struct WebSocket {
    sender: WebSocketSender,
    receiver: WebSocketReceiver,
}

impl WebSocket {
    pub(super) fn pair() -> (Self, Ends) {
        let (incoming, messages) = mpsc::channel(MESSAGES_AHEAD);
        let (how, last) = oneshot::channel();
        let (sent, outgoing) = mpsc::channel(MESSAGES_AHEAD);
        let socket = Self {
            sender: WebSocketSender {
                messages: sent,
                sink: None,
                closed: Arc::default(),
            },
            receiver: WebSocketReceiver { messages, last },
        };
        let incoming = Incoming {
            last: how,
            waiting: PollSender::new(incoming.clone()),
            messages: incoming,
        };
        (socket, Ends { incoming, outgoing })
    }

    /// The next message; `None` when there will be none.
    ///
    /// An error is said once, and is the end as well. See [above](Self#the-end).
    ///
    /// # Cancel safety
    ///
    /// Safe: a message that has not been returned is returned by the next call. In `tokio::select!` nothing is lost.
    pub async fn recv(&mut self) -> Option<Result<Message, WebSocketError>> {
        self.receiver.recv().await
    }

    /// The next message, text or binary, decoded from JSON; `None` when there will be none.
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

    /// Sends a message; waits while too many are on their way. Waits neither for the network nor for the client.
    ///
    /// # Errors
    ///
    /// The socket is [closed](WebSocketError::is_closed), by whichever side.
    ///
    /// # Cancel safety
    ///
    /// The message is on its way, whole, or not at all. When the future is dropped it is not.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        self.sender.send(message).await
    }

    /// Sends `value` as JSON, in a text message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); or the value [cannot be serialised](WebSocketError::is_json).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), WebSocketError> {
        self.sender.send_json(value).await
    }

    /// Closes the socket behind what has been sent. Nothing can be sent any more, and what the client still sends is not
    /// received.
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

    /// The two directions apart, for two tasks.
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
#[derive(Debug)]
pub struct WebSocketReceiver {
    messages: mpsc::Receiver<Message>,
    last: oneshot::Receiver<Received>,
}

impl WebSocketReceiver {
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn recv(&mut self) -> Option<Result<Message, WebSocketError>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        Poll::Ready(match ready!(self.messages.poll_recv(cx)) {
            Some(message) => Some(Ok(message)),
            // Given once, if at all.
            None => self.last.try_recv().ok(),
        })
    }

    /// As [`WebSocket::recv_json`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, WebSocketError>> {
        let decoded = match self.recv().await? {
            Ok(Message::Text(text)) => serde_json::from_str(&text),
            Ok(Message::Binary(bytes)) => serde_json::from_slice(&bytes),
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
    messages: mpsc::Sender<Message>,
    /// For the `Sink`, once it is used as one.
    sink: Option<PollSender<Message>>,
    /// Whether a close has been sent. Behind it nothing may be, and the connection may not have got to it yet.
    closed: Arc<AtomicBool>,
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
        let room = self.messages.reserve().await;
        let room = room.map_err(|_| WebSocketError::closed())?;
        let message = message.into();
        self.check(&message)?;
        room.send(message);
        Ok(())
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
        let text = serde_json::to_string(value).map_err(WebSocketError::json)?;
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

    /// Whether `message` may still be sent; behind a close nothing may.
    fn check(&self, message: &Message) -> Result<(), WebSocketError> {
        let closed = match message {
            Message::Close(_) => self.closed.swap(true, Ordering::AcqRel),
            Message::Text(_) | Message::Binary(_) => self.closed.load(Ordering::Acquire),
        };
        if closed {
            return Err(WebSocketError::closed());
        }
        Ok(())
    }
}

impl fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSender").finish_non_exhaustive()
    }
}

impl Stream for WebSocketReceiver {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl Sink<Message> for WebSocketSender {
    type Error = WebSocketError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        let Self { messages, sink, .. } = self.get_mut();
        let sink = sink.get_or_insert_with(|| PollSender::new(messages.clone()));
        sink.poll_reserve(cx).map_err(|_| WebSocketError::closed())
    }

    /// # Panics
    ///
    /// Unless `poll_ready` said that it was, as every `Sink` may.
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        self.check(&message)?;
        let sink = self
            .get_mut()
            .sink
            .as_mut()
            .expect("`poll_ready` comes first");
        sink.send_item(message)
            .map_err(|_| WebSocketError::closed())
    }

    /// Ready at once: what has been sent leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the socket with [`CloseCode::NORMAL`], unless it is closed.
    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        if self.closed.load(Ordering::Acquire) || ready!(self.as_mut().poll_ready(cx)).is_err() {
            return Poll::Ready(Ok(()));
        }
        let normal = CloseFrame::new(CloseCode::NORMAL, "");
        // An error says that another clone has just done it.
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

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        Pin::new(&mut self.sender).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        Pin::new(&mut self.sender).start_send(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        Pin::new(&mut self.sender).poll_flush(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        Pin::new(&mut self.sender).poll_close(cx)
    }
}
