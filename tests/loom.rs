//! The hand-written synchronisation, explored exhaustively.
//!
//! The sources are the library's own. They are compiled here with the model checker's primitives instead of those in
//! `agentcore/src/util/sync.rs`. That needs no special flags, so the models run with all other tests.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the models use a part of each source"
)]

mod sync {
    //! The model checker's version of `agentcore/src/util/sync.rs`.

    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    /// Like the standard library's: a value that one thread has stored is visible to another through an acquiring load.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        setting: Mutex<()>,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                is_set: AtomicBool::new(false),
                setting: Mutex::new(()),
            }
        }
    }

    impl<T> OnceLock<T> {
        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Ordering::Acquire) {
                self.value.get()
            } else {
                None
            }
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            if !self.is_set.load(Ordering::Acquire) {
                let _setting = self.setting.lock();
                if self.value.get().is_none() {
                    let _ = self.value.set(init());
                    self.is_set.store(true, Ordering::Release);
                }
            }
            self.value.get().expect("set")
        }
    }

    /// A cancellation token.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Token(std::sync::Arc<TokenState>);

    #[derive(Debug, Default)]
    struct TokenState {
        cancelled: AtomicBool,
    }

    impl Token {
        #[expect(clippy::unused_self, reason = "it stands for a method")]
        pub(crate) fn child_token(&self) -> Self {
            Self::default()
        }

        pub(crate) fn cancel(&self) {
            self.0.cancelled.store(true, Ordering::SeqCst);
        }

        pub(crate) fn is_cancelled(&self) -> bool {
            self.0.cancelled.load(Ordering::SeqCst)
        }
    }

    pub(crate) mod oneshot {
        //! A channel for one value.

        use std::future::Future;
        use std::pin::Pin;
        use std::sync::Arc;
        use std::task::{Context, Poll, Waker};

        use super::Mutex;

        #[derive(Debug)]
        struct State<T> {
            value: Option<T>,
            sender_is_gone: bool,
            closed: bool,
            waker: Option<Waker>,
        }

        type Shared<T> = Arc<Mutex<State<T>>>;

        #[derive(Debug)]
        pub(crate) struct Sender<T>(Shared<T>);

        #[derive(Debug)]
        pub(crate) struct Receiver<T>(Shared<T>);

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let shared = Arc::new(Mutex::new(State {
                value: None,
                sender_is_gone: false,
                closed: false,
                waker: None,
            }));
            (Sender(Arc::clone(&shared)), Receiver(shared))
        }

        impl<T> Sender<T> {
            pub(crate) fn send(self, value: T) -> Result<(), T> {
                let mut state = self.0.lock();
                if state.closed {
                    return Err(value);
                }
                state.value = Some(value);
                Ok(())
            }

            pub(crate) fn is_closed(&self) -> bool {
                self.0.lock().closed
            }
        }

        impl<T> Drop for Sender<T> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.sender_is_gone = true;
                let waker = state.waker.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn close(&mut self) {
                self.0.lock().closed = true;
            }

            pub(crate) fn try_recv(&mut self) -> Result<T, ()> {
                self.0.lock().value.take().ok_or(())
            }
        }

        impl<T> Future for Receiver<T> {
            type Output = Result<T, ()>;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let mut state = self.0.lock();
                if let Some(value) = state.value.take() {
                    return Poll::Ready(Ok(value));
                }
                if state.sender_is_gone {
                    return Poll::Ready(Err(()));
                }
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }

        impl<T> Drop for Receiver<T> {
            fn drop(&mut self) {
                self.0.lock().closed = true;
            }
        }
    }

    /// Every run of a model gets this number.
    pub(crate) fn random() -> u64 {
        0
    }

    /// Puts all values on one shard: more conflicts, fewer states.
    pub(crate) fn thread_number() -> usize {
        0
    }
}

mod ping {
    //! The part of the library that `status.rs` needs.

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum PingStatus {
        Healthy,
        HealthyBusy,
    }

    impl PingStatus {
        pub(crate) const fn busy_if(busy: bool) -> Self {
            if busy {
                Self::HealthyBusy
            } else {
                Self::Healthy
            }
        }
    }
}

mod util {
    pub(crate) use super::{sync, timer};

    pub(crate) mod interval {
        pub(crate) use crate::timer::Interval;
    }
}

#[path = "../agentcore/src/tracker"]
mod tracker {
    pub(crate) use super::ping::PingStatus;

    pub(crate) mod in_progress;
    pub(crate) mod status;
    pub(crate) mod table;
}

#[path = "../agentcore/src/handler/body"]
mod body {
    pub(crate) mod pipe;
}

#[path = "../agentcore/src/request/admission"]
mod admission {
    pub(crate) mod turns;
}

#[path = "../agentcore/src/request/cancellation"]
mod cancellation {
    pub(crate) mod request;
}

#[path = "loom/busy.rs"]
mod busy;
#[path = "loom/cancelling.rs"]
mod cancelling;
#[path = "loom/executor.rs"]
mod executor;
#[path = "loom/pipe.rs"]
mod pipe;
#[path = "loom/timer.rs"]
mod timer;
#[path = "loom/turns.rs"]
mod turns;
#[path = "loom/websocket.rs"]
mod websocket;
