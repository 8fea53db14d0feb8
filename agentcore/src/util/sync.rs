//! The primitives of hand-written synchronisation.
//!
//! They are in one module so that a model checker can replace them: `tests/loom.rs` of the workspace compiles the sources that
//! use this module with loom's primitives. So a source that two threads share names nothing of `std::sync` itself.

use std::cell::Cell;
use std::fmt;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{MutexGuard, OnceLock};
use std::sync::{PoisonError, TryLockError};

pub(crate) use tokio::sync::oneshot;
pub(crate) use tokio_util::sync::CancellationToken as Token;

/// A mutual exclusion lock that ignores poison.
///
/// A thread that panics while it holds a lock leaves the value as it is. The library's critical sections run no user code and
/// leave no value half changed, so the next holder can go on with it.
#[derive(Default)]
pub(crate) struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock, unless another thread holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that no other process draws, nor another session restored from the same snapshot.
pub(crate) fn random() -> u64 {
    // 0 where the system has no randomness: tickets are still told apart within the process.
    crate::platform::random_number()
}

/// A small number of this thread's own, which spreads threads over shards.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_usable_after_a_holder_has_panicked() {
        let value = Mutex::new(1);
        let panicked = std::panic::catch_unwind(|| {
            let mut held = value.lock();
            *held = 2;
            panic!("while it is held");
        });
        assert!(panicked.is_err());
        assert_eq!(*value.lock(), 2);
    }
}
