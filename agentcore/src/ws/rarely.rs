//! Waiting for what rarely happens, beside something that happens all the time.
//!
//! A task that waits for several things is woken for one of them, does not know which, and asks all. Here the rare ones
//! have a waker of their own, which remembers that it has been used.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Rarely {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Bell {
    /// Rung since the last poll.
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Rarely {
    pub(super) fn new() -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// `future`, polled at first and then only when something has happened that it waits for.
    pub(super) async fn wait_for<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut polled_for: Option<Waker> = None;
        poll_fn(|cx| {
            let known = polled_for.as_ref();
            if !known.is_some_and(|known| known.will_wake(cx.waker())) {
                polled_for = Some(cx.waker().clone());
                *self.bell.task() = Some(cx.waker().clone());
            } else if !self.bell.rung.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            // Before the poll: what rings during it is heard. A swap, since a store might be of before a ring whose cause
            // this poll does not see yet.
            self.bell.rung.swap(false, Ordering::AcqRel);
            future.as_mut().poll(&mut Context::from_waker(&self.waker))
        })
        .await
    }
}

impl Bell {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.swap(true, Ordering::AcqRel);
        if let Some(task) = &*self.task() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_is_woken_and_not_for_the_others() {
        let (ring, rung) = oneshot::channel();
        let (sender, mut often) = mpsc::channel(1);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let task = tokio::spawn(async move {
            let rarely = Rarely::new();
            let mut rung = pin!(rung);
            let mut messages = 0;
            let mut wait = pin!(rarely.wait_for(poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                rung.as_mut().poll(cx)
            })));
            loop {
                tokio::select! {
                    biased;
                    value = &mut wait => return (value, messages),
                    Some(()) = often.recv() => messages += 1,
                }
            }
        });
        for _ in 0..10 {
            sender.send(()).await.unwrap();
        }
        // Room means that the one before has been taken.
        drop(sender.reserve().await.unwrap());
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        ring.send("bell").unwrap();
        assert_eq!(task.await.unwrap(), (Ok("bell"), 10));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
