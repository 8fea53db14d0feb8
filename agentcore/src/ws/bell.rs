//! Who is called when the connection has something to do.
//!
//! The connection belongs to two tasks. While the handler waits for a message it is the one that is called: what has
//! arrived is read by whom it is for, and no other task is woken. At all other times it is the keeper. And since a handler
//! that has been called, or been given a message, may be busy with something else, the keeper looks for itself soon
//! after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// What the connection's side of everything is woken through; see the [module](self).
///
/// A waker is somebody else's code: it is used, and dropped, outside the lock.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Rope>);

#[derive(Debug, Default)]
struct Rope {
    handler: Handler,
    keeper: Option<Waker>,
    /// The keeper has been told to look soon.
    watched: bool,
}

#[derive(Debug, Default)]
enum Handler {
    /// Does something else.
    #[default]
    Away,
    /// Waits for a message.
    Waits(Waker),
    /// Has been called, and has not come yet.
    Called,
    /// Has nothing to do with the connection any more.
    Gone,
}

/// What the keeper finds.
#[derive(Debug)]
pub(super) struct Watch {
    /// It has to look soon, whatever it does now.
    pub(super) soon: bool,
    /// The handler is on its way.
    pub(super) called: bool,
}

impl Bell {
    /// The handler waits, from before it looks for the last time.
    pub(super) fn wait(&self, handler: &Waker) {
        let mut rope = self.rope();
        match &rope.handler {
            Handler::Waits(known) if known.will_wake(handler) => return,
            Handler::Gone => return,
            Handler::Waits(_) | Handler::Away | Handler::Called => {}
        }
        let before = std::mem::replace(&mut rope.handler, Handler::Waits(handler.clone()));
        drop(rope);
        drop(before);
    }

    /// The handler has got what it waited for.
    pub(super) fn served(&self) {
        let mut rope = self.rope();
        if matches!(rope.handler, Handler::Gone) {
            return;
        }
        let before = std::mem::take(&mut rope.handler);
        let keeper = rope.watch();
        drop(rope);
        drop(before);
        call(keeper);
    }

    /// There is something for the handler that does not come from the connection.
    pub(super) fn call_handler(&self) {
        let mut rope = self.rope();
        let before = match rope.handler {
            Handler::Waits(_) => std::mem::take(&mut rope.handler),
            Handler::Away | Handler::Called | Handler::Gone => return,
        };
        drop(rope);
        if let Handler::Waits(handler) = before {
            handler.wake();
        }
    }

    /// The handler sees the end; only the keeper is called from here on.
    pub(super) fn let_go(&self) {
        let mut rope = self.rope();
        let before = std::mem::replace(&mut rope.handler, Handler::Gone);
        drop(rope);
        if let Handler::Waits(handler) = before {
            handler.wake();
        }
    }

    /// There is something for the keeper alone.
    pub(super) fn call_keeper(&self) {
        let keeper = self.rope().keeper.clone();
        call(keeper);
    }

    /// The keeper looks, and is called from now on.
    pub(super) fn look(&self, keeper: &Waker) -> Watch {
        let mut rope = self.rope();
        if !rope
            .keeper
            .as_ref()
            .is_some_and(|known| known.will_wake(keeper))
        {
            rope.keeper = Some(keeper.clone());
        }
        Watch {
            soon: rope.watched,
            called: matches!(rope.handler, Handler::Called),
        }
    }

    /// The keeper has waited long enough: who has not come by now is away.
    pub(super) fn end_watch(&self) {
        let mut rope = self.rope();
        rope.watched = false;
        if matches!(rope.handler, Handler::Called) {
            rope.handler = Handler::Away;
        }
    }

    fn rope(&self) -> MutexGuard<'_, Rope> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rope {
    /// Has the keeper look soon; it has to be called unless it knows.
    fn watch(&mut self) -> Option<Waker> {
        let knows = std::mem::replace(&mut self.watched, true);
        if knows { None } else { self.keeper.clone() }
    }
}

fn call(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut rope = self.rope();
        let (handler, keeper) = match std::mem::replace(&mut rope.handler, Handler::Called) {
            Handler::Waits(handler) => (Some(handler), rope.watch()),
            Handler::Called => (None, None),
            alone @ (Handler::Away | Handler::Gone) => {
                rope.handler = alone;
                (None, rope.keeper.clone())
            }
        };
        drop(rope);
        call(handler);
        call(keeper);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Both {
        bell: Arc<Bell>,
        handler: Arc<Count>,
        keeper: Arc<Count>,
    }

    impl Both {
        fn new() -> Self {
            let both = Self {
                bell: Arc::default(),
                handler: Arc::default(),
                keeper: Arc::default(),
            };
            both.looks();
            both
        }

        fn waits(&self) {
            self.bell.wait(&Waker::from(Arc::clone(&self.handler)));
        }

        fn looks(&self) -> Watch {
            self.bell.look(&Waker::from(Arc::clone(&self.keeper)))
        }

        fn rings(&self) {
            Waker::from(Arc::clone(&self.bell)).wake_by_ref();
        }

        /// How often the handler and the keeper have been called since this was last asked.
        fn calls(&self) -> (usize, usize) {
            let calls = |count: &Count| count.0.swap(0, Ordering::Relaxed);
            (calls(&self.handler), calls(&self.keeper))
        }
    }

    #[test]
    fn a_handler_that_waits_is_called_alone_but_for_the_first_time() {
        let both = Both::new();
        both.waits();
        both.rings();
        assert_eq!(both.calls(), (1, 1));
        for _ in 0..10 {
            both.bell.served();
            both.waits();
            both.rings();
            assert_eq!(both.calls(), (1, 0));
        }
    }

    #[test]
    fn while_the_handler_is_away_the_keeper_is_called() {
        let both = Both::new();
        for _ in 0..3 {
            both.rings();
            assert_eq!(both.calls(), (0, 1));
        }
    }

    #[test]
    fn a_handler_that_has_been_called_and_does_not_come_is_away() {
        let both = Both::new();
        both.waits();
        both.rings();
        both.rings();
        assert_eq!(both.calls(), (1, 1), "the second time it is on its way");
        let found = both.looks();
        assert!(found.soon && found.called, "{found:?}");
        both.bell.end_watch();
        let found = both.looks();
        assert!(!found.soon && !found.called, "{found:?}");
        both.rings();
        assert_eq!(both.calls(), (0, 1));
    }

    #[test]
    fn a_handler_that_has_been_served_is_looked_after_as_well() {
        let both = Both::new();
        both.waits();
        both.bell.served();
        assert_eq!(both.calls(), (0, 1));
        let found = both.looks();
        assert!(found.soon && !found.called, "{found:?}");
    }

    #[test]
    fn once_it_is_let_go_the_handler_is_not_called_wherever_it_was() {
        for come in [Both::waits, Both::rings, |_: &Both| {}] {
            let both = Both::new();
            both.waits();
            come(&both);
            both.bell.let_go();
            both.calls();
            both.waits();
            both.rings();
            both.bell.served();
            both.rings();
            assert_eq!(both.calls(), (0, 2));
        }
    }

    #[test]
    fn what_does_not_come_from_the_connection_calls_only_whom_it_is_for() {
        let both = Both::new();
        both.waits();
        both.bell.call_keeper();
        assert_eq!(both.calls(), (0, 1));
        both.bell.call_handler();
        assert_eq!(both.calls(), (1, 0));
        both.bell.call_handler();
        assert_eq!(both.calls(), (0, 0), "it does not wait any more");
    }
}
