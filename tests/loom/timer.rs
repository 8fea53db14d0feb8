//! A timer that ends when the model says so.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::Mutex;

/// Whether timers end.
#[derive(Debug, Default)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: bool,
    waker: Option<Waker>,
}

impl Clock {
    /// Ends the current timer and every later one.
    pub(crate) fn end(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

thread_local! {
    /// The clock of the next timer. It is set and taken before a model starts its threads.
    static CLOCK: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
pub(crate) struct Timer(Arc<Clock>);

impl Timer {
    pub(crate) fn new(_: Duration) -> Self {
        Self(CLOCK.take().unwrap_or_default())
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap();
        if state.ended {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// An interval that is over when its clock has ended, or when it has not begun.
#[derive(Debug)]
pub(crate) struct Interval {
    clock: Arc<Clock>,
    runs: bool,
}

impl Interval {
    pub(crate) fn new(_: Duration) -> Self {
        Self {
            clock: CLOCK.take().unwrap_or_default(),
            runs: false,
        }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        !std::mem::replace(&mut self.runs, true) || self.clock.0.lock().unwrap().ended
    }
}

/// Makes the next timer of this thread follow `clock`.
pub(crate) fn follow(clock: Arc<Clock>) {
    CLOCK.set(Some(clock));
}
