//! Wake-ups of a socket's two tasks.
//!
//! The handler and the driver share one connection, and the connection has one waker: this one. A wake-up goes to the
//! handler while the handler waits for a message, so that a message wakes the one task that wants it. At all other times
//! it goes to the driver.
//!
//! # Invariant
//!
//! The connection is polled with this waker only. Whenever it has something to do, one of these holds:
//!
//! 1. The handler is `Waiting` or `Absent` or `Gone`, and the connection still has this waker: the wake-up is yet to come.
//! 2. The driver has been woken since it was last polled, or is being polled.
//! 3. The driver is watching: its timer runs, and when the timer ends the driver polls the connection.
//!
//! It holds because of these rules:
//!
//! - The handler becomes `Waiting` before it polls the connection, so a wake-up after that poll finds its waker.
//! - A wake-up that goes to the handler makes it `Woken` and, under the same lock, has the driver watch. A handler that has
//!   been woken may not come back: it may compute, or have given the message up in a `select!`. So `Woken` implies
//!   watching, and a wake-up that finds `Woken` may be dropped.
//! - A handler that has got a message is `Absent`, and may have left more behind it. It has not lost the wake-up for that:
//!   what it has read arrived with a wake-up that woke the driver or had it watch, and a read that finds something does not
//!   take the waker from the connection.
//! - The driver stops watching only when its timer has ended. Under the same lock `Woken` becomes `Absent`, and the driver
//!   polls the connection afterwards. So no wake-up is lost between the two.
//! - `Gone` is final. From then on every wake-up goes to the driver's task, which closes the connection.
//!
//! A dropped wake-up therefore costs the time of one watch at most. Wakers are used and dropped outside the lock, because a
//! waker is code of another: its drop may free a task that owns a half of this very socket.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::util::sync::Mutex;

/// Wakes the task that has to poll the connection; see the [module](self).
#[derive(Debug, Default)]
pub(super) struct Wakeups(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    handler: HandlerWait,
    driver: Option<Waker>,
    /// Whether the driver polls the connection soon in any case.
    watching: bool,
}

/// The handler's state between two messages.
#[derive(Debug, Default)]
enum HandlerWait {
    /// It does not wait.
    #[default]
    Absent,
    /// It waits for a message.
    Waiting(Waker),
    /// It has been woken, and has not come back yet.
    Woken,
    /// It never waits again: the driver has left the connection.
    Gone,
}

/// What the driver finds when it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether the driver has to watch.
    pub(super) watching: bool,
    /// Whether the handler has been woken, and has not come back yet.
    pub(super) handler_is_woken: bool,
}

impl Wakeups {
    /// The handler waits for a message. It calls this before it polls the connection.
    pub(super) fn wait(&self, handler: &Waker) {
        let mut state = self.0.lock();
        match &state.handler {
            HandlerWait::Waiting(known) if known.will_wake(handler) => return,
            HandlerWait::Gone => return,
            HandlerWait::Waiting(_) | HandlerWait::Absent | HandlerWait::Woken => {}
        }
        let waiting = HandlerWait::Waiting(handler.clone());
        let before = std::mem::replace(&mut state.handler, waiting);
        drop(state);
        drop(before);
    }

    /// The handler has got a message, or wants none.
    pub(super) fn handled(&self) {
        let mut state = self.0.lock();
        if matches!(state.handler, HandlerWait::Gone) {
            return;
        }
        let before = std::mem::take(&mut state.handler);
        drop(state);
        drop(before);
    }

    /// Wakes the handler, if it waits, for a message in its inbox.
    pub(super) fn wake_handler(&self) {
        let mut state = self.0.lock();
        let before = match state.handler {
            HandlerWait::Waiting(_) => std::mem::take(&mut state.handler),
            HandlerWait::Absent | HandlerWait::Woken | HandlerWait::Gone => return,
        };
        drop(state);
        if let HandlerWait::Waiting(handler) = before {
            handler.wake();
        }
    }

    /// The driver leaves the connection. A handler that waited has been woken for the end.
    pub(super) fn leave(&self) {
        let mut state = self.0.lock();
        let before = std::mem::replace(&mut state.handler, HandlerWait::Gone);
        drop(state);
        drop(before);
    }

    /// Wakes the driver.
    pub(super) fn wake_driver(&self) {
        let driver = self.0.lock().driver.clone();
        wake(driver);
    }

    /// The driver is polled, and is woken through `driver` from now on.
    pub(super) fn look(&self, driver: &Waker) -> Found {
        let mut state = self.0.lock();
        let known = state.driver.as_ref();
        let before = if known.is_some_and(|known| known.will_wake(driver)) {
            None
        } else {
            state.driver.replace(driver.clone())
        };
        let found = Found {
            watching: state.watching,
            handler_is_woken: matches!(state.handler, HandlerWait::Woken),
        };
        drop(state);
        drop(before);
        found
    }

    /// The driver's timer has ended. A handler that has not come back by now does something else. The driver polls the
    /// connection afterwards.
    pub(super) fn stop_watching(&self) {
        let mut state = self.0.lock();
        state.watching = false;
        if matches!(state.handler, HandlerWait::Woken) {
            state.handler = HandlerWait::Absent;
        }
    }
}

impl State {
    /// Makes the driver watch. Returns its waker, unless it watches already.
    fn watch(&mut self) -> Option<Waker> {
        let watched = std::mem::replace(&mut self.watching, true);
        if watched { None } else { self.driver.clone() }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.0.lock();
        let (handler, driver) = match std::mem::replace(&mut state.handler, HandlerWait::Woken) {
            HandlerWait::Waiting(handler) => (Some(handler), state.watch()),
            HandlerWait::Woken => (None, None),
            other @ (HandlerWait::Absent | HandlerWait::Gone) => {
                state.handler = other;
                (None, state.driver.clone())
            }
        };
        drop(state);
        wake(handler);
        wake(driver);
    }
}
