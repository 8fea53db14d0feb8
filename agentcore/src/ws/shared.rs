//! The connection between its two tasks: the handler, which receives and sends, and the driver, which keeps the connection going
//! whatever the handler does.
//!
//! # Invariant
//!
//! The [`Connection`] is polled only under its lock, and only with the waker of [`Wakeups`], which decides which task a wake-up
//! reaches. A task that does what the other waits for wakes it when it releases the lock, in [`Shared::release`] and nowhere
//! else:
//!
//! - A message or an end in the inbox wakes a handler that waits.
//! - Room in the outbox wakes every sender that waits for it.
//! - Room in the inbox, or the end of the connection, wakes the driver.
//!
//! The locks are taken one after the other, never one inside the other, and no waker is woken under either.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::connection::{Connection, End, Protocol, Received};
use super::error::WebSocketError;
use super::message::Message;
use super::session::Sockets;
use super::transport::Transport;
use super::wakeups::Wakeups;
use crate::util::sync::{Mutex, MutexGuard};
use crate::util::timer::Timer;

/// How long the driver leaves the connection to a handler that has been woken or has got a message. It is the longest delay of a
/// pong if the handler then computes, and the interval at which a busy socket pays for a further wake-up.
const WATCH: Duration = Duration::from_millis(50);

/// The handler's side; see the [module](self).
pub(super) struct Shared {
    connection: Mutex<Connection>,
    wakeups: Arc<Wakeups>,
    /// The waker of `wakeups`.
    waker: Waker,
}

impl Shared {
    /// A socket that has yet to be connected.
    pub(super) fn new() -> Self {
        let wakeups = Arc::<Wakeups>::default();
        Self {
            connection: Mutex::new(Connection::new()),
            waker: Waker::from(Arc::clone(&wakeups)),
            wakeups,
        }
    }

    /// The next message. Cancel safe: a message that has not been returned is still there.
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.wakeups.wait(cx.waker());
        let mut connection = self.connection.lock();
        if !connection.has_news() {
            connection.receive(&mut self.cx());
        }
        let received = connection.poll_received();
        self.release(connection);
        if received.is_ready() {
            self.wakeups.handled();
        }
        received
    }

    /// Drops what the handler has not received. It receives nothing more.
    pub(super) fn stop_receiving(&self) {
        let forgotten = self.connection.lock().forget_received();
        drop(forgotten);
        self.wakeups.handled();
        self.wakeups.wake_driver();
    }

    /// Ready when there is room for another message; an error when none may be sent any more.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.connection.lock().poll_room(cx)
    }

    /// Sends `message`. What cannot be sent at once is sent later.
    ///
    /// # Errors
    ///
    /// Nothing may be sent any more.
    pub(super) fn send(&self, message: Message) -> Result<(), WebSocketError> {
        let mut connection = self.connection.lock();
        let put = connection.put(message);
        connection.send(&mut self.cx());
        self.release(connection);
        put
    }

    /// Whether nothing may be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        !self.connection.lock().is_sending()
    }

    /// Unlocks the connection, then wakes the tasks that wait for its new state.
    fn release(&self, mut connection: MutexGuard<'_, Connection>) {
        let senders = connection.senders_with_room();
        let for_handler = connection.has_news();
        let for_driver = connection.has_room_again() | connection.has_ended();
        drop(connection);
        senders.into_iter().for_each(Waker::wake);
        if for_handler {
            self.wakeups.wake_handler();
        }
        if for_driver {
            self.wakeups.wake_driver();
        }
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

/// The driver's side; see the [module](self). Its drop ends the connection, which the handler sees.
pub(super) struct Driver {
    shared: Arc<Shared>,
    watch: Timer,
}

impl Driver {
    /// Connects `shared`.
    pub(super) fn new(shared: Arc<Shared>, transport: Transport, sockets: &Sockets) -> Self {
        shared.connection.lock().connect(transport, sockets);
        Self {
            shared,
            watch: Timer::new(WATCH),
        }
    }

    /// Keeps the connection going until one of the two sides ends it.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing that has begun is lost.
    pub(super) async fn drive(&mut self) -> (Protocol, End) {
        std::future::poll_fn(|cx| self.poll_drive(cx)).await
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<(Protocol, End)> {
        let is_the_handlers = self.poll_watch(cx).is_pending();
        let mut connection = self.shared.connection.lock();
        if !is_the_handlers {
            connection.drive(&mut self.shared.cx());
        }
        let ended = connection.take_ended();
        self.shared.release(connection);
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// Not ready while the connection is left to the handler.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let found = self.shared.wakeups.look(cx.waker());
        if !found.watching {
            return Poll::Ready(());
        }
        if self.watch.poll(cx).is_ready() {
            self.shared.wakeups.stop_watching();
            return Poll::Ready(());
        }
        if found.handler_is_woken {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Changes the connection, and wakes the tasks that wait for its new state.
    pub(super) fn change(&self, how: impl FnOnce(&mut Connection)) {
        let mut connection = self.shared.connection.lock();
        how(&mut connection);
        self.shared.release(connection);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.change(Connection::hang_up);
        self.shared.wakeups.leave();
    }
}
