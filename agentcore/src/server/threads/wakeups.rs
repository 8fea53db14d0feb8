//! Wake-ups from the workers to the front, in batches.
//!
//! A wake-up from another thread costs a system call, and hundreds of replies may become ready while the front is busy with
//! one. So a future that waits for a worker is polled with a waker that only puts the real waker into a queue. The first
//! waker of a batch wakes one task on the front, and that task wakes all the others from the front's own thread, where a
//! wake-up is cheap.
//!
//! The queue is a Tokio channel. A worker puts a waker into it without a lock, so a worker that is preempted there, at its
//! lower priority, never blocks the front. The channel wakes its consumer once, for the first waker that comes after the
//! queue was found empty.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The queue of the wakers of front tasks whose results are ready.
#[derive(Clone, Debug)]
pub(crate) struct WakeQueue(UnboundedSender<Waker>);

/// The consumer's end of a [`WakeQueue`].
#[derive(Debug)]
pub(crate) struct Deliveries(UnboundedReceiver<Waker>);

/// The most wakers that are taken out of the queue at a time.
const AT_A_TIME: usize = 1024;

impl WakeQueue {
    pub(crate) fn new() -> (Self, Deliveries) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Deliveries(receiver))
    }

    /// Wraps `future`, which waits for a worker, so that its wake-ups go through this queue.
    pub(crate) fn batch<F>(&self, future: F) -> Batched<F> {
        Batched {
            future,
            queue: Some(self.clone()),
            waker: None,
        }
    }
}

impl Deliveries {
    /// Wakes tasks until every sender of the queue has been dropped. One task on the front runs this.
    pub(crate) async fn deliver(mut self) {
        let mut batch = Vec::new();
        while self.0.recv_many(&mut batch, AT_A_TIME).await > 0 {
            batch.drain(..).for_each(Waker::wake);
            // Wakers that arrive while the tasks run form the next batch, without a system call.
            behind_the_ready().await;
        }
    }
}

/// Completes when the tasks that are ready now have been polled. Tokio's `yield_now` would poll for I/O first, with a system
/// call.
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

/// The waker of one front task that goes through the queue.
struct Queued {
    queue: WakeQueue,
    task: Waker,
}

impl Wake for Queued {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If the front has ended, there is nothing to wake.
        let _ = self.queue.0.send(self.task.clone());
    }
}

pin_project! {
    /// The future of [`WakeQueue::batch`].
    pub(crate) struct Batched<F> {
        #[pin]
        future: F,
        queue: Option<WakeQueue>,
        // The task's own waker and the queued one, kept so that the next poll allocates nothing.
        waker: Option<(Waker, Waker)>,
    }
}

impl<F> Batched<F> {
    /// Wraps a future that does not wait for a worker. It is polled with the task's own waker.
    pub(crate) fn direct(future: F) -> Self {
        Self {
            future,
            queue: None,
            waker: None,
        }
    }

    pub(crate) fn get_ref(&self) -> &F {
        &self.future
    }

    /// Calls `poll` with the queued waker, for values that are polled by a method of their own.
    pub(crate) fn poll_with<R>(
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
                    queue: queue.clone(),
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
        let (queue, deliveries) = WakeQueue::new();
        tokio::spawn(deliveries.deliver());
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
            let received = tokio::time::timeout(Duration::from_secs(60), task)
                .await
                .expect("woken in time");
            assert_eq!(received.unwrap(), Ok(number));
        }
    }

    #[tokio::test]
    async fn the_delivery_ends_with_the_last_future_that_could_be_woken() {
        let (queue, deliveries) = WakeQueue::new();
        let mut delivery = tokio::spawn(deliveries.deliver());
        let waiting = queue.batch(std::future::pending::<()>());
        drop(queue);
        tokio::task::yield_now().await;
        assert!(!delivery.is_finished());
        drop(waiting);
        tokio::time::timeout(Duration::from_secs(60), &mut delivery)
            .await
            .expect("an end in time")
            .unwrap();
    }
}
