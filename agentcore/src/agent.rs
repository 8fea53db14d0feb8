//! An agent whose parts have been checked: what the server serves.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{BoxError, Error, Kind};
use crate::extract::Requirements;
use crate::invoke::{Job, Options, ReplyTo};
use crate::layer::Wrap;
use crate::package::Package;
use crate::ping::PingStatus;
#[cfg(feature = "ws")]
use crate::registry::WebSocketDef;
use crate::registry::{BoxFuture, EntrypointDef, Meta, PingDef, ShutdownDef, StartDef, TaskDef};
use crate::state::{StateSlot, States};
#[cfg(feature = "ws")]
use crate::ws::{Opened, Opening};

/// An entrypoint, annotated or added to an `App` by hand.
#[derive(Clone)]
pub(crate) struct Entrypoint {
    pub(crate) meta: Meta,
    pub(crate) options: Options,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) start: Start,
}

fn requirements(ask: fn(&mut Requirements)) -> Requirements {
    let mut requirements = Requirements::default();
    ask(&mut requirements);
    requirements
}

/// Starts an invocation on the workers.
pub(crate) type Start = Arc<dyn Fn(&Handle, Job, ReplyTo) + Send + Sync>;

/// A websocket handler, annotated or added to an `App` by hand.
#[cfg(feature = "ws")]
pub(crate) struct WebSocketEndpoint {
    pub(crate) meta: Meta,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) open: Arc<dyn Fn(Opening) -> Opened + Send + Sync>,
}

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
    pub(crate) package: Package,
    pub(crate) entrypoints: Vec<Entrypoint>,
    #[cfg(feature = "ws")]
    pub(crate) websockets: Vec<WebSocketEndpoint>,
    pub(crate) pings: Vec<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    /// The innermost first.
    pub(crate) layers: Vec<Wrap>,
    /// States that were there from the beginning.
    pub(crate) states: Vec<(StateSlot, TypeId)>,
}

/// Parts that fit together.
pub(crate) struct Agent {
    pub(crate) package: Package,
    /// An agent may have only sockets.
    pub(crate) entrypoint: Option<Entrypoint>,
    #[cfg(feature = "ws")]
    pub(crate) websocket: Option<WebSocketEndpoint>,
    pub(crate) ping: Option<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    pub(crate) layers: Vec<Wrap>,
    pub(crate) states: States,
}

impl Agent {
    /// What it consists of, in half a line.
    pub(crate) fn describe(&self) -> String {
        let mut names: Vec<_> = self.tasks.iter().map(Meta::name).collect();
        names.sort_unstable();
        names.dedup();
        let tasks = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        let entrypoint = self.entrypoint.iter();
        #[cfg_attr(
            not(feature = "ws"),
            expect(unused_mut, reason = "nothing else has a path")
        )]
        let mut handlers: Vec<_> = entrypoint
            .map(|entrypoint| format!("entrypoint {}", entrypoint.meta))
            .collect();
        #[cfg(feature = "ws")]
        handlers.extend(
            self.websocket
                .iter()
                .map(|websocket| format!("websocket {}", websocket.meta)),
        );
        format!("{}, tasks: {tasks}", handlers.join(", "))
    }
}

impl Parts {
    /// What the macros registered in this binary and the crates linked into it.
    pub(crate) fn of_registry() -> Self {
        let mut parts = Self::default();
        for def in in_order(|def: &EntrypointDef| def.meta) {
            parts.entrypoints.push(Entrypoint {
                meta: def.meta,
                options: def.options,
                requires: def.requires,
                start: Arc::new(def.start),
            });
        }
        #[cfg(feature = "ws")]
        for def in in_order(|def: &WebSocketDef| def.meta) {
            parts.websockets.push(WebSocketEndpoint {
                meta: def.meta,
                requires: def.requires,
                open: Arc::new(def.open),
            });
        }
        for def in in_order(|def: &PingDef| def.meta) {
            parts.pings.push(Callback {
                meta: def.meta,
                call: Arc::new(def.call),
            });
        }
        for def in in_order(|def: &TaskDef| def.meta) {
            parts.tasks.push(def.meta);
        }
        for def in in_order(|def: &StartDef| def.meta) {
            parts.start_hooks.push(StartHook {
                callback: Callback {
                    meta: def.meta,
                    call: Arc::new(def.call),
                },
                timeout: def.timeout,
                provides: def.provides,
            });
        }
        for def in in_order(|def: &ShutdownDef| def.meta) {
            parts.shutdown_hooks.push(Callback {
                meta: def.meta,
                call: Arc::new(def.call),
            });
        }
        parts.package = package();
        parts
    }

    /// Checks that the parts make an agent; reports every way in which they do not.
    pub(crate) fn check(self) -> Result<Agent, Error> {
        let mut problems = Vec::new();
        #[cfg(feature = "ws")]
        let has_sockets = !self.websockets.is_empty();
        #[cfg(not(feature = "ws"))]
        let has_sockets = false;
        match self.entrypoints.len() {
            0 if has_sockets => {}
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
        #[cfg(feature = "ws")]
        if self.websockets.len() > 1 {
            problems.push(format!(
                "found {} websocket handlers, expected at most one: {}",
                self.websockets.len(),
                list(self.websockets.iter().map(|websocket| websocket.meta))
            ));
        }
        self.check_states(&mut problems);
        if !problems.is_empty() {
            return Err(Error::several(Kind::Registration, problems));
        }
        let states = States::default();
        self.states
            .into_iter()
            .for_each(|(slot, _)| states.insert(slot));
        let mut entrypoint = self.entrypoints.into_iter().next();
        if let Some(Entrypoint {
            options, requires, ..
        }) = &mut entrypoint
        {
            options.watch_disconnect = requirements(*requires).needs_disconnects();
        }
        Ok(Agent {
            package: self.package,
            entrypoint,
            #[cfg(feature = "ws")]
            websocket: self.websockets.into_iter().next(),
            ping: self.pings.into_iter().next(),
            tasks: self.tasks,
            start_hooks: self.start_hooks,
            shutdown_hooks: self.shutdown_hooks,
            layers: self.layers,
            states,
        })
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
        let entrypoints = self.entrypoints.iter();
        let takers = entrypoints.map(|taker| ("entrypoint", taker.meta, taker.requires));
        #[cfg(feature = "ws")]
        let takers = takers.chain(
            self.websockets
                .iter()
                .map(|taker| ("websocket handler", taker.meta, taker.requires)),
        );
        for (role, meta, requires) in takers {
            for (id, name) in requirements(requires).states() {
                if !made.iter().any(|(known, _)| known == id) {
                    problems.push(format!(
                        "{role} {meta} takes `State<{name}>`, but no `#[on_start]` hook returns a `{name}`"
                    ));
                }
            }
        }
    }
}

/// The crate of the entrypoint, or of the websocket handler where there is no entrypoint. Of several it does not matter:
/// that is no agent.
fn package() -> Package {
    let entrypoints = inventory::iter::<EntrypointDef>();
    let packages = entrypoints.map(|def| def.package);
    #[cfg(feature = "ws")]
    let packages = packages.chain(inventory::iter::<WebSocketDef>().map(|def| def.package));
    packages
        .into_iter()
        .find(Package::is_known)
        .unwrap_or_default()
}

/// What is registered, in the order of the source: by file, then by line. inventory's order is the linker's.
fn in_order<D: inventory::Collect>(meta: impl Fn(&D) -> Meta) -> Vec<&'static D> {
    // No `sort_by_key`: it would be compiled for every kind of part, and takes longer at that than all parts to sort.
    let mut defs: Vec<&'static D> = Vec::new();
    for def in inventory::iter::<D>() {
        let at = defs.partition_point(|other| meta(other) <= meta(def));
        defs.insert(at, def);
    }
    defs
}

fn list(places: impl Iterator<Item = Meta>) -> String {
    places
        .map(|meta| meta.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
