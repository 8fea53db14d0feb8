//! Decides what a start hook makes: nothing, or a value to share.

use std::any::{TypeId, type_name};

use super::bounds::SharedState;
use super::probe::{Probe, choice};
use crate::handler::state::State;
use crate::request::StateSlot;

// First choice: `()`, which is not shared.
choice! { UnitProbe(__agentcore_state -> UnitTag) for [] Probe<()> }

// Also a first choice: `State<S>`, which says itself that its `S` is shared.
choice! { SharedProbe(__agentcore_state -> SharedTag) for [S] Probe<State<S>> }

// Second choice: any other type.
choice! { StateProbe(__agentcore_state -> StateTag) for [T] &Probe<T> }

pub struct UnitTag;

impl UnitTag {
    pub fn __agentcore_provides(self, _: Probe<()>) -> Option<(TypeId, &'static str)> {
        None
    }

    pub fn __agentcore_slot(self, (): ()) -> StateSlot {
        StateSlot::none()
    }
}

pub struct SharedTag;

impl SharedTag {
    pub fn __agentcore_provides<S: 'static>(
        self,
        _: Probe<State<S>>,
    ) -> Option<(TypeId, &'static str)> {
        Some((TypeId::of::<S>(), type_name::<S>()))
    }

    pub fn __agentcore_slot<S: Send + Sync + 'static>(self, value: State<S>) -> StateSlot {
        value.into_slot()
    }
}

pub struct StateTag;

impl StateTag {
    /// Without the bounds `Send` and `Sync`, so that a type without them is reported only once.
    pub fn __agentcore_provides<T: 'static>(self, _: Probe<T>) -> Option<(TypeId, &'static str)> {
        Some((TypeId::of::<T>(), type_name::<T>()))
    }

    pub fn __agentcore_slot<T: SharedState>(self, value: T) -> StateSlot {
        value.slot()
    }
}
