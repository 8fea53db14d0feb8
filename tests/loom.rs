//! The hand-written synchronisation, explored exhaustively.
//!
//! The sources are the library's own. They are compiled here with the model checker's primitives in the place of those in
//! `agentcore/src/sync.rs`. That needs no special flags, so the models run with every other test.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the models use a part of each source"
)]

mod sync {
    //! The model checker's side of `agentcore/src/sync.rs`.

    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

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

    /// Every run of a model draws this number.
    pub(crate) fn random() -> u64 {
        0
    }

    /// All values are on one shard: more meetings, fewer states.
    pub(crate) fn thread_number() -> usize {
        0
    }
}

mod ping {
    //! What `status.rs` needs of the library.

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

#[path = "../agentcore/src/tasks"]
mod tasks {
    pub(crate) mod in_progress;
    pub(crate) mod status;
    pub(crate) mod table;
}

#[path = "../agentcore/src/body"]
mod body {
    pub(crate) mod pipe;
}

#[path = "loom/executor.rs"]
mod executor;
#[path = "loom/pipe.rs"]
mod pipe;
#[path = "loom/timer.rs"]
mod timer;
#[path = "loom/tracker.rs"]
mod tracker;
#[path = "loom/websocket.rs"]
mod websocket;
