//! [`ToolSet`]: all tools of an agent, or all its resources or prompts, by name. [`Offered`]: all three.

use std::sync::{Arc, OnceLock};

use super::registered::{Draft, Offer, Registered, ToolDef};
#[cfg(feature = "mcp")]
use serde_json::{Map, Value};

use crate::config::SessionPolicy;
use crate::request::admission::Concurrency;
use crate::request::{Instance, StateSlot, States, TrackerHandle};

/// The tools of an agent, in the order of their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolSet(Arc<[Arc<Registered>]>);

/// What an agent offers to models and to clients of the Model Context Protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offered {
    pub(crate) tools: ToolSet,
    #[cfg(feature = "mcp")]
    pub(crate) resources: ToolSet,
    #[cfg(feature = "mcp")]
    pub(crate) prompts: ToolSet,
}

impl Offered {
    /// Checks all of it, and adds all problems to `problems`.
    pub(crate) fn check(drafts: Vec<Draft>, problems: &mut Vec<String>) -> Self {
        let (mut tools, mut resources, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
        for draft in drafts {
            match draft.offer {
                Offer::Tool => tools.push(draft),
                Offer::Resource { .. } => resources.push(draft),
                Offer::Prompt => prompts.push(draft),
            }
        }
        let tools = ToolSet::check(tools, problems);
        let resources = ToolSet::check(resources, problems);
        let prompts = ToolSet::check(prompts, problems);
        // Without the feature there are neither resources nor prompts.
        #[cfg(not(feature = "mcp"))]
        let _ = (resources, prompts);
        Self {
            tools,
            #[cfg(feature = "mcp")]
            resources,
            #[cfg(feature = "mcp")]
            prompts,
        }
    }
}

impl ToolSet {
    /// Checks the tools, and adds all their problems to `problems`.
    fn check(drafts: Vec<Draft>, problems: &mut Vec<String>) -> Self {
        let mut tools: Vec<Arc<Registered>> = Vec::new();
        for draft in drafts {
            let meta = draft.meta;
            if let Some(other) = tools.iter().find(|tool| tool.name() == meta.name()) {
                let noun = draft.offer.noun();
                problems.push(format!(
                    "two {noun}s have one name: {} and {meta}; give one another: `#[agentcore::{noun}(name = \"..\")]`",
                    other.meta
                ));
                continue;
            }
            if let Offer::Resource { uri, .. } = draft.offer {
                let has_it = |tool: &&Arc<Registered>| matches!(tool.offer, Offer::Resource { uri: other, .. } if other == uri);
                if let Some(other) = tools.iter().find(has_it) {
                    problems.push(format!(
                        "two resources have the URI `{uri}`: {} and {meta}",
                        other.meta
                    ));
                    continue;
                }
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

    /// The names, for the line that says that the agent is ready: `, tools: a, b`; empty if there are none.
    pub(crate) fn listed(&self, noun: &str) -> String {
        let names: Vec<_> = self.iter().map(|tool| tool.name()).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(", {noun}: {}", names.join(", ")),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.0.iter()
    }

    /// The resource with this URI, and the arguments in it. A resource without arguments goes first.
    #[cfg(feature = "mcp")]
    pub(crate) fn find_uri(&self, uri: &str) -> Option<(&Arc<Registered>, Map<String, Value>)> {
        let fits = |is_fixed: bool| {
            self.iter().find_map(move |resource| {
                let template = resource.uri.as_ref()?;
                let fits = template.is_fixed() == is_fixed;
                let arguments = fits.then(|| template.arguments(uri)).flatten()?;
                Some((resource, arguments))
            })
        };
        fits(true).or_else(|| fits(false))
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
        let offered = Offered::check(drafts, &mut Vec::new());
        offered.tools.share(&instance.states);
        Arc::new(instance)
    }))
}
