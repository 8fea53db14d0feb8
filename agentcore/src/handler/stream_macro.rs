//! [`Generator`]: the stream that `stream!` and `try_stream!` expand to. It wraps a future that yields values.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use pin_project_lite::pin_project;

use crate::util::sync::Mutex;

/// A stream written as code that `yield`s, as in Python.
///
/// ```
/// use agentcore::stream;
/// use futures_core::Stream;
/// use serde_json::{Value, json};
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: Value) -> impl Stream<Item = Value> {
///     stream! {
///         for word in event["prompt"].as_str().unwrap_or_default().split(' ') {
///             yield json!({ "token": word });
///         }
///     }
/// }
/// ```
///
/// The body is an `async` block: it may await, and it owns the variables that it uses. It runs only as far as it is polled: to a
/// `yield`, until the next item is asked for. So a slow reader slows it. When the reader leaves, the body is dropped where it
/// stands, with everything that it holds.
///
/// A bare `yield` yields `()`. If the stream can fail, use [`try_stream!`](crate::try_stream).
///
/// # Errors
///
/// A `yield` in an `async` block, a closure or a function inside the body is a compile error, because only the body itself can
/// yield. Code that runs beside it sends its values through a channel:
///
/// ```
/// use agentcore::{spawn, stream};
/// use futures_core::Stream;
///
/// fn squares(up_to: u32) -> impl Stream<Item = u32> {
///     stream! {
///         let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
///         spawn(async move {
///             for number in 0..up_to {
///                 let _ = sender.send(number * number).await;
///             }
///         });
///         while let Some(square) = receiver.recv().await {
///             yield square;
///         }
///     }
/// }
/// ```
///
/// # Panics
///
/// A `yield` that another macro has put into such a block panics when it is reached outside of the stream, such as on another
/// task.
#[macro_export]
macro_rules! stream {
    ($($body:tt)*) => {
        $crate::__private::__stream! { ($crate) $($body)* }
    };
}

/// A stream of `Result`s, written as code that `yield`s values and fails with `?`.
///
/// ```
/// use agentcore::{BoxError, try_stream};
/// use futures_core::Stream;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(numbers: Vec<String>) -> impl Stream<Item = Result<u32, BoxError>> {
///     try_stream! {
///         for text in numbers {
///             yield text.parse::<u32>()?;
///         }
///     }
/// }
/// ```
///
/// Everything about [`stream!`](crate::stream) applies here too. Each value is wrapped in `Ok`, and an error that leaves the body
/// by `?` or `return Err(..)` is the stream's last item. In a streamed reply it becomes the last event. The body may end with
/// `Ok(())` or `Err(..)`; without either it ends with `Ok(())`.
///
/// # The type of the error
///
/// `?` converts into any type, so the error type has to come from elsewhere: from the type of the function that returns the
/// stream, as above, or from [`Response::try_stream`](crate::Response::try_stream), which takes [`BoxError`](crate::BoxError).
/// Otherwise rustc reports "type annotations needed", and the last line can give the type:
///
/// ```
/// use agentcore::{BoxError, try_stream};
///
/// let numbers = try_stream! {
///     for text in ["1", "2"] {
///         yield text.parse::<u32>()?;
///     }
///     Ok::<(), BoxError>(())
/// };
/// # drop(numbers);
/// ```
#[macro_export]
macro_rules! try_stream {
    ($($body:tt)*) => {
        $crate::__private::__try_stream! { ($crate) $($body)* }
    };
}

/// The slot where `yield` puts its value. The stream takes the value out after each poll of the future. A `yield` that finds
/// the slot full waits.
type Slot<T> = Arc<Mutex<Option<T>>>;

thread_local! {
    /// The stream that this thread polls. If streams are nested, the inner one.
    static POLLED: Cell<Option<Polled>> = const { Cell::new(None) };
}

/// A stream while it is polled.
#[derive(Clone, Copy)]
struct Polled {
    /// The address of its slot.
    slot: usize,
    /// The parts of its waker. Two wakers with equal parts are one.
    waker: (usize, usize),
}

impl Polled {
    fn new<T>(slot: &Slot<T>, cx: &Context<'_>) -> Self {
        Self {
            slot: Arc::as_ptr(slot).addr(),
            waker: parts(cx.waker()),
        }
    }

    /// Records that the stream is being polled, until the guard is dropped.
    fn enter(self) -> impl Drop {
        struct Leave(Option<Polled>);

        impl Drop for Leave {
            fn drop(&mut self) {
                POLLED.set(self.0);
            }
        }

        Leave(POLLED.replace(Some(self)))
    }
}

fn parts(waker: &Waker) -> (usize, usize) {
    let vtable = std::ptr::from_ref(waker.vtable());
    (waker.data().addr(), vtable.addr())
}

/// The future's side of the slot.
pub struct Yielder<T>(Slot<T>);

impl<T> Yielder<T> {
    /// Yields `value`. Completes when the stream is asked for the next item.
    ///
    /// # Panics
    ///
    /// When something else than the stream polls it. It would wait for ever, since only the stream can make it go on.
    pub async fn send(&mut self, value: T) {
        let mut value = Some(value);
        std::future::poll_fn(|cx| {
            let is_full = self.0.lock().is_some();
            // Completes only when the slot is empty. The second poll alone does not prove that: a combinator with its own waker
            // may poll again within one poll of the stream, and the next value would replace this one.
            if value.is_none() && !is_full {
                return Poll::Ready(());
            }
            let address = Arc::as_ptr(&self.0).addr();
            let Some(stream) = POLLED.get().filter(|stream| stream.slot == address) else {
                panic!(
                    "a `yield` of `stream!` was reached outside of the stream: the code around it was moved to another \
                     task. Send the value through a channel, and yield it in the stream"
                );
            };
            if !is_full {
                *self.0.lock() = value.take();
            }
            // The stream's next poll polls this again, so there is nothing to wake. But a combinator between the two with its own
            // waker polls this only after that waker was used, once for each use.
            if stream.waker != parts(cx.waker()) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
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
    /// The stream of the values that a future yields.
    #[must_use = "streams do nothing unless polled"]
    pub struct Generator<T, F> {
        slot: Slot<T>,
        // `None` once it has ended.
        #[pin]
        future: Option<F>,
    }
}

/// The stream of the values that the future of `make` yields.
pub fn generator<T, F: Future<Output = ()>>(make: impl FnOnce(Yielder<T>) -> F) -> Generator<T, F> {
    let slot = Slot::default();
    Generator {
        future: Some(make(Yielder(Arc::clone(&slot)))),
        slot,
    }
}

/// The stream of the values that the future of `make` yields, and last the error that the future ends with.
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
        let polled = Polled::new(this.slot, cx).enter();
        let ended = future.poll(cx).is_ready();
        drop(polled);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Wraps a `yield` as macros of other crates may do.
    macro_rules! block {
        ($($body:tt)*) => {
            async move { $($body)* }
        };
    }

    fn next<S: Stream>(stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
        stream.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_yield_in_a_block_that_the_stream_polls_hands_out() {
        let mut stream = Box::pin(crate::stream! {
            block! { yield 1; yield 2; }.await;
        });
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(1)));
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(2)));
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn a_yield_in_a_block_that_something_else_polls_panics() {
        let moved = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&moved);
        let mut stream = Box::pin(crate::stream! {
            *shared.lock() = Some(Box::pin(block! { yield 1; }));
        });
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
        let mut block = moved.lock().take().expect("the block");
        let polled = catch_unwind(AssertUnwindSafe(|| {
            block
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        }));
        let payload = polled.expect_err("a panic");
        let text = payload.downcast_ref::<&str>().expect("a text");
        assert!(text.contains("outside of the stream"), "{text}");
    }

    /// Counts its wake-ups.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_combinator_with_a_waker_of_its_own_is_told_to_poll_again() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut stream = Box::pin(crate::stream! {
            yield 0;
            let mut inner = Box::pin(block! { yield 1; });
            poll_fn(|_| inner.as_mut().poll(&mut Context::from_waker(&waker))).await;
        });
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(0)));
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(1)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn a_combinator_that_polls_again_at_once_loses_no_item() {
        // `FuturesUnordered` does this: it has its own waker, polls again when that was used, and limits the number of polls.
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut stream = Box::pin(crate::stream! {
            let mut inner = Box::pin(block! { yield 1; yield 2; yield 3; });
            poll_fn(|cx| {
                for _ in 0..3 {
                    if inner.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                        return Poll::Ready(());
                    }
                    if woken.0.swap(0, Ordering::Relaxed) == 0 {
                        return Poll::Pending;
                    }
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        for item in 1..=3 {
            assert_eq!(next(stream.as_mut()), Poll::Ready(Some(item)));
        }
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn a_yield_behind_a_block_that_was_given_up_waits_for_its_item() {
        macro_rules! borrowing_block {
            ($($body:tt)*) => {
                async { $($body)* }
            };
        }
        let mut stream = Box::pin(crate::stream! {
            {
                let mut inner = Box::pin(borrowing_block! { yield 1; });
                // Polled once and dropped, like the branch of a `select!`.
                poll_fn(|cx| Poll::Ready(inner.as_mut().poll(cx).is_ready())).await;
            }
            yield 2;
        });
        for item in 1..=2 {
            assert_eq!(next(stream.as_mut()), Poll::Ready(Some(item)));
        }
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn streams_in_one_another_hand_out_their_own() {
        let mut stream = Box::pin(crate::stream! {
            let mut inner = Box::pin(crate::stream! { yield 1; yield 2; });
            while let Some(item) = poll_fn(|cx| inner.as_mut().poll_next(cx)).await {
                yield item * 10;
            }
        });
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(10)));
        assert_eq!(next(stream.as_mut()), Poll::Ready(Some(20)));
        assert_eq!(next(stream.as_mut()), Poll::Ready(None));
    }
}
