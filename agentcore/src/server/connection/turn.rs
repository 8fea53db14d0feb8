//! A limit on the bytes that the front reads and writes before it polls its sockets again.
//!
//! The runtime asks the kernel which sockets are ready when no task can run, or after 31 polls of tasks. A task that reads a
//! fast body can always run, and each of its polls may copy 240 KiB: 31 of them take 10 ms, and a ping waits so long. One
//! write to a fast reader may take 20 MB and 4 ms.
//!
//! So all connections of the front share one budget of bytes. A connection that finds the budget spent yields until the
//! runtime has polled the sockets. The first connection that is polled after that begins the next turn with a full budget.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

/// The bytes that may be read and written in one turn. Reading them into a body's buffer takes 1 ms.
const BUDGET: usize = 512 * 1024;

/// The bytes that one write may take.
const WRITE: usize = BUDGET / 2;

thread_local! {
    /// The current turn of the front, which is one thread.
    static TURN: Turn = const { Turn { number: Cell::new(0), spent: Cell::new(0) } };
}

struct Turn {
    number: Cell<u64>,
    /// Bytes read and written in this turn.
    spent: Cell<usize>,
}

/// One connection's use of the budget.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The turn in which the connection found the budget spent.
    waits_since: Option<u64>,
}

impl Share {
    /// How many bytes the connection may write now; a read has no limit. `Pending` means that the budget is spent: the task is
    /// polled again after the runtime has polled the sockets.
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
            // `wake_by_ref` would not do: a woken task is polled before the sockets are.
            pin!(tokio::task::yield_now()).poll(cx).map(|()| WRITE)
        })
    }
}

/// Takes `bytes` from the budget of this turn, after they have been read or written.
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
