//! The connection, joined with the handler's channels.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_websockets as wire;

use super::close::CloseFrame;
use super::error::WebSocketError;
use super::message::{Message, close_into_wire};
use super::session::WsSettings;
use super::socket::{Ends, Incoming, Received};
use super::transport::Transport;
use crate::error::with_causes;

/// Pings whose answers may be waiting to be sent. A client that sends more without reading is not listened to until it
/// has read: the answers would fill the memory.
const PINGS_AHEAD: usize = 16;

/// How long the other side has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that is closed is listened to. One that is dropped with unread data in it is reset, and the
/// client may never see why.
const LINGER: Duration = Duration::from_secs(1);

/// Intervals between pings that the other side may be silent for.
const SILENT_INTERVALS: u32 = 2;

/// Why the talking is over.
#[derive(Debug)]
pub(super) enum End {
    /// The close frame is ours to send.
    Ours(Option<CloseFrame>),
    /// The other side has closed; the library has its answer ready.
    Theirs,
    /// The connection is gone.
    Lost,
}

/// Moves messages between the connection and the handler's channels.
pub(super) struct Link<T> {
    stream: wire::WebSocketStream<Transport<T>>,
    /// Where received messages go; `None` when they are not wanted any more.
    incoming: Option<Incoming>,
    outgoing: mpsc::Receiver<Message>,
    /// What to close with when everything from the handler has been sent.
    last_word: Option<CloseFrame>,
    /// Answers to pings that may not have left yet.
    pings_ahead: usize,
    /// Whether nothing is read because the handler has not taken what is there.
    full: bool,
    /// Intervals since the other side was last heard.
    silent: u32,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    pub(super) fn new(transport: Transport<T>, ends: Ends, settings: &WsSettings) -> Self {
        let limits = wire::Limits::default().max_payload_len(Some(settings.max_message_bytes));
        let config = wire::Config::default().frame_size(settings.payload_bytes());
        let builder = wire::ServerBuilder::new().limits(limits).config(config);
        Self {
            stream: builder.serve(transport),
            incoming: Some(ends.incoming),
            outgoing: ends.outgoing,
            last_word: None,
            pings_ahead: 0,
            full: false,
            silent: 0,
        }
    }

    /// Lets both sides talk until one of them ends it.
    ///
    /// # Cancel safety
    ///
    /// Safe: everything that has been begun is kept.
    pub(super) async fn talk(&mut self) -> End {
        std::future::poll_fn(|cx| self.poll_talk(cx)).await
    }

    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Poll::Ready(end) = self.poll_outgoing(cx) {
            return Poll::Ready(end);
        }
        // It also sends the answers to the pings that it finds.
        self.poll_incoming(cx)
    }

    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match Pin::new(&mut self.stream).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(error)),
                Poll::Pending => return Poll::Pending,
            }
            let message = match self.outgoing.poll_recv(cx) {
                Poll::Ready(Some(Message::Close(frame))) => return Poll::Ready(End::Ours(frame)),
                Poll::Ready(Some(message)) => message.into_wire(),
                Poll::Ready(None) if self.last_word.is_some() => {
                    return Poll::Ready(End::Ours(self.last_word.take()));
                }
                // Nothing yet; or the handler has dropped the socket, and says how to close when it returns.
                Poll::Pending | Poll::Ready(None) => break,
            };
            if let Err(error) = Pin::new(&mut self.stream).start_send(message) {
                return Poll::Ready(self.failed(error));
            }
        }
        match ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
            Ok(()) => {
                self.pings_ahead = 0;
                Poll::Pending
            }
            Err(error) => Poll::Ready(self.failed(error)),
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.pings_ahead >= PINGS_AHEAD {
                match ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
                    Ok(()) => self.pings_ahead = 0,
                    Err(error) => return Poll::Ready(self.failed(error)),
                }
            }
            // Room first: what has been read cannot be put back.
            if let Some(incoming) = &mut self.incoming {
                let room = incoming.poll_room(cx);
                self.full = room.is_pending();
                if ready!(room).is_err() {
                    // The handler has dropped its half; the other side may still close, and answer pings.
                    self.incoming = None;
                }
            }
            let message = match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(self.failed(error)),
                None => return Poll::Ready(self.ended_by(WebSocketError::lost())),
            };
            if message.is_close() {
                self.end_with(Ok(Message::Close(Message::close_of_wire(&message))));
                return Poll::Ready(End::Theirs);
            }
            self.pings_ahead += usize::from(message.is_ping());
            match Message::of_wire(message) {
                Some(Ok(message)) => {
                    if let Some(incoming) = &mut self.incoming {
                        // There is room; and if there is no receiver any more, the next look for room finds out.
                        incoming.send(message);
                    }
                }
                Some(Err(error)) => return Poll::Ready(self.ended_by(error)),
                None => {}
            }
        }
    }

    fn failed(&mut self, error: wire::Error) -> End {
        self.ended_by(WebSocketError::of_wire(error))
    }

    /// Tells the handler of `error`.
    fn ended_by(&mut self, error: WebSocketError) -> End {
        tracing::debug!("websocket: {}", with_causes(&error));
        // For most breaches of the protocol the library has its own answer ready already, and keeps to that; for a
        // message that became too large in its last fragment it has none.
        let end = match error.protocol_code() {
            Some(code) => End::Ours(Some(CloseFrame::new(code, ""))),
            None => End::Lost,
        };
        self.end_with(Err(error));
        end
    }

    /// Tells the handler how it ended, behind everything that it has not received yet.
    fn end_with(&mut self, last: Received) {
        if let Some(incoming) = self.incoming.take() {
            incoming.end_with(last);
        }
    }

    /// Receives nothing more; the handler sees the end once it has read what is there.
    pub(super) fn stop_receiving(&mut self) {
        self.incoming = None;
        self.full = false;
    }

    /// Sends what the handler has given, and closes with `frame` then.
    pub(super) fn finish(&mut self, frame: CloseFrame) {
        self.stop_receiving();
        self.outgoing.close();
        self.last_word.get_or_insert(frame);
    }

    /// To be called once in every interval: sends a ping, unless the other side has been silent for too long.
    pub(super) fn tick(&mut self) -> Option<End> {
        let transport = self.stream.get_mut();
        // Who is not listened to cannot be heard; but who takes nothing either is waiting for us to wait.
        let unheard = self.full && !transport.is_blocked();
        if transport.was_heard() || unheard {
            self.silent = 0;
        } else {
            self.silent += 1;
        }
        if self.silent >= SILENT_INTERVALS {
            return Some(self.ended_by(WebSocketError::silent()));
        }
        let ping = wire::Message::ping(bytes::Bytes::new());
        match Pin::new(&mut self.stream).start_send(ping) {
            Ok(()) => None,
            Err(error) => Some(self.failed(error)),
        }
    }

    /// Ends the connection in good order, as far as the other side takes part in it.
    pub(super) async fn close(mut self, end: End) {
        // From here on the handler sees the end on both of its halves.
        self.stop_receiving();
        self.outgoing.close();
        match end {
            End::Lost => return,
            End::Ours(frame) => {
                let close = close_into_wire(frame.as_ref());
                // It may be closed already: then the library has its own answer ready.
                let _ = Pin::new(&mut self.stream).start_send(close);
            }
            End::Theirs => {}
        }
        // Until both have closed. What arrives on the way is not wanted any more.
        let shake_hands = async { while let Some(Ok(_)) = self.next().await {} };
        let _ = timeout(CLOSE_TIMEOUT, shake_hands).await;
        let _ = timeout(LINGER, self.linger()).await;
    }

    async fn next(&mut self) -> Option<Result<wire::Message, wire::Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await
    }

    /// Says that nothing more will come, and listens until the other side does.
    async fn linger(&mut self) {
        let flushed = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_flush(cx)).await;
        if flushed.is_err() {
            return;
        }
        let transport = self.stream.get_mut();
        let mut bytes = [0; 1024];
        let discard = std::future::poll_fn(|cx| {
            ready!(Pin::new(&mut *transport).poll_shutdown(cx))?;
            loop {
                let mut buffer = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut *transport).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(std::io::Result::Ok(()));
                }
            }
        });
        // An error is an end, too.
        let _ = discard.await;
    }
}
