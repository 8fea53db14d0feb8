//! A socket's handler and its driver, at every moment at which an event can happen on their connection.
//!
//! `wakeups.rs` and `shared.rs` are the library's own. The connection under them is a model that follows the real one's rules:
//! it keeps one waker, from the last poll that found nothing, and uses it once.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread;

use self::connection::{End, Peer};
use self::shared::{Driver, Shared};
use crate::executor::{block_on, explore};
use crate::timer::{self, Clock};

#[path = "../../agentcore/src/ws/shared.rs"]
mod shared;
#[path = "../../agentcore/src/ws/wakeups.rs"]
mod wakeups;

mod close {
    #[derive(Debug)]
    pub(super) struct CloseFrame;
}

mod error {
    #[derive(Debug)]
    pub(super) struct WebSocketError;
}

mod message {
    pub(super) type Message = u8;
}

mod session {
    pub(super) struct Sockets;
}

mod transport {
    pub(super) type Transport = std::sync::Arc<super::connection::Peer>;
}

mod connection {
    //! A connection whose other side is a thread of the model.

    use std::collections::VecDeque;
    use std::task::{Context, Poll, Waker};

    use loom::sync::Mutex;

    use super::close::CloseFrame;
    use super::error::WebSocketError;
    use super::message::Message;
    use super::session::Sockets;
    use super::transport::Transport;

    /// The number of messages that are received ahead, and sent ahead.
    const AHEAD: usize = 1;

    pub(super) type Received = Result<Message, WebSocketError>;
    pub(super) type Protocol = Transport;

    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum End {
        Ours,
        Theirs,
        Lost,
    }

    /// A frame that arrives.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Frame {
        Message(Message),
        Ping,
        Close,
    }

    /// The state of the other side.
    #[derive(Debug, Default)]
    pub(super) struct Peer(Mutex<Wire>);

    #[derive(Debug, Default)]
    struct Wire {
        arrived: VecDeque<Frame>,
        pongs: usize,
        /// Messages that are sent and not yet taken by the peer.
        sent: Vec<Message>,
        /// The number of messages that the peer has taken.
        taken: usize,
        reader: Option<Waker>,
        writer: Option<Waker>,
        /// The waker of the peer, which waits for something from this side.
        peer: Option<Waker>,
    }

    impl Peer {
        fn change<R>(&self, change: impl FnOnce(&mut Wire) -> R) -> R {
            change(&mut self.0.lock().unwrap())
        }

        /// `frames` arrive together.
        pub(super) fn sends(&self, frames: &[Frame]) {
            let reader = self.change(|wire| {
                wire.arrived.extend(frames);
                wire.reader.take()
            });
            wake(reader);
        }

        /// Ready when `count` pings have been answered.
        pub(super) fn poll_pongs(&self, count: usize, cx: &Context<'_>) -> Poll<()> {
            self.poll(cx, |wire| wire.pongs >= count)
        }

        /// Takes one message that has been sent.
        pub(super) fn poll_take(&self, cx: &Context<'_>) -> Poll<()> {
            let taken = self.change(|wire| {
                if wire.sent.pop().is_none() {
                    wire.peer = Some(cx.waker().clone());
                    return None;
                }
                wire.taken += 1;
                Some(wire.writer.take())
            });
            taken.map_or(Poll::Pending, |writer| {
                wake(writer);
                Poll::Ready(())
            })
        }

        fn poll(&self, cx: &Context<'_>, is_ready: impl FnOnce(&Wire) -> bool) -> Poll<()> {
            self.change(|wire| {
                if is_ready(wire) {
                    return Poll::Ready(());
                }
                wire.peer = Some(cx.waker().clone());
                Poll::Pending
            })
        }
    }

    fn wake(waker: Option<Waker>) {
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[derive(Debug)]
    pub(super) struct Connection {
        protocol: Option<Protocol>,
        ended: Option<(Protocol, End)>,
        inbox: VecDeque<Message>,
        receiving: bool,
        outbox: VecDeque<Message>,
        sending: bool,
        senders: Vec<Waker>,
        last_word: bool,
        full: bool,
    }

    impl Connection {
        pub(super) fn new() -> Self {
            Self {
                protocol: None,
                ended: None,
                inbox: VecDeque::new(),
                receiving: true,
                outbox: VecDeque::new(),
                sending: true,
                senders: Vec::new(),
                last_word: false,
                full: false,
            }
        }

        pub(super) fn connect(&mut self, peer: Transport, _: &Sockets) {
            self.protocol = Some(peer);
        }

        pub(super) fn has_news(&self) -> bool {
            !self.inbox.is_empty() || !self.receiving
        }

        pub(super) fn poll_received(&mut self) -> Poll<Option<Received>> {
            match self.inbox.pop_front() {
                Some(message) => Poll::Ready(Some(Ok(message))),
                None if self.receiving => Poll::Pending,
                None => Poll::Ready(None),
            }
        }

        pub(super) fn has_room_again(&mut self) -> bool {
            let again = self.full && self.inbox.len() < AHEAD;
            self.full &= !again;
            again
        }

        pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
            if self.sending && self.outbox.len() >= AHEAD {
                self.senders.push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(if self.sending {
                Ok(())
            } else {
                Err(WebSocketError)
            })
        }

        pub(super) fn put(&mut self, message: Message) -> Result<(), WebSocketError> {
            if !self.sending {
                return Err(WebSocketError);
            }
            self.outbox.push_back(message);
            Ok(())
        }

        pub(super) fn is_sending(&self) -> bool {
            self.sending
        }

        pub(super) fn senders_with_room(&mut self) -> Vec<Waker> {
            if self.sending && self.outbox.len() >= AHEAD {
                return Vec::new();
            }
            std::mem::take(&mut self.senders)
        }

        pub(super) fn has_ended(&self) -> bool {
            self.ended.is_some()
        }

        pub(super) fn take_ended(&mut self) -> Option<(Protocol, End)> {
            self.ended.take()
        }

        pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
            self.send(cx);
            self.receive_until(AHEAD, cx);
            self.full = self.receiving && self.inbox.len() >= AHEAD;
        }

        pub(super) fn receive(&mut self, cx: &mut Context<'_>) {
            self.receive_until(1, cx);
        }

        pub(super) fn send(&mut self, cx: &mut Context<'_>) {
            let Some(peer) = self.protocol.clone() else {
                return;
            };
            while let Some(message) = self.outbox.front().copied() {
                // The peer has room for one message.
                let told = peer.change(|wire| {
                    if !wire.sent.is_empty() {
                        wire.writer = Some(cx.waker().clone());
                        return None;
                    }
                    wire.sent.push(message);
                    Some(wire.peer.take())
                });
                let Some(told) = told else {
                    return;
                };
                self.outbox.pop_front();
                wake(told);
            }
            if self.last_word {
                self.end(End::Ours);
            }
        }

        fn receive_until(&mut self, messages: usize, cx: &mut Context<'_>) {
            let Some(peer) = self.protocol.clone() else {
                return;
            };
            while !self.receiving || self.inbox.len() < messages {
                let (frame, told) = peer.change(|wire| {
                    let frame = wire.arrived.pop_front();
                    match frame {
                        None => wire.reader = Some(cx.waker().clone()),
                        Some(Frame::Ping) => wire.pongs += 1,
                        Some(_) => {}
                    }
                    (frame, wire.peer.take())
                });
                wake(told);
                match frame {
                    None => return,
                    Some(Frame::Message(message)) if self.receiving => {
                        self.inbox.push_back(message);
                    }
                    Some(Frame::Ping | Frame::Message(_)) => {}
                    Some(Frame::Close) => return self.end(End::Theirs),
                }
            }
        }

        fn end(&mut self, end: End) {
            self.stop_receiving();
            self.sending = false;
            if let Some(protocol) = self.protocol.take() {
                self.ended = Some((protocol, end));
            }
        }

        pub(super) fn stop_receiving(&mut self) {
            self.receiving = false;
            self.full = false;
        }

        pub(super) fn forget_received(&mut self) -> VecDeque<Message> {
            self.stop_receiving();
            std::mem::take(&mut self.inbox)
        }

        pub(super) fn finish(&mut self, _: CloseFrame) {
            self.stop_receiving();
            self.sending = false;
            self.last_word = true;
        }

        pub(super) fn hang_up(&mut self) {
            self.end(End::Lost);
            self.ended = None;
            self.outbox.clear();
        }
    }
}

use self::connection::Frame::{Close, Message, Ping};

/// The parts with which a model begins.
struct Socket {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    clock: Arc<Clock>,
    driver: Driver,
}

fn socket() -> Socket {
    let (shared, peer) = (Arc::new(Shared::new()), Arc::<Peer>::default());
    let clock = Arc::<Clock>::default();
    timer::follow(Arc::clone(&clock));
    let driver = Driver::new(Arc::clone(&shared), Arc::clone(&peer), &session::Sockets);
    Socket {
        shared,
        peer,
        clock,
        driver,
    }
}

async fn recv(shared: &Shared) -> Option<u8> {
    let received = std::future::poll_fn(|cx| shared.poll_recv(cx)).await;
    received.map(Result::unwrap)
}

/// Drives the connection to its end on a thread, and then drops the driver.
fn drive(mut driver: Driver) -> thread::JoinHandle<End> {
    thread::spawn(move || {
        let (_peer, end) = block_on(driver.drive());
        drop(driver);
        end
    })
}

/// A message that arrives while the handler goes to wait reaches it, although no timer ends. So does the end.
#[test]
fn messages_reach_a_handler_that_goes_to_wait() {
    explore(3, || {
        let socket = socket();
        let driver = drive(socket.driver);
        let peer = thread::spawn(move || {
            socket.peer.sends(&[Message(1)]);
            socket.peer.sends(&[Message(2), Close]);
        });
        let shared = socket.shared;
        assert_eq!(block_on(recv(&shared)), Some(1));
        assert_eq!(block_on(recv(&shared)), Some(2));
        assert_eq!(block_on(recv(&shared)), None);
        assert_eq!(driver.join().unwrap(), End::Theirs);
        peer.join().unwrap();
    });
}

/// The handler gives up its message, as in a `select!`, while a ping arrives. The ping is answered when the driver's timer
/// ends, at any moment.
#[test]
fn a_ping_is_answered_for_a_handler_that_goes_away() {
    explore(3, || {
        let socket = socket();
        let driver = drive(socket.driver);
        let peer = Arc::clone(&socket.peer);
        let other = thread::spawn(move || {
            peer.sends(&[Ping]);
            socket.clock.end();
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(socket.shared.poll_recv(&mut cx).is_pending());
        block_on(std::future::poll_fn(|cx| socket.peer.poll_pongs(1, cx)));
        socket.peer.sends(&[Close]);
        assert_eq!(driver.join().unwrap(), End::Theirs);
        other.join().unwrap();
    });
}

/// The handler takes a message and computes. The driver handles what follows the message.
#[test]
fn a_ping_behind_a_message_is_answered_while_the_handler_is_at_work() {
    explore(3, || {
        let socket = socket();
        let driver = drive(socket.driver);
        let peer = Arc::clone(&socket.peer);
        let other = thread::spawn(move || {
            peer.sends(&[Message(1), Ping]);
            socket.clock.end();
        });
        assert_eq!(block_on(recv(&socket.shared)), Some(1));
        block_on(std::future::poll_fn(|cx| socket.peer.poll_pongs(1, cx)));
        socket.peer.sends(&[Close]);
        assert_eq!(driver.join().unwrap(), End::Theirs);
        other.join().unwrap();
    });
}

/// The handler drops its receiver while messages and the close arrive.
#[test]
fn the_driver_goes_on_without_a_receiver() {
    explore(3, || {
        let socket = socket();
        let driver = drive(socket.driver);
        let peer = thread::spawn(move || {
            socket.peer.sends(&[Message(1)]);
            socket.peer.sends(&[Message(2), Close]);
        });
        let mut cx = Context::from_waker(Waker::noop());
        let _ = socket.shared.poll_recv(&mut cx);
        socket.shared.stop_receiving();
        socket.clock.end();
        assert_eq!(driver.join().unwrap(), End::Theirs);
        peer.join().unwrap();
    });
}

/// The driver is dropped, as when all work is cut off, while the handler goes to wait and a message arrives.
#[test]
fn a_handler_sees_the_end_when_the_driver_is_dropped() {
    explore(3, || {
        let socket = socket();
        let driver = thread::spawn(move || {
            let mut driver = socket.driver;
            let mut drive = std::pin::pin!(driver.drive());
            let mut cx = Context::from_waker(Waker::noop());
            let _ = std::future::Future::poll(drive.as_mut(), &mut cx);
        });
        let peer = thread::spawn(move || socket.peer.sends(&[Message(1)]));
        let received = block_on(recv(&socket.shared));
        assert!(matches!(received, Some(1) | None), "{received:?}");
        assert_eq!(block_on(recv(&socket.shared)), None);
        driver.join().unwrap();
        peer.join().unwrap();
    });
}

/// The driver stops receiving, as at a shutdown, while the handler goes to wait. Then the handler returns, and the
/// driver closes after what was sent.
#[test]
fn a_handler_sees_the_end_of_the_receiving_and_its_last_message_leaves() {
    explore(3, || {
        let socket = socket();
        let peer = Arc::clone(&socket.peer);
        let shared = Arc::clone(&socket.shared);
        let handler = thread::spawn(move || {
            assert_eq!(block_on(recv(&shared)), None);
            shared.send(7).unwrap();
        });
        let mut driver = socket.driver;
        driver.change(connection::Connection::stop_receiving);
        let mut polled = Context::from_waker(Waker::noop());
        {
            let mut drive = std::pin::pin!(driver.drive());
            assert!(std::future::Future::poll(drive.as_mut(), &mut polled).is_pending());
        }
        handler.join().unwrap();
        driver.change(|connection| connection.finish(close::CloseFrame));
        let (_, end) = block_on(driver.drive());
        assert_eq!(end, End::Ours);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(peer.poll_take(&cx), Poll::Ready(()));
    });
}

/// The handler sends more than the peer takes at once. It waits for room, and a flush of the driver or of the handler
/// makes room.
#[test]
fn a_sender_gets_room_when_the_peer_takes_something() {
    explore(2, || {
        let socket = socket();
        let driver = drive(socket.driver);
        let peer = Arc::clone(&socket.peer);
        let other = thread::spawn(move || {
            for _ in 0..3 {
                block_on(std::future::poll_fn(|cx| peer.poll_take(cx)));
            }
            peer.sends(&[Close]);
        });
        for number in 0..3 {
            block_on(std::future::poll_fn(|cx| socket.shared.poll_room(cx))).unwrap();
            socket.shared.send(number).unwrap();
        }
        assert_eq!(driver.join().unwrap(), End::Theirs);
        other.join().unwrap();
    });
}

/// The inbox is full, so the driver reads nothing. It reads again when the handler has taken a message, and sees the end,
/// although the handler does not look any more.
#[test]
fn the_driver_reads_on_when_there_is_room_again() {
    explore(3, || {
        let socket = socket();
        socket.peer.sends(&[Message(1), Close]);
        socket.clock.end();
        let driver = drive(socket.driver);
        assert_eq!(block_on(recv(&socket.shared)), Some(1));
        assert_eq!(driver.join().unwrap(), End::Theirs);
    });
}
