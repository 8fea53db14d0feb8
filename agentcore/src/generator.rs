//! What `stream!` and `try_stream!` expand to: a future that hands out values on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use pin_project_lite::pin_project;

use crate::sync::Mutex;

/// Where `yield` puts its value. The stream takes it out before it goes on with the future, so there is never more than
/// one.
type Slot<T> = Arc<Mutex<Option<T>>>;

/// The future's end of the slot.
pub struct Yielder<T>(Slot<T>);

impl<T> Yielder<T> {
    /// Hands `value` out; completes when the stream is asked for the next.
    pub async fn send(&mut self, value: T) {
        *self.0.lock() = Some(value);
        let mut handed_out = false;
        // No waker: whoever polls the stream again polls this again.
        std::future::poll_fn(|_| match std::mem::replace(&mut handed_out, true) {
            false => Poll::Pending,
            true => Poll::Ready(()),
        })
        .await;
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}

pin_project! {
    /// The stream of what a future hands out.
    #[must_use = "streams do nothing unless polled"]
    pub struct Generator<T, F> {
        slot: Slot<T>,
        // `None` once it has ended.
        #[pin]
        future: Option<F>,
    }
}

/// A stream of what `make`'s future hands out.
pub fn generator<T, F: Future<Output = ()>>(make: impl FnOnce(Yielder<T>) -> F) -> Generator<T, F> {
    let slot = Slot::default();
    Generator {
        future: Some(make(Yielder(Arc::clone(&slot)))),
        slot,
    }
}

/// A stream of what `make`'s future hands out, and last of the error that it ends with.
pub fn try_generator<T, E, F: Future<Output = Result<(), E>>>(
    make: impl FnOnce(Yielder<Result<T, E>>) -> F,
) -> Generator<Result<T, E>, impl Future<Output = ()>> {
    generator(|mut yielder| {
        let future = make(Yielder(Arc::clone(&yielder.0)));
        async move {
            if let Err(error) = future.await {
                yielder.send(Err(error)).await;
            }
        }
    })
}

impl<T, F: Future<Output = ()>> Stream for Generator<T, F> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let ended = future.poll(cx).is_ready();
        if ended {
            this.future.set(None);
        }
        let value = this.slot.lock().take();
        match value {
            Some(value) => Poll::Ready(Some(value)),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<T, F: Future<Output = ()>> FusedStream for Generator<T, F> {
    fn is_terminated(&self) -> bool {
        self.future.is_none()
    }
}

impl<T, F> fmt::Debug for Generator<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}
