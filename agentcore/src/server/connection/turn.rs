//! How much the front reads and writes between two looks at its sockets.
//!
//! The runtime asks the kernel which sockets are ready when no task can run, or after 31 polls of tasks. A task that reads a
//! fast body can always run, and each of its polls may copy 240 KiB: 31 of them take 10 ms, in which a ping lies unread. One
//! write to a fast reader may take 20 MB, and 4 ms.
//!
//! So all connections of the front have one budget of bytes. A connection that finds it spent lets the runtime look at the
//! sockets first, and the first connection that comes back from that begins the next turn with a full budget.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

/// What may be read and written in one turn, in bytes. To read so much, and to copy it into a body's buffer, takes 1 ms.
const BUDGET: usize = 512 * 1024;

/// What may be written at a time, in bytes.
const WRITE: usize = BUDGET / 2;

thread_local! {
    /// Of the front, which is one thread.
    static TURN: Turn = const { Turn { number: Cell::new(0), spent: Cell::new(0) } };
}

struct Turn {
    number: Cell<u64>,
    /// Bytes read and written in it.
    spent: Cell<usize>,
}

/// The part of one connection.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The turn in which it found the budget spent.
    waits_since: Option<u64>,
}

impl Share {
    /// How many bytes the connection may write now; it may read any number. While it may do neither, its task is polled again
    /// after the runtime has looked at the sockets.
    pub(crate) fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        TURN.with(|turn| {
            let number = turn.number.get();
            if self.waits_since.take() == Some(number) {
                turn.number.set(number.wrapping_add(1));
                turn.spent.set(0);
            }
            if turn.spent.get() < BUDGET {
                return Poll::Ready(WRITE);
            }
            self.waits_since = Some(turn.number.get());
            // Not a wake of its own: a woken task is polled before the sockets are looked at.
            pin!(tokio::task::yield_now()).poll(cx).map(|()| WRITE)
        })
    }
}

/// Takes `bytes` that have been read or written from the budget of this turn.
pub(crate) fn spend(bytes: usize) {
    TURN.with(|turn| turn.spent.set(turn.spent.get().saturating_add(bytes)));
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_allowed(share: &mut Share) -> bool {
        share
            .poll_allowed(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn all_connections_share_one_budget_and_the_first_that_comes_back_renews_it() {
        let (mut one, mut other, mut third) =
            (Share::default(), Share::default(), Share::default());
        spend(BUDGET - 1);
        assert!(is_allowed(&mut one));
        spend(1);
        assert!(!is_allowed(&mut one));
        assert!(!is_allowed(&mut other));
        assert!(is_allowed(&mut one), "a new turn");
        spend(BUDGET);
        assert!(!is_allowed(&mut other), "it waited in an earlier turn");
        assert!(!is_allowed(&mut third));
        assert!(is_allowed(&mut other));
        assert!(is_allowed(&mut third), "the budget is full again");
    }
}
