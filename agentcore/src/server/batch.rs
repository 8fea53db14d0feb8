//! A queue whose one consumer is woken once per batch.
//!
//! To wake a task from another thread costs a system call, and often a change of threads. So the first item of a batch
//! wakes the consumer, and whatever else arrives until it comes is already in its queue.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Batches<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    /// Taken by the first item of a batch: until the consumer has come back, it knows.
    consumer: Option<Waker>,
    closed: bool,
}

impl<T> Default for Batches<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            consumer: None,
            closed: false,
        }))
    }
}

impl<T> Batches<T> {
    /// Returns how many wait now.
    pub(super) fn push(&self, item: T) -> usize {
        self.change(|state| {
            state.waiting.push(item);
            state.waiting.len()
        })
    }

    /// Moves everything in `items` to the end of the queue.
    pub(super) fn append(&self, items: &mut Vec<T>) {
        self.change(|state| state.waiting.append(items));
    }

    /// Takes all that waits past the consumer.
    pub(super) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// No more items: once it has taken what is there, the consumer is told the end.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut state = self.lock();
        let changed = change(&mut state);
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
        changed
    }

    /// Puts all that waits into `batch`, which is empty; `false` at the end. For one consumer.
    pub(super) fn poll_take(&self, batch: &mut Vec<T>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        std::mem::swap(&mut state.waiting, batch);
        if !batch.is_empty() {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        state.consumer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
