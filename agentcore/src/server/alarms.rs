//! The timer behind hyper's time-out for heads.
//!
//! hyper sets an alarm whenever it begins to wait for a request, and nearly always takes it back, at the next request.
//! A tokio `Sleep` for each costs a tenth of what a ping does. Here an alarm is a place in a list, and one task looks
//! through the list when the first of them is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The list is not looked through more often than this: alarms may be so much late.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// Alarms that all ring the same time after they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    /// Told when there is something to wait for, or never will be.
    changed: Notify,
}

#[derive(Debug, Default)]
struct List {
    set: Slab<Set>,
    /// Whether somebody watches the list already.
    watched: bool,
    closed: bool,
}

#[derive(Debug)]
struct Set {
    deadline: Instant,
    /// `None` once it has rung.
    waker: Option<Waker>,
}

impl Alarms {
    /// Rings them until [`close`](Self::close). One task on the front runs this.
    pub(super) async fn ring(self) {
        loop {
            match self.0.look() {
                Look::Closed => return,
                Look::Empty => self.0.changed.notified().await,
                Look::Next(deadline) => {
                    sleep_until(deadline.max(Instant::now() + LOOK_AT_MOST_EVERY)).await;
                }
            }
        }
    }

    pub(super) fn close(&self) {
        self.0.list().closed = true;
        self.0.changed.notify_one();
    }
}

enum Look {
    Closed,
    Empty,
    /// When the next one is due. What is set later is due later.
    Next(Instant),
}

impl Shared {
    fn look(&self) -> Look {
        let now = Instant::now();
        let mut list = self.list();
        if list.closed {
            return Look::Closed;
        }
        let mut next: Option<Instant> = None;
        for (_, set) in &mut list.set {
            if set.deadline > now {
                next = Some(next.map_or(set.deadline, |next| next.min(set.deadline)));
            } else if let Some(waker) = set.waker.take() {
                // Only makes its connection ready; it is polled behind this.
                waker.wake();
            }
        }
        list.watched = next.is_some();
        next.map_or(Look::Empty, Look::Next)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until((Instant::now() + duration).into())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Alarm {
            deadline: deadline.into(),
            place: None,
            shared: Arc::clone(&self.0),
        })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: std::time::Instant) {
        *sleep = self.sleep_until(deadline);
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

/// One alarm; taken back by its drop.
struct Alarm {
    deadline: Instant,
    /// In the list, from the first poll on.
    place: Option<usize>,
    shared: Arc<Shared>,
}

impl Sleep for Alarm {}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut list = this.shared.list();
        let Some(place) = this.place else {
            this.place = Some(list.set.insert(Set {
                deadline: this.deadline,
                waker: Some(cx.waker().clone()),
            }));
            if !std::mem::replace(&mut list.watched, true) {
                this.shared.changed.notify_one();
            }
            return Poll::Pending;
        };
        match list.set.get_mut(place).and_then(|set| set.waker.as_mut()) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.list().set.try_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn alarms_ring_when_they_are_due_and_not_before() {
        let alarms = Alarms::default();
        tokio::spawn(alarms.clone().ring());
        let began = Instant::now();
        let first = tokio::spawn(alarms.sleep(TEN));
        tokio::time::sleep(Duration::from_secs(4)).await;
        let second = tokio::spawn(alarms.sleep(TEN));
        first.await.unwrap();
        let passed = began.elapsed();
        assert!((TEN..TEN + 2 * LOOK_AT_MOST_EVERY).contains(&passed));
        assert!(!second.is_finished());
        second.await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(14));
        // And again, after the list had been empty.
        alarms.sleep(TEN).await;
        assert!(began.elapsed() >= Duration::from_secs(24));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_back_leaves_nothing() {
        let alarms = Alarms::default();
        let ringing = tokio::spawn(alarms.clone().ring());
        for _ in 0..100 {
            let set = tokio::time::timeout(Duration::from_millis(1), alarms.sleep(TEN));
            assert!(set.await.is_err());
        }
        assert_eq!(alarms.0.list().set.len(), 0);
        alarms.close();
        ringing.await.unwrap();
    }
}
