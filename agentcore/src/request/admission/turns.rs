//! [`Turns`]: one invocation of a session has the turn, the others wait for it in the order of their arrival.
//!
//! # Invariant
//!
//! A session is in the map exactly while one of its invocations has the turn, or has been sent it. Its queue holds a sender
//! for each waiting invocation; the first one gets the turn next. The map and the queues change under one lock.
//!
//! - The turn is passed on outside the lock, by the invocation that has it. Meanwhile the session stays in the map, so no other
//!   invocation can overtake.
//! - An invocation that leaves closes its receiver first, and then checks it. If the turn is there, the invocation passes it on.
//!   If not, it can never come: the send fails, and the sender's side tries the next. So no turn is lost.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::util::sync::Mutex;
use crate::util::sync::oneshot::{Receiver, Sender, channel};

/// See the [module](self).
///
/// A tree, because the keys of a hash map are drawn once, and would be equal in every session that is restored from one
/// snapshot.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<String, Queue>>);

type Queue = VecDeque<Sender<()>>;

impl Turns {
    /// The next turn of `session`; `None` if it is taken and `most` invocations wait for it already.
    pub(crate) fn take(self: &Arc<Self>, session: &str, most: usize) -> Option<Turn> {
        let mut sessions = self.0.lock();
        let wait = match sessions.get_mut(session) {
            None => {
                sessions.insert(session.to_owned(), Queue::new());
                None
            }
            Some(queue) if queue.len() >= most => return None,
            Some(queue) => {
                let (sender, receiver) = channel();
                queue.push_back(sender);
                Some(receiver)
            }
        };
        drop(sessions);
        Some(Turn {
            turns: Arc::clone(self),
            session: session.to_owned(),
            wait,
        })
    }

    /// Whether no session has a turn.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Gives the turn of `session` to the next invocation that waits for it.
    fn pass_on(&self, session: &str) {
        loop {
            let mut sessions = self.0.lock();
            let next = sessions.get_mut(session).and_then(VecDeque::pop_front);
            let Some(next) = next else {
                let over = sessions.remove_entry(session);
                drop(sessions);
                drop(over);
                return;
            };
            drop(sessions);
            // The send fails if the invocation has left.
            if next.send(()).is_ok() {
                return;
            }
        }
    }

    /// Removes the senders of invocations that have left the queue of `session`.
    fn tidy(&self, session: &str) {
        let mut sessions = self.0.lock();
        if let Some(queue) = sessions.get_mut(session) {
            queue.retain(|waiting| !waiting.is_closed());
        }
    }
}

/// An invocation's turn, or its place in the queue for it. Its drop passes the turn on.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    session: String,
    /// `None` once the turn has come.
    wait: Option<Receiver<()>>,
}

impl Turn {
    /// Ready when the turn has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            // A sender is dropped only by sending.
            let _ = std::task::ready!(Pin::new(wait).poll(cx));
            self.wait = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.close();
            if wait.try_recv().is_err() {
                return self.turns.tidy(&self.session);
            }
        }
        self.turns.pass_on(&self.session);
    }
}
