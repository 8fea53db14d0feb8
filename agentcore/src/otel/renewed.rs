//! [`Renewed`]: a value that a restore from a snapshot makes stale.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of restores of this process.
static RESTORES: AtomicU64 = AtomicU64::new(0);

/// Makes all [`Renewed`] values stale.
pub(crate) fn restored() {
    RESTORES.fetch_add(1, Ordering::Release);
}

/// A value that is forgotten after a restore.
///
/// A snapshot clones credentials and TLS sessions into every session that begins from it. They belong to the machine that made the
/// snapshot.
#[derive(Debug, Default)]
pub(super) struct Renewed<T> {
    /// The number of restores when the value was made.
    restores: u64,
    value: T,
}

impl<T: Default> Renewed<T> {
    /// The value; the default value, after a restore.
    pub(super) fn get(&mut self) -> &mut T {
        let restores = RESTORES.load(Ordering::Acquire);
        if self.restores != restores {
            *self = Self {
                restores,
                value: T::default(),
            };
        }
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_until_a_restore_and_forgotten_by_it() {
        let mut value = Renewed::<Option<u8>>::default();
        // Another test may cause a restore as well.
        while value.get().is_none() {
            *value.get() = Some(1);
        }
        restored();
        assert_eq!(*value.get(), None);
    }
}
