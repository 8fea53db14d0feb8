//! An agent whose parts have been checked: what the server serves.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::{BoxError, Error, Kind};
use crate::extract::Requirements;
use crate::invoke::{Job, Options, Outgoing};
use crate::ping::PingStatus;
use crate::registry::{BoxFuture, EntrypointDef, Meta, PingDef, ShutdownDef, StartDef, TaskDef};
use crate::state::{StateSlot, States};

/// An entrypoint, annotated or added to an `App` by hand.
pub(crate) struct Entrypoint {
    pub(crate) meta: Meta,
    pub(crate) options: Options,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) start: Start,
}

impl Entrypoint {
    fn requirements(&self) -> Requirements {
        let mut requirements = Requirements::default();
        (self.requires)(&mut requirements);
        requirements
    }
}

/// Starts an invocation on the workers.
pub(crate) type Start = Arc<dyn Fn(&Handle, Job) -> JoinHandle<Outgoing> + Send + Sync>;

/// A function of the user's that takes nothing: a ping handler or a hook.
#[derive(Clone)]
pub(crate) struct Callback<T> {
    pub(crate) meta: Meta,
    pub(crate) call: Arc<dyn Fn() -> BoxFuture<Result<T, BoxError>> + Send + Sync>,
}

/// A start hook, with what it makes.
pub(crate) struct StartHook {
    pub(crate) callback: Callback<StateSlot>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) provides: fn() -> Option<(TypeId, &'static str)>,
}

/// Everything that was registered, not yet checked.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) entrypoints: Vec<Entrypoint>,
    pub(crate) pings: Vec<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    /// States that were there from the beginning.
    pub(crate) states: Vec<(StateSlot, TypeId)>,
}

/// Parts that fit together.
pub(crate) struct Agent {
    pub(crate) entrypoint: Entrypoint,
    pub(crate) ping: Option<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    pub(crate) states: States,
}

impl Agent {
    /// What it consists of, in one line.
    pub(crate) fn describe(&self) -> String {
        let mut names: Vec<_> = self.tasks.iter().map(Meta::name).collect();
        names.sort_unstable();
        names.dedup();
        let tasks = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        format!("entrypoint {} (tasks: {tasks})", self.entrypoint.meta)
    }
}

impl Parts {
    /// What the macros registered in this binary and the crates linked into it.
    pub(crate) fn of_registry() -> Self {
        let mut parts = Self::default();
        parts
            .entrypoints
            .extend(inventory::iter::<EntrypointDef>().map(|def| Entrypoint {
                meta: def.meta,
                options: def.options,
                requires: def.requires,
                start: Arc::new(def.start),
            }));
        parts
            .pings
            .extend(inventory::iter::<PingDef>().map(|def| Callback {
                meta: def.meta,
                call: Arc::new(def.call),
            }));
        parts
            .tasks
            .extend(inventory::iter::<TaskDef>().map(|def| def.meta));
        parts
            .start_hooks
            .extend(inventory::iter::<StartDef>().map(|def| StartHook {
                callback: Callback {
                    meta: def.meta,
                    call: Arc::new(def.call),
                },
                timeout: def.timeout,
                provides: def.provides,
            }));
        parts
            .shutdown_hooks
            .extend(inventory::iter::<ShutdownDef>().map(|def| Callback {
                meta: def.meta,
                call: Arc::new(def.call),
            }));
        // The linker decides about inventory's order; the source should: by file, then by line.
        parts.entrypoints.sort_by_key(|entrypoint| entrypoint.meta);
        parts.pings.sort_by_key(|ping| ping.meta);
        parts.tasks.sort_unstable();
        parts.start_hooks.sort_by_key(|hook| hook.callback.meta);
        parts.shutdown_hooks.sort_by_key(|hook| hook.meta);
        parts
    }

    /// Checks that the parts make an agent; reports every way in which they do not.
    pub(crate) fn check(self) -> Result<Agent, Error> {
        let mut problems = Vec::new();
        match self.entrypoints.len() {
            0 => problems.push(
                "no entrypoint: annotate one function with `#[agentcore::entrypoint]`, or add it with \
                 `App::entrypoint`"
                    .to_owned(),
            ),
            1 => {}
            count => problems.push(format!(
                "found {count} entrypoints, expected one: {}",
                list(self.entrypoints.iter().map(|entrypoint| entrypoint.meta))
            )),
        }
        if self.pings.len() > 1 {
            problems.push(format!(
                "found {} ping handlers, expected at most one: {}",
                self.pings.len(),
                list(self.pings.iter().map(|ping| ping.meta))
            ));
        }
        self.check_states(&mut problems);
        let mut entrypoints = self.entrypoints.into_iter();
        match entrypoints.next() {
            Some(mut entrypoint) if problems.is_empty() => {
                entrypoint.options.watch_disconnect = entrypoint.requirements().needs_disconnects();
                let mut states = States::default();
                self.states
                    .into_iter()
                    .for_each(|(slot, _)| states.insert(slot));
                Ok(Agent {
                    entrypoint,
                    ping: self.pings.into_iter().next(),
                    tasks: self.tasks,
                    start_hooks: self.start_hooks,
                    shutdown_hooks: self.shutdown_hooks,
                    states,
                })
            }
            _ => Err(Error::several(Kind::Registration, problems)),
        }
    }

    /// Every state that is asked for is made, and none is made twice.
    fn check_states(&self, problems: &mut Vec<String>) {
        let mut made: Vec<(TypeId, String)> = self
            .states
            .iter()
            .map(|(_, id)| (*id, "`App::state`".to_owned()))
            .collect();
        for hook in &self.start_hooks {
            let Some((id, name)) = (hook.provides)() else {
                continue;
            };
            let by = hook.callback.meta.to_string();
            if let Some((_, other)) = made.iter().find(|(known, _)| *known == id) {
                problems.push(format!(
                    "the state `{name}` is made twice: by {other} and by {by}"
                ));
            }
            made.push((id, by));
        }
        for entrypoint in &self.entrypoints {
            for (id, name) in entrypoint.requirements().states() {
                if !made.iter().any(|(known, _)| known == id) {
                    problems.push(format!(
                        "entrypoint {} takes `State<{name}>`, but no `#[on_start]` hook returns a `{name}`",
                        entrypoint.meta
                    ));
                }
            }
        }
    }
}

fn list(places: impl Iterator<Item = Meta>) -> String {
    places
        .map(|meta| meta.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
