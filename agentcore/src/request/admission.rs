//! [`Concurrency`]: limits how many invocations are in flight at once, in all sessions and in one.

mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use self::turns::{Turn, Turns};
use crate::config::SessionPolicy;

/// The maximum number of a session's invocations that wait for their turn.
const MOST_WAITING: usize = 64;

/// Admits invocations, or refuses them.
#[derive(Debug, Default)]
pub(crate) struct Concurrency {
    most: Option<usize>,
    policy: SessionPolicy,
    /// Only a count: no other memory is read because of it, so `Relaxed` is enough.
    in_flight: AtomicUsize,
    turns: Arc<Turns>,
}

/// Why an invocation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The maximum number of invocations is in flight.
    Full,
    /// Another invocation of the session is in flight.
    SessionBusy,
    /// Too many invocations of the session wait.
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

    /// Admits an invocation; `None` if nothing is limited.
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
            turn: None,
        };
        if let Some(session) = session {
            let (most, refusal) = match self.policy {
                SessionPolicy::Queue => (MOST_WAITING, Refusal::QueueFull),
                SessionPolicy::Reject | SessionPolicy::Concurrent => (0, Refusal::SessionBusy),
            };
            permit.turn = Some(self.turns.take(session, most).ok_or(refusal)?);
        }
        Ok(Some(permit))
    }
}

/// An invocation's place among those in flight. Its drop gives the place back.
pub(crate) struct Permit {
    concurrency: Arc<Concurrency>,
    /// `None` if the session does not matter.
    turn: Option<Turn>,
}

impl Permit {
    /// Ready when the handler may be called.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.turn {
            Some(turn) => turn.poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.concurrency.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;

    fn has_its_turn(permit: &mut Permit) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        permit.poll_turn(&mut cx).is_ready()
    }

    async fn turn(permit: &mut Permit) {
        poll_fn(|cx| permit.poll_turn(cx)).await;
    }

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
        assert!(has_its_turn(&mut first));
        let mut second = admit(&concurrency, "a").unwrap();
        let left = admit(&concurrency, "a").unwrap();
        let mut fourth = admit(&concurrency, "a").unwrap();
        assert!(!has_its_turn(&mut fourth) && !has_its_turn(&mut second));
        drop(first);
        assert!(!has_its_turn(&mut fourth));
        turn(&mut second).await;
        drop(left);
        drop(second);
        turn(&mut fourth).await;
        drop(fourth);
        assert!(concurrency.turns.is_empty());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_passes_the_turn_on() {
        let concurrency = Concurrency::new(None, SessionPolicy::Queue);
        let first = admit(&concurrency, "a").unwrap();
        let second = admit(&concurrency, "a").unwrap();
        let mut third = admit(&concurrency, "a").unwrap();
        drop(first);
        // It has the turn already, but has not taken it.
        drop(second);
        turn(&mut third).await;
        drop(third);
        assert!(concurrency.turns.is_empty());
    }

    #[test]
    fn a_queue_has_an_end() {
        let concurrency = Concurrency::new(None, SessionPolicy::Queue);
        let all: Vec<_> = (0..=MOST_WAITING)
            .map(|_| admit(&concurrency, "a").unwrap())
            .collect();
        assert_eq!(admit(&concurrency, "a").unwrap_err(), Refusal::QueueFull);
        // An invocation that leaves the queue makes room, wherever it waits.
        let mut all = VecDeque::from(all);
        drop(all.remove(MOST_WAITING / 2));
        all.push_back(admit(&concurrency, "a").unwrap());
        assert_eq!(admit(&concurrency, "a").unwrap_err(), Refusal::QueueFull);
        drop(all);
        assert!(concurrency.turns.is_empty());
    }
}
