//! Waking the front from a worker, once per batch.
//!
//! A task that is woken from another thread costs its scheduler a system call, and hundreds of replies may become
//! ready while the front is busy with one. So a future that waits for a worker is polled with a waker that only puts
//! the real one into a queue; the first to find the queue empty wakes one task on the front, and that task wakes all
//! the others from their own thread, where it is cheap.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

use super::batch::Batches;

/// Wakers of front tasks that a worker has something for.
#[derive(Debug, Default)]
pub(super) struct WakeQueue(Batches<Waker>);

impl WakeQueue {
    /// Delivers until [`close`](Self::close). One task on the front runs this.
    pub(super) async fn deliver(self: Arc<Self>) {
        let mut batch = Vec::new();
        while poll_fn(|cx| self.0.poll_take(&mut batch, cx)).await {
            batch.drain(..).for_each(Waker::wake);
            // What arrives while they run is the next batch, without a system call.
            behind_the_ready().await;
        }
    }

    /// Nobody waits any more.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// `future`, which waits for a worker, polled so that its wake-ups go through this queue.
    pub(super) fn batch<F>(self: &Arc<Self>, future: F) -> Batched<F> {
        Batched {
            future,
            queue: Some(Arc::clone(self)),
            waker: None,
        }
    }
}

/// Completes when the tasks that are ready now have had their turn. (Tokio's `yield_now` also looks for I/O first, with a
/// system call.)
async fn behind_the_ready() {
    let mut again = true;
    poll_fn(|cx| {
        if std::mem::take(&mut again) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// One front task's way through the queue.
struct Queued {
    queue: Arc<WakeQueue>,
    task: Waker,
}

impl Wake for Queued {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.0.push(self.task.clone());
    }
}

pin_project! {
    /// See [`WakeQueue::batch`].
    pub(super) struct Batched<F> {
        #[pin]
        future: F,
        queue: Option<Arc<WakeQueue>>,
        // Kept, with the task's own waker, so that polling again costs no allocation.
        waker: Option<(Waker, Waker)>,
    }
}

impl<F> Batched<F> {
    /// For what never waits, or not for a worker.
    pub(super) fn direct(future: F) -> Self {
        Self {
            future,
            queue: None,
            waker: None,
        }
    }

    pub(super) fn get_ref(&self) -> &F {
        &self.future
    }

    /// Polls something else through the same waker, for futures and streams that are polled by method.
    pub(super) fn poll_with<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut F>, &mut Context<'_>) -> R,
    ) -> R {
        let this = self.project();
        let Some(queue) = this.queue else {
            return poll(this.future, cx);
        };
        let waker = match this.waker {
            Some((task, queued)) if task.will_wake(cx.waker()) => queued,
            _ => {
                let task = cx.waker().clone();
                let queued = Waker::from(Arc::new(Queued {
                    queue: Arc::clone(queue),
                    task: task.clone(),
                }));
                &this.waker.insert((task, queued)).1
            }
        };
        poll(this.future, &mut Context::from_waker(waker))
    }
}

impl<F: Future> Future for Batched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_with(cx, F::poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_batch_wakes_everyone_in_it() {
        let queue = Arc::new(WakeQueue::default());
        tokio::spawn(Arc::clone(&queue).deliver());
        let (senders, tasks): (Vec<_>, Vec<_>) = (0..100)
            .map(|_| {
                let (sender, receiver) = oneshot::channel();
                (sender, tokio::spawn(queue.batch(receiver)))
            })
            .unzip();
        std::thread::spawn(move || {
            for (number, sender) in senders.into_iter().enumerate() {
                sender.send(number).unwrap();
            }
        });
        for (number, task) in tasks.into_iter().enumerate() {
            let received = tokio::time::timeout(Duration::from_secs(10), task)
                .await
                .expect("woken in time");
            assert_eq!(received.unwrap(), Ok(number));
        }
    }
}
