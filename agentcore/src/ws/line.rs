//! The link between its two users: the handler, which receives and sends, and the keeper, which looks after the connection
//! whatever the handler does.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::bell::Bell;
use super::close::CloseFrame;
use super::error::WebSocketError;
use super::link::{Connection, End, Link, Received};
use super::message::Message;
use super::session::WsSettings;
use super::transport::Transport;

/// How long the keeper leaves the connection to a handler that has been called, or been given a message. So late may a
/// ping be answered, once, when the handler computes instead; and so often does a busy socket cost more than its messages.
const WATCH: Duration = Duration::from_millis(50);

/// The handler's side; see the [module](self).
#[derive(Debug)]
pub(super) struct Line {
    link: Mutex<Link>,
    bell: Arc<Bell>,
    /// Rings it.
    waker: Waker,
}

impl Line {
    /// One that has yet to be connected.
    pub(super) fn new() -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            link: Mutex::new(Link::new()),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// The next message. Cancel safe: what has not been returned is still there.
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        // First: what happens from here on is heard.
        self.bell.wait(cx.waker());
        let mut link = self.link();
        if !link.has_news() {
            link.receive(&mut self.cx());
        }
        let received = link.poll_received();
        self.leave(link);
        if received.is_ready() {
            self.bell.served();
        }
        received
    }

    /// Nobody receives any more.
    pub(super) fn stop_receiving(&self) {
        self.link().forget_received();
        self.bell.served();
        self.bell.call_keeper();
    }

    /// Ready when there is room for another message; an error when there never will be.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.link().poll_room(cx)
    }

    /// Sends `message`, of which what cannot be sent at once leaves when it can.
    ///
    /// # Errors
    ///
    /// Nothing may be sent any more.
    pub(super) fn send(&self, message: Message) -> Result<(), WebSocketError> {
        let mut link = self.link();
        let put = link.put(message);
        link.send(&mut self.cx());
        self.leave(link);
        put
    }

    /// Whether nothing may be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        !self.link().is_sending()
    }

    /// Calls whom it concerns what has become of the link. Not before it is unlocked: a waker is code of somebody else's.
    fn leave(&self, mut link: MutexGuard<'_, Link>) {
        let senders = link.senders_with_room();
        let for_handler = link.has_news();
        let for_keeper = link.has_room_again() | link.has_ended();
        drop(link);
        senders.into_iter().for_each(Waker::wake);
        if for_handler {
            self.bell.call_handler();
        }
        if for_keeper {
            self.bell.call_keeper();
        }
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's side; see the [module](self). When it is dropped the handler sees the end.
#[derive(Debug)]
pub(super) struct Keeper {
    line: Arc<Line>,
    watch: Pin<Box<Sleep>>,
    watching: bool,
}

impl Keeper {
    /// Connects `line`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub(super) fn new(line: Arc<Line>, transport: Transport, settings: &WsSettings) -> Self {
        line.link().connect(transport, settings);
        Self {
            line,
            watch: Box::pin(sleep(WATCH)),
            watching: false,
        }
    }

    /// Lets both sides talk until one of them ends it.
    ///
    /// # Cancel safety
    ///
    /// Safe: everything that has been begun is kept.
    pub(super) async fn talk(&mut self) -> (Connection, End) {
        std::future::poll_fn(|cx| self.poll_talk(cx)).await
    }

    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<(Connection, End)> {
        let is_the_handlers = self.poll_watch(cx).is_pending();
        let mut link = self.line.link();
        if !is_the_handlers {
            link.talk(&mut self.line.cx());
        }
        let ended = link.take_ended();
        self.line.leave(link);
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// Not ready while the connection is best left to the handler.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let found = self.line.bell.look(cx.waker());
        if !found.soon {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut self.watching, true) {
            self.watch.as_mut().reset(Instant::now() + WATCH);
        }
        if self.watch.as_mut().poll(cx).is_ready() {
            self.watching = false;
            self.line.bell.end_watch();
            return Poll::Ready(());
        }
        if found.called {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Receives nothing more; the handler sees the end once it has read what is there.
    pub(super) fn stop_receiving(&self) {
        self.change(Link::stop_receiving);
    }

    /// Sends what the handler has given, and closes with `frame` then.
    pub(super) fn finish(&self, frame: CloseFrame) {
        self.change(|link| link.finish(frame));
    }

    /// To be called once in every interval: sends a ping, unless the other side has been silent for too long.
    pub(super) fn tick(&self) {
        self.change(Link::tick);
    }

    fn change(&self, how: impl FnOnce(&mut Link)) {
        let mut link = self.line.link();
        how(&mut link);
        self.line.leave(link);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.change(Link::hang_up);
        self.line.bell.let_go();
    }
}
