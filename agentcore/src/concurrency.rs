//! How many invocations may be in flight at once, of all sessions and of one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::SessionPolicy;

/// Invocations of one session that may wait for their turn.
const MOST_WAITING: usize = 64;

/// Decides which invocations come in.
#[derive(Debug, Default)]
pub(crate) struct Concurrency {
    most: Option<usize>,
    policy: SessionPolicy,
    in_flight: AtomicUsize,
    /// The sessions that are at an invocation, each with its one turn. A tree, because a hash map's keys would be drawn
    /// once and be the same in every session that is restored from a snapshot.
    sessions: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// Why an invocation does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many are in flight as may be.
    Full,
    /// Its session is at another one.
    SessionBusy,
    /// Too many of its session wait.
    QueueFull,
}

impl Concurrency {
    pub(crate) fn new(most: Option<usize>, policy: SessionPolicy) -> Arc<Self> {
        Arc::new(Self {
            most,
            policy,
            ..Self::default()
        })
    }

    /// Lets an invocation in; `None` where nothing is limited.
    pub(crate) fn admit<'a>(
        self: &Arc<Self>,
        session: impl FnOnce() -> Option<&'a str>,
    ) -> Result<Option<Permit>, Refusal> {
        let matters = self.policy != SessionPolicy::Concurrent;
        let session = if matters { session() } else { None };
        if self.most.is_none() && session.is_none() {
            return Ok(None);
        }
        let most = self.most.unwrap_or(usize::MAX);
        let one_more = |count| (count < most).then_some(count + 1);
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Refusal::Full)?;
        // From here on the drop of the permit gives the place back.
        let mut permit = Permit {
            concurrency: Arc::clone(self),
            session: None,
            turn: Turn::None,
        };
        if let Some(session) = session {
            permit.turn = self.queue_up(session)?;
            permit.session = Some(session.to_owned());
        }
        Ok(Some(permit))
    }

    fn queue_up(&self, session: &str) -> Result<Turn, Refusal> {
        let mut sessions = self.lock();
        let turn = match sessions.get(session) {
            None => {
                let turn = Arc::new(Semaphore::new(1));
                sessions.insert(session.to_owned(), Arc::clone(&turn));
                turn
            }
            Some(_) if self.policy == SessionPolicy::Reject => return Err(Refusal::SessionBusy),
            // The map's own, that of the invocation whose turn it is, and of each that waits.
            Some(turn) if Arc::strong_count(turn) > MOST_WAITING + 1 => {
                return Err(Refusal::QueueFull);
            }
            Some(turn) => Arc::clone(turn),
        };
        let mut wait: Wait = Box::pin(async move {
            let turn = turn.acquire_owned().await;
            turn.expect("nobody closes it")
        });
        // A semaphore's queue begins with the first poll; here it is the order of arrival.
        Ok(
            match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(turn) => Turn::Now(turn),
                Poll::Pending => Turn::Later(wait),
            },
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Semaphore>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Wait = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

enum Turn {
    /// Its session does not matter.
    None,
    Now(#[expect(dead_code, reason = "held until the drop")] OwnedSemaphorePermit),
    Later(Wait),
}

/// An invocation's place among those in flight; given back by its drop.
pub(crate) struct Permit {
    concurrency: Arc<Concurrency>,
    session: Option<String>,
    turn: Turn,
}

impl Permit {
    /// What to wait for before the handler is called, if that is not now. To be given back by [`begin`](Self::begin).
    pub(crate) fn wait(&mut self) -> Option<Wait> {
        match std::mem::replace(&mut self.turn, Turn::None) {
            Turn::Later(wait) => Some(wait),
            other => {
                self.turn = other;
                None
            }
        }
    }

    /// Its turn has come.
    pub(crate) fn begin(&mut self, turn: OwnedSemaphorePermit) {
        self.turn = Turn::Now(turn);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.concurrency.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some(session) = self.session.take() else {
            return;
        };
        // Under the lock, so that of two that leave at once the last one sees it.
        let mut sessions = self.concurrency.lock();
        self.turn = Turn::None;
        if sessions
            .get(&session)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            sessions.remove(&session);
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(concurrency: &Arc<Concurrency>, session: &str) -> Result<Permit, Refusal> {
        let admitted = concurrency.admit(|| Some(session));
        admitted.map(|permit| permit.expect("something is limited"))
    }

    #[test]
    fn without_limits_there_is_nothing_to_hold() {
        let concurrency = Concurrency::new(None, SessionPolicy::Concurrent);
        assert!(concurrency.admit(|| Some("a")).unwrap().is_none());
        let concurrency = Concurrency::new(None, SessionPolicy::Reject);
        assert!(concurrency.admit(|| None).unwrap().is_none());
    }

    #[test]
    fn no_more_than_the_most_and_room_again_behind_one_that_leaves() {
        let concurrency = Concurrency::new(Some(2), SessionPolicy::Concurrent);
        let first = admit(&concurrency, "a").unwrap();
        let _second = admit(&concurrency, "a").unwrap();
        assert_eq!(admit(&concurrency, "b").unwrap_err(), Refusal::Full);
        drop(first);
        assert!(admit(&concurrency, "b").is_ok());
    }

    #[test]
    fn a_busy_session_is_refused_and_others_are_not() {
        let concurrency = Concurrency::new(Some(2), SessionPolicy::Reject);
        let first = admit(&concurrency, "a").unwrap();
        assert_eq!(admit(&concurrency, "a").unwrap_err(), Refusal::SessionBusy);
        // A refusal takes no place.
        let _other = admit(&concurrency, "b").unwrap();
        drop(first);
        assert!(admit(&concurrency, "a").is_ok());
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival_and_who_leaves_is_passed_over() {
        let concurrency = Concurrency::new(None, SessionPolicy::Queue);
        let mut first = admit(&concurrency, "a").unwrap();
        assert!(first.wait().is_none());
        let mut second = admit(&concurrency, "a").unwrap();
        let left = admit(&concurrency, "a").unwrap();
        let mut fourth = admit(&concurrency, "a").unwrap();
        let (wait_second, wait_fourth) = (second.wait().unwrap(), fourth.wait().unwrap());
        drop(first);
        second.begin(wait_second.await);
        drop(left);
        drop(second);
        fourth.begin(wait_fourth.await);
        drop(fourth);
        assert!(concurrency.lock().is_empty());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_passes_the_turn_on() {
        let concurrency = Concurrency::new(None, SessionPolicy::Queue);
        let first = admit(&concurrency, "a").unwrap();
        let mut second = admit(&concurrency, "a").unwrap();
        let mut third = admit(&concurrency, "a").unwrap();
        let wait = second.wait().unwrap();
        let wait_third = third.wait().unwrap();
        drop(first);
        // The turn is its own already, and nobody takes it.
        drop(wait);
        third.begin(wait_third.await);
        drop((second, third));
        assert!(concurrency.lock().is_empty());
    }

    #[test]
    fn a_queue_has_an_end() {
        let concurrency = Concurrency::new(None, SessionPolicy::Queue);
        let all: Vec<_> = (0..=MOST_WAITING)
            .map(|_| admit(&concurrency, "a").unwrap())
            .collect();
        assert_eq!(admit(&concurrency, "a").unwrap_err(), Refusal::QueueFull);
        drop(all);
        assert!(concurrency.lock().is_empty());
    }
}
