//! [`States`]: the shared state of an app, which its start hooks have returned, found by type.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The value that a start hook returned, of any type; empty if the hook returned `()`.
#[derive(Default)]
pub struct StateSlot(Option<Shared>);

impl StateSlot {
    /// Nothing to share.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A value to share.
    #[must_use]
    pub fn new<S: Send + Sync + 'static>(value: S) -> Self {
        Self::shared(Arc::new(value))
    }

    pub(crate) fn shared<S: Send + Sync + 'static>(value: Arc<S>) -> Self {
        Self(Some(Shared {
            id: TypeId::of::<S>(),
            type_name: type_name::<S>(),
            value,
        }))
    }
}

impl fmt::Debug for StateSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateSlot").field(&self.0.is_some()).finish()
    }
}

/// A shared value, with its type.
pub(crate) struct Shared {
    id: TypeId,
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Shared {
    /// What a log calls it.
    pub(crate) fn name(&self) -> String {
        format!("state `{}`", self.type_name)
    }
}

/// All shared values of an app, in the order in which they were made.
///
/// A lock guards them, since the workers add them one by one, and take them out at the end while the server still answers
/// pings. The front never takes the lock, and no value is dropped under it.
#[derive(Default)]
pub(crate) struct States(RwLock<Vec<Shared>>);

impl States {
    pub(crate) fn insert(&self, slot: StateSlot) {
        let mut states = self.0.write().unwrap_or_else(PoisonError::into_inner);
        states.extend(slot.0);
    }

    /// Takes all values out, the last one first: a later value may need an earlier one.
    pub(crate) fn take(&self) -> Vec<Shared> {
        let mut states = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *states);
        taken.reverse();
        taken
    }

    pub(crate) fn find<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        let states = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let state = states.iter().find(|state| state.id == TypeId::of::<S>())?;
        Arc::clone(&state.value).downcast().ok()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}
