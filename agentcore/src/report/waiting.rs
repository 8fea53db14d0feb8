//! Whether the log may make a thread wait.
//!
//! The log waits for room while nothing reads stderr, so that no line is lost. The front never waits for it, and no thread waits
//! for the lines of work that has not failed: those are dropped and counted.

use std::cell::Cell;

thread_local! {
    static MAY_NOT_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread drops a line when there is no room for it.
pub(crate) fn may_not_wait() -> bool {
    MAY_NOT_WAIT.get()
}

/// From now on, the log never makes this thread wait.
pub(crate) fn never_wait() {
    MAY_NOT_WAIT.set(true);
}

/// Runs `work`. Meanwhile the log does not make this thread wait.
pub(crate) fn without_waiting<R>(work: impl FnOnce() -> R) -> R {
    /// Restores the previous value, after a panic too.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            MAY_NOT_WAIT.set(self.0);
        }
    }
    let _before = Before(MAY_NOT_WAIT.replace(true));
    work()
}
