//! A socket's connection and its two queues: messages that the handler has yet to receive, and messages that it has sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio_websockets as wire;

use super::close::CloseFrame;
use super::error::WebSocketError;
use super::message::Message;
use super::read_ahead::Share;
use super::session::Sockets;
use super::transport::Transport;
use crate::error::with_causes;

/// The most messages in the inbox, and in the outbox. The inbox is also bounded in bytes, by [`Share`].
const MESSAGES_AHEAD: usize = 8;

/// The most pings whose answers may wait to be sent. A client that sends more is not read until it takes the answers: they would
/// fill the memory.
const PINGS_AHEAD: usize = 16;

/// The number of intervals between pings in which the client may be silent.
const SILENT_INTERVALS: u32 = 2;

/// The protocol library's stream: frames, on top of the transport.
pub(super) type Protocol = wire::WebSocketStream<Transport>;

/// What the handler receives.
pub(super) type Received = Result<Message, WebSocketError>;

/// Why no more messages are exchanged.
#[derive(Debug)]
pub(super) enum End {
    /// The server has to send the close frame.
    Ours(Option<CloseFrame>),
    /// The client has closed; the library has its answer ready.
    Theirs,
    /// The connection is gone.
    Lost,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Connection {
    /// `None` before the upgrade and after the end.
    protocol: Option<Protocol>,
    /// The protocol after the end, and why it ended, until the driver takes it.
    ended: Option<(Protocol, End)>,
    inbox: VecDeque<Message>,
    /// Whether the handler waits for a message that has not come yet. It is read whatever its size.
    asked: bool,
    /// Counts what is read before the handler asks for it. `None` before the upgrade.
    ahead: Option<Share>,
    /// Whether messages that arrive go into the inbox.
    receiving: bool,
    /// How the connection ended. The handler receives it after the last message.
    last: Option<Received>,
    outbox: VecDeque<Message>,
    /// Whether the handler may send. It may not after a close, even before that is sent.
    sending: bool,
    /// Tasks that wait for room in the outbox.
    senders: Vec<Waker>,
    /// Whether something could not be sent at once.
    unsent: bool,
    /// The close frame that follows everything from the handler.
    last_word: Option<CloseFrame>,
    /// The number of answers to pings that may not have left yet.
    pings_ahead: usize,
    /// Whether nothing is read because the handler has not taken what is there, or no more may be read ahead.
    full: bool,
    /// The number of intervals since the client was last heard.
    silent: u32,
}

impl Connection {
    /// A connection that has yet to be connected.
    pub(super) fn new() -> Self {
        Self {
            receiving: true,
            sending: true,
            ..Self::default()
        }
    }

    pub(super) fn connect(&mut self, transport: Transport, sockets: &Sockets) {
        let limits =
            wire::Limits::default().max_payload_len(Some(sockets.settings.max_message_bytes));
        let config = wire::Config::default().frame_size(sockets.settings.payload_bytes());
        let builder = wire::ServerBuilder::new().limits(limits).config(config);
        self.protocol = Some(builder.serve(transport));
        self.ahead = Some(sockets.read_ahead.share());
    }

    /// The next message for the handler, if there is one. `None` is the end.
    pub(super) fn poll_received(&mut self) -> Poll<Option<Received>> {
        match self.inbox.pop_front() {
            Some(message) => {
                self.free(message.length());
                Poll::Ready(Some(Ok(message)))
            }
            None if self.receiving => Poll::Pending,
            // `last` is given once, if at all.
            None => Poll::Ready(self.last.take()),
        }
    }

    /// Whether there is room in the inbox again. It is true once each time.
    pub(super) fn has_room_again(&mut self) -> bool {
        let again = self.full
            && self.inbox.len() < MESSAGES_AHEAD
            && self.ahead.as_ref().is_some_and(Share::has_room);
        self.full &= !again;
        again
    }

    /// Ready when there is room for another message from the handler; an error when none may be sent any more.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
        if self.sending && self.outbox.len() >= MESSAGES_AHEAD {
            if !self.senders.iter().any(|known| known.will_wake(cx.waker())) {
                self.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(self.check_open())
    }

    fn check_open(&self) -> Result<(), WebSocketError> {
        match self.sending {
            true => Ok(()),
            false => Err(WebSocketError::closed()),
        }
    }

    /// Takes a message from the handler, with or without room. The caller then has to [send](Self::send) it.
    pub(super) fn put(&mut self, message: Message) -> Result<(), WebSocketError> {
        self.check_open()?;
        self.sending = !matches!(message, Message::Close(_));
        self.outbox.push_back(message);
        Ok(())
    }

    /// Whether the handler may send.
    pub(super) fn is_sending(&self) -> bool {
        self.sending
    }

    /// The tasks that wait for room, if there is room.
    pub(super) fn senders_with_room(&mut self) -> Vec<Waker> {
        if self.sending && self.outbox.len() >= MESSAGES_AHEAD {
            return Vec::new();
        }
        std::mem::take(&mut self.senders)
    }

    /// Whether the handler has something to receive.
    pub(super) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || !self.receiving
    }

    /// Whether no more messages are exchanged, and the driver has not taken the end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The connection after its end, and why it ended; once.
    pub(super) fn take_ended(&mut self) -> Option<(Protocol, End)> {
        self.ended.take()
    }

    /// Sends what can be sent, and receives until no more may be read ahead. `cx` is woken when there is more to do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.send(cx);
        // Receiving also sends the answers to pings. A message that the handler asks for is read whole. So is one without a
        // receiver: it is dropped, and the server handles what follows it, such as a ping or a close.
        if self.asked || !self.receiving {
            self.receive_until(1, cx);
            if self.asked || !self.receiving {
                self.full = false;
                return;
            }
        }
        let (Some(_), Some(ahead)) = (&self.protocol, &mut self.ahead) else {
            return;
        };
        let allowed = ahead.reserve();
        self.limit_reads(Some(allowed));
        self.receive_until(MESSAGES_AHEAD, cx);
        let protocol = self.protocol.as_ref();
        let starved = protocol.is_some_and(|protocol| protocol.get_ref().is_starved());
        let unread = self.limit_reads(None);
        self.free(unread);
        self.full = starved || (self.receiving && self.inbox.len() >= MESSAGES_AHEAD);
    }

    /// Receives a message for the handler, which is waiting for it.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) {
        if self.unsent {
            self.send(cx);
        }
        self.asked = self.receiving;
        // The inbox is empty, so nothing is read ahead.
        if let Some(ahead) = &mut self.ahead {
            ahead.clear();
        }
        self.receive_until(1, cx);
    }

    /// Limits reads to `bytes` from now on. Returns the unused rest of the previous limit.
    fn limit_reads(&mut self, bytes: Option<usize>) -> usize {
        let transport = self.protocol.as_mut().map(Protocol::get_mut);
        let before = transport.and_then(|transport| transport.limit_reads(bytes));
        before.unwrap_or_default()
    }

    /// Gives back `bytes` that are not in memory any more, or were not read.
    fn free(&mut self, bytes: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.free(bytes);
        }
    }

    /// Sends what can be sent.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(end) = self.poll_send(cx) {
            self.end(end);
        }
    }

    fn receive_until(&mut self, messages: usize, cx: &mut Context<'_>) {
        if let Poll::Ready(end) = self.poll_receive(messages, cx) {
            self.end(end);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(protocol) = &mut self.protocol else {
            return Poll::Pending;
        };
        self.unsent = true;
        loop {
            if let Err(error) = ready!(Pin::new(&mut *protocol).poll_ready(cx)) {
                return Poll::Ready(self.failed(error));
            }
            let message = match self.outbox.pop_front() {
                Some(Message::Close(frame)) => return Poll::Ready(End::Ours(frame)),
                Some(message) => message.into_wire(),
                None if self.last_word.is_some() => {
                    return Poll::Ready(End::Ours(self.last_word.take()));
                }
                // Nothing to send; or the handler has dropped the socket, and its result decides how to close.
                None => break,
            };
            if let Err(error) = Pin::new(&mut *protocol).start_send(message) {
                return Poll::Ready(self.failed(error));
            }
        }
        match ready!(Pin::new(protocol).poll_flush(cx)) {
            Ok(()) => {
                self.pings_ahead = 0;
                self.unsent = false;
                Poll::Pending
            }
            Err(error) => Poll::Ready(self.failed(error)),
        }
    }

    fn poll_receive(&mut self, messages: usize, cx: &mut Context<'_>) -> Poll<End> {
        let Some(protocol) = &mut self.protocol else {
            return Poll::Pending;
        };
        // Only while there is room: what has been read cannot be put back. Without a receiver everything is read; the client may
        // still close, and answer pings.
        while !self.receiving || self.inbox.len() < messages {
            if self.pings_ahead >= PINGS_AHEAD {
                match ready!(Pin::new(&mut *protocol).poll_flush(cx)) {
                    Ok(()) => self.pings_ahead = 0,
                    Err(error) => return Poll::Ready(self.failed(error)),
                }
            }
            let message = match ready!(Pin::new(&mut *protocol).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(self.failed(error)),
                None => return Poll::Ready(self.ended_by(WebSocketError::lost())),
            };
            if message.is_close() {
                self.end_with(Ok(Message::Close(Message::close_of_wire(&message))));
                return Poll::Ready(End::Theirs);
            }
            self.pings_ahead += usize::from(message.is_ping());
            let length = message.as_payload().len();
            // The header was counted with the payload when it was read.
            let header = header_length(length);
            let kept = match Message::of_wire(message) {
                Some(Ok(message)) if self.receiving => {
                    self.inbox.push_back(message);
                    self.asked = false;
                    length
                }
                Some(Err(error)) => return Poll::Ready(self.ended_by(error)),
                Some(Ok(_)) | None => 0,
            };
            if let Some(ahead) = &mut self.ahead {
                ahead.free(header + length - kept);
            }
        }
        Poll::Pending
    }

    fn failed(&mut self, error: wire::Error) -> End {
        self.ended_by(WebSocketError::of_wire(error))
    }

    /// Ends with `error`, which the handler receives.
    fn ended_by(&mut self, error: WebSocketError) -> End {
        tracing::debug!("websocket: {}", with_causes(&error));
        // For most breaches of the protocol the library has queued its own close frame, which wins. For a message that became too
        // large in its last fragment it has none.
        let end = match error.protocol_code() {
            Some(code) => End::Ours(Some(CloseFrame::new(code, ""))),
            None => End::Lost,
        };
        self.end_with(Err(error));
        end
    }

    /// Sets how the connection ended. The handler receives it after everything else.
    fn end_with(&mut self, last: Received) {
        if self.receiving {
            self.last = Some(last);
        }
    }

    /// Ends the exchange of messages, for both halves of the handler.
    fn end(&mut self, end: End) {
        self.stop_receiving();
        self.sending = false;
        let unread = self.limit_reads(None);
        self.free(unread);
        if let Some(protocol) = self.protocol.take() {
            self.ended = Some((protocol, end));
        }
    }

    /// Stops receiving. The handler sees the end after the messages that are there.
    pub(super) fn stop_receiving(&mut self) {
        self.receiving = false;
        self.asked = false;
        self.full = false;
    }

    /// Stops receiving, and returns the messages that the handler has not received.
    pub(super) fn forget_received(&mut self) -> VecDeque<Message> {
        self.stop_receiving();
        self.last = None;
        if let Some(ahead) = &mut self.ahead {
            ahead.clear();
        }
        std::mem::take(&mut self.inbox)
    }

    /// Sends what the handler has given, and then closes with `frame`.
    pub(super) fn finish(&mut self, frame: CloseFrame) {
        self.stop_receiving();
        self.sending = false;
        self.last_word.get_or_insert(frame);
    }

    /// Sends a ping, unless the client has been silent for too long. The caller calls it once in every interval.
    pub(super) fn tick(&mut self) {
        let Some(protocol) = &mut self.protocol else {
            return;
        };
        let transport = protocol.get_mut();
        // Silence does not count while the server does not read. It does count if a write is blocked too: then the client does
        // not read either.
        let unheard = self.full && !transport.is_blocked();
        if transport.was_heard() || unheard {
            self.silent = 0;
        } else {
            self.silent += 1;
        }
        let end = if self.silent >= SILENT_INTERVALS {
            self.ended_by(WebSocketError::silent())
        } else {
            let ping = wire::Message::ping(bytes::Bytes::new());
            match Pin::new(protocol).start_send(ping) {
                Ok(()) => return,
                Err(error) => self.failed(error),
            }
        };
        self.end(end);
    }

    /// Drops everything. The connection is reset unless it has been closed.
    pub(super) fn hang_up(&mut self) {
        self.end(End::Lost);
        self.ended = None;
        self.outbox.clear();
    }
}

/// The length of the header of a client's frame, if the frame is a whole message.
fn header_length(payload: usize) -> usize {
    match payload {
        ..=125 => 6,
        126..=0xffff => 8,
        _ => 14,
    }
}
