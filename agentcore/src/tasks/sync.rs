//! The primitives that the tracker stands on, in one place so that a model checker can put its own in theirs (see
//! `tests/loom.rs`).

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

/// A number that another process, or another session restored from the same snapshot, would not draw.
pub(super) fn random() -> u64 {
    // Without randomness tickets are still told apart within the process.
    crate::platform::random_number()
}

/// A small number of this thread's own: what spreads threads over shards.
pub(super) fn thread_number() -> usize {
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
