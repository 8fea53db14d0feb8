//! Between the front and the workers: the handover of work, the wake-ups that come back, and helper threads for other work.

pub(crate) mod handover;
pub(crate) mod helper;
pub(crate) mod wakeups;

use tokio::runtime::Handle;

use crate::util::spawn;
use handover::{Collected, Handover, Work};
use helper::offload;
use wakeups::{Batched, Deliveries, WakeQueue};

/// The workers, as the front sees them.
pub(crate) struct Workers {
    runtime: Handle,
    handover: Handover,
    wakeups: WakeQueue,
    /// Whether the front has its own thread. Without one, everything runs on the caller's runtime, and user code may run
    /// there.
    has_front_thread: bool,
}

/// The receiving ends of the handover and of the wake-ups, until [`begin`](Self::begin) starts them.
pub(crate) struct Ways {
    collected: Collected,
    deliveries: Deliveries,
}

impl Workers {
    pub(crate) fn new(runtime: Handle, has_front_thread: bool) -> (Self, Ways) {
        let (handover, collected) = Handover::new();
        let (wakeups, deliveries) = WakeQueue::new();
        let workers = Self {
            runtime,
            handover,
            wakeups,
            has_front_thread,
        };
        let ways = Ways {
            collected,
            deliveries,
        };
        (workers, ways)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Hands `work` over to the workers at the end of the front's scheduler round.
    pub(crate) fn push(&self, work: Work) {
        self.handover.push(work);
    }

    /// Wraps `future`, which waits for a worker, so that its wake-ups come in batches.
    pub(crate) fn batch<F>(&self, future: F) -> Batched<F> {
        self.wakeups.batch(future)
    }

    /// Runs `work` that may call user code. It runs on a helper thread, so that it cannot delay the front.
    pub(crate) fn aside(&self, work: impl FnOnce() + Send + 'static) {
        if self.has_front_thread {
            // The work is done whether or not anything waits for it.
            drop(offload(&self.runtime, work));
        } else {
            work();
        }
    }
}

impl Ways {
    /// Starts the handover and the delivery of wake-ups. Has to be called on the front's runtime.
    pub(crate) fn begin(self, workers: &Workers) {
        self.collected.begin(&workers.runtime);
        spawn::boxed(self.deliveries.deliver());
    }
}

/// A task whose drop aborts it.
pub(crate) struct AbortOnDrop<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> std::future::Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
