//! What a start hook makes: nothing, or a value to share.

use std::any::{TypeId, type_name};

use super::bounds::SharedState;
use super::probe::Probe;
use crate::state::StateSlot;

/// First choice: `()`, which nobody would ask for.
pub trait UnitProbe {
    fn __agentcore_state(&self) -> UnitTag {
        UnitTag
    }
}

impl UnitProbe for Probe<()> {}

/// Second choice: any other type.
pub trait StateProbe {
    fn __agentcore_state(&self) -> StateTag {
        StateTag
    }
}

impl<T> StateProbe for &Probe<T> {}

pub struct UnitTag;

impl UnitTag {
    pub fn __agentcore_provides(self, _: Probe<()>) -> Option<(TypeId, &'static str)> {
        None
    }

    pub fn __agentcore_slot(self, (): ()) -> StateSlot {
        StateSlot::none()
    }
}

pub struct StateTag;

impl StateTag {
    /// Without `Send` and `Sync`, so that a type that has them not is reported once.
    pub fn __agentcore_provides<T: 'static>(self, _: Probe<T>) -> Option<(TypeId, &'static str)> {
        Some((TypeId::of::<T>(), type_name::<T>()))
    }

    pub fn __agentcore_slot<T: SharedState>(self, value: T) -> StateSlot {
        value.slot()
    }
}
