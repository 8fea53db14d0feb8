//! A socket's connection, and what waits on its two sides: messages that the handler has yet to receive, and messages that it
//! has sent.

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

/// Messages that either side may be ahead of the other. What the client may be ahead is also bounded in bytes, by
/// [`Share`].
const MESSAGES_AHEAD: usize = 8;

/// Pings whose answers may be waiting to be sent. A client that sends more without reading is not listened to until it
/// has read: the answers would fill the memory.
const PINGS_AHEAD: usize = 16;

/// Intervals between pings that the other side may be silent for.
const SILENT_INTERVALS: u32 = 2;

/// The library's part: frames, on top of the transport.
pub(super) type Protocol = wire::WebSocketStream<Transport>;

/// What the handler receives.
pub(super) type Received = Result<Message, WebSocketError>;

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

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Connection {
    /// None before the upgrade, and when the talking is over.
    protocol: Option<Protocol>,
    /// The same when the talking is over, and why it is, until the driver comes for it.
    ended: Option<(Protocol, End)>,
    inbox: VecDeque<Message>,
    /// The handler has asked for a message that has not come yet. It is read whatever its size.
    asked: bool,
    /// What is read though the handler has not asked for it. None before the upgrade.
    ahead: Option<Share>,
    /// Whether what arrives goes into the inbox.
    receiving: bool,
    /// How it ended, which the handler receives behind the last message.
    last: Option<Received>,
    outbox: VecDeque<Message>,
    /// Whether the handler may send. Not behind a close, which the connection may not have got to yet.
    sending: bool,
    /// Tasks that wait for room in the outbox.
    senders: Vec<Waker>,
    /// Whether something could not be sent at once.
    unsent: bool,
    /// What to close with when everything from the handler has been sent.
    last_word: Option<CloseFrame>,
    /// Answers to pings that may not have left yet.
    pings_ahead: usize,
    /// Whether nothing is read because the handler has not taken what is there, or no more may be read ahead.
    full: bool,
    /// Intervals since the other side was last heard.
    silent: u32,
}

impl Connection {
    /// One that has yet to be connected.
    pub(super) fn new() -> Self {
        Self {
            protocol: None,
            ended: None,
            inbox: VecDeque::new(),
            asked: false,
            ahead: None,
            receiving: true,
            last: None,
            outbox: VecDeque::new(),
            sending: true,
            senders: Vec::new(),
            unsent: false,
            last_word: None,
            pings_ahead: 0,
            full: false,
            silent: 0,
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

    /// What the handler receives next, if that is known. `None` is the end.
    pub(super) fn poll_received(&mut self) -> Poll<Option<Received>> {
        match self.inbox.pop_front() {
            Some(message) => {
                self.free(message.length());
                Poll::Ready(Some(Ok(message)))
            }
            None if self.receiving => Poll::Pending,
            // Given once, if at all.
            None => Poll::Ready(self.last.take()),
        }
    }

    /// Whether there is room, for the first time since there was none.
    pub(super) fn has_room_again(&mut self) -> bool {
        let again = self.full
            && self.inbox.len() < MESSAGES_AHEAD
            && self.ahead.as_ref().is_some_and(Share::has_room);
        self.full &= !again;
        again
    }

    /// Ready when there is room for another message from the handler, or an error when none may be sent any more.
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

    /// Takes a message from the handler, be there room or not. It has to be [sent](Self::send) then.
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

    /// The tasks that wait for room, if there is some.
    pub(super) fn senders_with_room(&mut self) -> Vec<Waker> {
        if self.sending && self.outbox.len() >= MESSAGES_AHEAD {
            return Vec::new();
        }
        std::mem::take(&mut self.senders)
    }

    /// Whether there is something for the handler.
    pub(super) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || !self.receiving
    }

    /// Whether the talking is over.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The connection when the talking is over, and why it is; once.
    pub(super) fn take_ended(&mut self) -> Option<(Protocol, End)> {
        self.ended.take()
    }

    /// Sends what there is to be sent, and receives until no more may be read ahead. `cx` is woken when there is more to
    /// do.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.send(cx);
        // This also sends the answers to the pings that are found.
        // A message that is asked for is read whole. So is one that nobody receives: it is dropped then, and what is behind it,
        // a ping or a close, is for the server.
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
        let starved = self
            .protocol
            .as_ref()
            .is_some_and(|protocol| protocol.get_ref().is_starved());
        let unread = self.limit_reads(None);
        self.free(unread);
        self.full = starved || (self.receiving && self.inbox.len() >= MESSAGES_AHEAD);
    }

    /// Receives a message for the handler, which waits for it.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) {
        if self.unsent {
            self.send(cx);
        }
        self.asked = self.receiving;
        // The inbox is empty.
        if let Some(ahead) = &mut self.ahead {
            ahead.clear();
        }
        self.receive_until(1, cx);
    }

    /// Reads no more than so many bytes from now on. Returns what was left of the limit before.
    fn limit_reads(&mut self, bytes: Option<usize>) -> usize {
        let transport = self.protocol.as_mut().map(Protocol::get_mut);
        let before = transport.and_then(|transport| transport.limit_reads(bytes));
        before.unwrap_or_default()
    }

    /// So many bytes are not in memory any more, or have not been read.
    fn free(&mut self, bytes: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.free(bytes);
        }
    }

    /// Sends what there is to be sent.
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
                // Nothing yet; or the handler has dropped the socket, and says how to close when it returns.
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
        // Room first: what has been read cannot be put back. Without a receiver it is read all the same; the other side
        // may still close, and answer pings.
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
            // Counted with the payload when it was read.
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
        if self.receiving {
            self.last = Some(last);
        }
    }

    /// The talking is over, on both of the handler's halves.
    fn end(&mut self, end: End) {
        self.stop_receiving();
        self.sending = false;
        let unread = self.limit_reads(None);
        self.free(unread);
        if let Some(protocol) = self.protocol.take() {
            self.ended = Some((protocol, end));
        }
    }

    /// Receives nothing more; the handler sees the end once it has read what is there.
    pub(super) fn stop_receiving(&mut self) {
        self.receiving = false;
        self.asked = false;
        self.full = false;
    }

    /// The handler receives nothing more, nor what is there, which is returned.
    pub(super) fn forget_received(&mut self) -> VecDeque<Message> {
        self.stop_receiving();
        self.last = None;
        if let Some(ahead) = &mut self.ahead {
            ahead.clear();
        }
        std::mem::take(&mut self.inbox)
    }

    /// Sends what the handler has given, and closes with `frame` then.
    pub(super) fn finish(&mut self, frame: CloseFrame) {
        self.stop_receiving();
        self.sending = false;
        self.last_word.get_or_insert(frame);
    }

    /// To be called once in every interval: sends a ping, unless the other side has been silent for too long.
    pub(super) fn tick(&mut self) {
        let Some(protocol) = &mut self.protocol else {
            return;
        };
        let transport = protocol.get_mut();
        // A client that is not listened to cannot be heard. One that takes nothing either waits for nothing but us.
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

    /// Lets go of everything; the connection is reset unless it has been closed.
    pub(super) fn hang_up(&mut self) {
        self.end(End::Lost);
        self.ended = None;
        self.outbox.clear();
    }
}

/// The length of the header of a client's frame that is a whole message.
fn header_length(payload: usize) -> usize {
    match payload {
        ..=125 => 6,
        126..=0xffff => 8,
        _ => 14,
    }
}
