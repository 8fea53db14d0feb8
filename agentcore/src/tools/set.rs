//! [`ToolSet`]: all tools of an agent, by name.

use std::sync::{Arc, OnceLock};

use super::registered::{Draft, Registered, ToolDef};
use crate::config::SessionPolicy;
use crate::request::admission::Concurrency;
use crate::request::{Instance, StateSlot, States, TrackerHandle};

/// The tools of an agent, in the order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolSet(Arc<[Arc<Registered>]>);

impl ToolSet {
    /// Checks the tools, and adds all their problems to `problems`.
    pub(crate) fn check(drafts: Vec<Draft>, problems: &mut Vec<String>) -> Self {
        let mut tools: Vec<Arc<Registered>> = Vec::new();
        for draft in drafts {
            let meta = draft.meta;
            if let Some(other) = tools.iter().find(|tool| tool.name() == meta.name()) {
                problems.push(format!(
                    "two tools have one name: {} and {meta}; give one another: `#[agentcore::tool(name = \"..\")]`",
                    other.meta
                ));
                continue;
            }
            match draft.check() {
                Ok(tool) => {
                    let at = tools.partition_point(|other| other.name() <= tool.name());
                    tools.insert(at, Arc::new(tool));
                }
                Err(problem) => problems.push(problem),
            }
        }
        Self(tools.into())
    }

    /// The tools of an app. The states of the app hold them, because requests do not know the types of tools.
    pub(crate) fn of(instance: &Instance) -> Self {
        let found = instance.states.find::<Self>();
        found.map_or_else(Self::default, |set| (*set).clone())
    }

    /// Makes the tools known to the app that `states` belongs to.
    pub(crate) fn share(&self, states: &States) {
        if !self.is_empty() {
            states.insert(StateSlot::new(self.clone()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.0.iter()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Registered>> {
        let found = self.0.binary_search_by(|tool| tool.name().cmp(name));
        found.ok().map(|at| &self.0[at])
    }
}

/// The app of code that runs in none, such as a unit test. It has the annotated tools, and no other state.
pub(crate) fn outside_of_an_app() -> Arc<Instance> {
    static INSTANCE: OnceLock<Arc<Instance>> = OnceLock::new();
    Arc::clone(INSTANCE.get_or_init(|| {
        let concurrency = Concurrency::new(None, SessionPolicy::default());
        let instance = Instance::new(TrackerHandle::Process, concurrency);
        let drafts = inventory::iter::<ToolDef>()
            .map(ToolDef::to_draft)
            .collect();
        // A start reports the problems.
        ToolSet::check(drafts, &mut Vec::new()).share(&instance.states);
        Arc::new(instance)
    }))
}
