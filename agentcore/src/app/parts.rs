//! [`Agent`]: an agent whose parts have been checked, as the server serves it.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "durable")]
use crate::app::descriptors::DurableDef;
#[cfg(feature = "ws")]
use crate::app::descriptors::WebSocketDef;
use crate::app::descriptors::{
    EntrypointDef, Meta, PingDef, RestoreDef, RoutesDef, ShutdownDef, StartDef, TaskDef, WarmupDef,
};
use crate::app::package::Package;
use crate::error::{BoxError, Error, Kind};
use crate::handler::extract::Requirements;
use crate::handler::hook::HookCall;
use crate::handler::invoke::{Options, Run};
#[cfg(feature = "mcp")]
use crate::handler::layer::Endpoint;
use crate::handler::layer::Wrap;
use crate::handler::routes::idle::Idle;
use crate::handler::routes::{Build, Mount, Routes};
use crate::request::{StateSlot, States};
#[cfg(feature = "schema")]
use crate::schema::Schemas;
#[cfg(feature = "mcp")]
use crate::tools::Updates;
#[cfg(feature = "schema")]
use crate::tools::{self, Offered, ToolDef, ToolSet};
use crate::tracker::PingStatus;
use crate::util::BoxFuture;
#[cfg(feature = "ws")]
use crate::ws::{Opened, Opening};

/// An entrypoint, annotated or added to an `App` by hand.
#[derive(Clone)]
pub(crate) struct Entrypoint {
    pub(crate) meta: Meta,
    pub(crate) options: Options,
    pub(crate) requires: fn(&mut Requirements),
    /// Adds the schemas of its types.
    #[cfg(feature = "schema")]
    pub(crate) describe: fn(&mut Schemas),
    pub(crate) run: Run,
}

/// A router, annotated or added to an `App` by hand.
pub(crate) struct Router {
    pub(crate) meta: Meta,
    pub(crate) requires: Requires,
    /// Makes the service. For the workers.
    pub(crate) build: Build,
    pub(crate) timeout: Option<Duration>,
    /// The patterns of idle paths, as they were given. A request to an idle path does not make the agent busy.
    pub(crate) patterns: Vec<String>,
    /// The patterns, once they have been checked.
    pub(crate) idle: Idle,
    /// `None` for the agent's own port. 0 stands for any port.
    pub(crate) port: Option<u16>,
}

impl Router {
    pub(crate) fn new(meta: Meta, port: Option<u16>, routes: Routes) -> Self {
        Self {
            meta,
            requires: routes.requires,
            build: routes.build,
            timeout: routes.timeout,
            patterns: routes.idle,
            idle: Idle::default(),
            port,
        }
    }

    /// The place where the server keeps the service.
    pub(crate) fn mount(&self) -> Mount {
        let mut options = Options::new(self.meta.name());
        options.timeout = self.timeout;
        Mount::new(options, self.idle.clone())
    }
}

fn requirements(ask: impl FnOnce(&mut Requirements)) -> Requirements {
    let mut requirements = Requirements::default();
    ask(&mut requirements);
    requirements
}

/// A websocket handler, annotated or added to an `App` by hand.
#[cfg(feature = "ws")]
pub(crate) struct WebSocketEndpoint {
    pub(crate) meta: Meta,
    pub(crate) requires: fn(&mut Requirements),
    pub(crate) open: Arc<dyn Fn(Opening) -> Opened + Send + Sync>,
}

/// A ping handler or a hook.
#[derive(Clone)]
pub(crate) struct Callback<T> {
    pub(crate) meta: Meta,
    pub(crate) requires: Requires,
    /// Makes the arguments and calls the function. For the workers.
    pub(crate) call: Arc<dyn Fn(HookCall) -> BoxFuture<Result<T, BoxError>> + Send + Sync>,
}

impl<T> Callback<T> {
    fn requirements(&self) -> Requirements {
        requirements(self.requires)
    }

    /// Whether the function takes the automatic status.
    pub(crate) fn takes_automatic_status(&self) -> bool {
        self.requirements().needs_automatic_status()
    }
}

/// Collects what a function's arguments need from the app.
pub(crate) type Requires = fn(&mut Requirements);

/// A start hook, with the type that it makes.
pub(crate) struct StartHook {
    pub(crate) callback: Callback<StateSlot>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) provides: fn() -> Option<(TypeId, &'static str)>,
}

/// A warm-up or restore hook.
#[derive(Clone)]
pub(crate) struct PlatformHook {
    pub(crate) callback: Callback<()>,
    pub(crate) timeout: Option<Duration>,
}

/// All registered parts, not yet checked.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) package: Package,
    pub(crate) entrypoints: Vec<Entrypoint>,
    #[cfg(feature = "ws")]
    pub(crate) websockets: Vec<WebSocketEndpoint>,
    pub(crate) pings: Vec<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    #[cfg(feature = "durable")]
    pub(crate) durable: Vec<DurableDef>,
    #[cfg(feature = "schema")]
    pub(crate) tools: Vec<tools::Draft>,
    /// Services that answer the port of the Model Context Protocol in place of the tools.
    #[cfg(feature = "mcp")]
    pub(crate) mcp_services: Vec<Endpoint>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    pub(crate) warmup_hooks: Vec<PlatformHook>,
    pub(crate) restore_hooks: Vec<PlatformHook>,
    pub(crate) routers: Vec<Router>,
    /// The layers, the innermost first.
    pub(crate) layers: Vec<Wrap>,
    /// The states that exist before the start hooks run.
    pub(crate) states: Vec<(StateSlot, TypeId)>,
}

/// Parts that fit together.
pub(crate) struct Agent {
    pub(crate) package: Package,
    /// `None` for an agent that has only sockets or routes.
    pub(crate) entrypoint: Option<Entrypoint>,
    #[cfg(feature = "ws")]
    pub(crate) websocket: Option<WebSocketEndpoint>,
    pub(crate) ping: Option<Callback<PingStatus>>,
    pub(crate) tasks: Vec<Meta>,
    #[cfg(feature = "durable")]
    pub(crate) durable: Vec<DurableDef>,
    #[cfg(feature = "schema")]
    pub(crate) tools: ToolSet,
    #[cfg(feature = "mcp")]
    pub(crate) resources: ToolSet,
    #[cfg(feature = "mcp")]
    pub(crate) prompts: ToolSet,
    /// The news of the resources.
    #[cfg(feature = "mcp")]
    pub(crate) updates: Updates,
    #[cfg(feature = "mcp")]
    pub(crate) mcp_service: Option<Endpoint>,
    /// The OpenAPI document, if `GET /openapi.json` is switched on.
    #[cfg(feature = "schema")]
    pub(crate) openapi: Option<String>,
    /// The schemas of the entrypoint, if the dev page is on, which makes a form of them.
    #[cfg(feature = "schema")]
    pub(crate) schema: Option<serde_json::Value>,
    pub(crate) start_hooks: Vec<StartHook>,
    pub(crate) shutdown_hooks: Vec<Callback<()>>,
    pub(crate) warmup_hooks: Vec<PlatformHook>,
    pub(crate) restore_hooks: Vec<PlatformHook>,
    /// At most one on each port.
    pub(crate) routers: Vec<Router>,
    pub(crate) layers: Vec<Wrap>,
    pub(crate) states: States,
}

impl Agent {
    /// Whether anything answers the port of the Model Context Protocol.
    #[cfg(feature = "mcp")]
    pub(crate) fn serves_mcp(&self) -> bool {
        let offers = [&self.tools, &self.resources, &self.prompts];
        self.mcp_service.is_some() || offers.iter().any(|offers| !offers.is_empty())
    }

    /// Whether nothing is left for the agent's own port: there is no entrypoint, no websocket handler, and no router there.
    #[cfg(feature = "mcp")]
    pub(crate) fn serves_only_mcp(&self) -> bool {
        #[cfg(feature = "ws")]
        if self.websocket.is_some() {
            return false;
        }
        let has_routes = self.routers.iter().any(|router| router.port.is_none());
        self.entrypoint.is_none() && !has_routes && self.serves_mcp()
    }

    /// The parts of the agent, in half a line.
    pub(crate) fn describe(&self) -> String {
        let mut names: Vec<_> = self.tasks.iter().map(Meta::name).collect();
        #[cfg(feature = "durable")]
        names.extend(self.durable.iter().map(|def| def.task.name));
        names.sort_unstable();
        names.dedup();
        let tasks = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        let entrypoint = self.entrypoint.iter();
        let mut handlers: Vec<_> = entrypoint
            .map(|entrypoint| format!("entrypoint {}", entrypoint.meta))
            .collect();
        #[cfg(feature = "ws")]
        handlers.extend(
            self.websocket
                .iter()
                .map(|websocket| format!("websocket {}", websocket.meta)),
        );
        handlers.extend(
            self.routers
                .iter()
                .map(|router| format!("routes {}", router.meta)),
        );
        if handlers.is_empty() {
            handlers.push("no entrypoint".to_owned());
        }
        #[cfg_attr(
            not(feature = "schema"),
            expect(unused_mut, reason = "nothing is added")
        )]
        let mut text = format!("{}, tasks: {tasks}", handlers.join(", "));
        #[cfg(feature = "schema")]
        text.push_str(&self.tools.listed("tools"));
        #[cfg(feature = "mcp")]
        for (noun, offers) in [("resources", &self.resources), ("prompts", &self.prompts)] {
            text.push_str(&offers.listed(noun));
        }
        text
    }
}

impl PlatformHook {
    pub(crate) fn new(
        meta: Meta,
        timeout: Option<Duration>,
        requires: Requires,
        call: impl Fn(HookCall) -> BoxFuture<Result<(), BoxError>> + Send + Sync + 'static,
    ) -> Self {
        let call = Arc::new(call);
        Self {
            callback: Callback {
                meta,
                requires,
                call,
            },
            timeout,
        }
    }
}

impl Parts {
    /// The parts that the macros registered in this binary and the crates linked into it.
    pub(crate) fn of_registry() -> Self {
        let mut parts = Self::default();
        for def in in_order(|def: &EntrypointDef| def.meta) {
            parts.entrypoints.push(Entrypoint {
                meta: def.meta,
                options: def.options,
                requires: def.requires,
                #[cfg(feature = "schema")]
                describe: def.describe,
                run: Arc::new(def.run),
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
                requires: def.requires,
                call: Arc::new(def.call),
            });
        }
        for def in in_order(|def: &TaskDef| def.meta) {
            parts.tasks.push(def.meta);
        }
        #[cfg(feature = "durable")]
        for def in in_order(|def: &DurableDef| def.meta) {
            parts.durable.push(*def);
        }
        #[cfg(feature = "schema")]
        for def in in_order(|def: &ToolDef| def.meta) {
            parts.tools.push(def.to_draft());
        }
        for def in in_order(|def: &StartDef| def.meta) {
            parts.start_hooks.push(StartHook {
                callback: Callback {
                    meta: def.meta,
                    requires: def.requires,
                    call: Arc::new(def.call),
                },
                timeout: def.timeout,
                provides: def.provides,
            });
        }
        for def in in_order(|def: &ShutdownDef| def.meta) {
            parts.shutdown_hooks.push(Callback {
                meta: def.meta,
                requires: def.requires,
                call: Arc::new(def.call),
            });
        }
        for def in in_order(|def: &WarmupDef| def.meta) {
            let hook = PlatformHook::new(def.meta, def.timeout, def.requires, def.call);
            parts.warmup_hooks.push(hook);
        }
        for def in in_order(|def: &RestoreDef| def.meta) {
            let hook = PlatformHook::new(def.meta, def.timeout, def.requires, def.call);
            parts.restore_hooks.push(hook);
        }
        for def in in_order(|def: &RoutesDef| def.meta) {
            parts.routers.push(Router {
                meta: def.meta,
                requires: def.requires,
                build: Arc::new(def.call),
                timeout: def.timeout,
                patterns: def.idle.iter().map(|text| (*text).to_owned()).collect(),
                idle: Idle::default(),
                port: def.port,
            });
        }
        parts.package = package();
        parts
    }

    /// Checks that the parts make an agent, and reports every problem.
    pub(crate) fn check(mut self) -> Result<Agent, Error> {
        let mut problems = Vec::new();
        #[cfg(feature = "ws")]
        let has_sockets = !self.websockets.is_empty();
        #[cfg(not(feature = "ws"))]
        let has_sockets = false;
        match self.entrypoints.len() {
            0 if has_sockets || !self.routers.is_empty() => {}
            0 if self.serves_mcp() => {}
            #[cfg(all(feature = "schema", not(feature = "mcp")))]
            0 if !self.tools.is_empty() => problems.push(
                "no entrypoint: there are tools, which the feature `mcp` of `agentcore` would serve; without it, annotate one \
                 function with `#[agentcore::entrypoint]`"
                    .to_owned(),
            ),
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
        self.check_routers(&mut problems);
        #[cfg(feature = "mcp")]
        if self.mcp_services.len() > 1 || !self.mcp_services.is_empty() && !self.tools.is_empty() {
            problems.push(
                "`App::mcp_service` mounts the one service that answers the port of the Model Context Protocol, and there are tools, resources or prompts, \
                 or there is another service"
                    .to_owned(),
            );
        }
        self.check_states(&mut problems);
        #[cfg(feature = "durable")]
        self.check_durable_names(&mut problems);
        #[cfg(feature = "schema")]
        let offered = Offered::check(std::mem::take(&mut self.tools), &mut problems);
        let start_hooks = std::mem::take(&mut self.start_hooks);
        let start_hooks = in_order_of_need(start_hooks, &mut problems);
        if !problems.is_empty() {
            return Err(Error::several(Kind::Registration, problems));
        }
        let states = States::default();
        self.states
            .into_iter()
            .for_each(|(slot, _)| states.insert(slot));
        #[cfg(feature = "schema")]
        offered.tools.share(&states);
        #[cfg(feature = "mcp")]
        let updates = Updates::default();
        #[cfg(feature = "mcp")]
        updates.share(&states);
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
            #[cfg(feature = "durable")]
            durable: self.durable,
            #[cfg(feature = "schema")]
            tools: offered.tools,
            #[cfg(feature = "mcp")]
            resources: offered.resources,
            #[cfg(feature = "mcp")]
            prompts: offered.prompts,
            #[cfg(feature = "mcp")]
            updates,
            #[cfg(feature = "mcp")]
            mcp_service: self.mcp_services.pop(),
            #[cfg(feature = "schema")]
            openapi: None,
            #[cfg(feature = "schema")]
            schema: None,
            start_hooks,
            shutdown_hooks: self.shutdown_hooks,
            warmup_hooks: self.warmup_hooks,
            restore_hooks: self.restore_hooks,
            routers: self.routers,
            layers: self.layers,
            states,
        })
    }

    /// Whether anything answers the port of the Model Context Protocol.
    pub(crate) fn serves_mcp(&self) -> bool {
        #[cfg(feature = "mcp")]
        let served = self.mcp_services.len() + self.tools.len();
        #[cfg(not(feature = "mcp"))]
        let served = {
            let _ = self;
            0
        };
        served > 0
    }

    /// Whether nothing is left for the agent's own port: there is no entrypoint, no websocket handler, and no router there.
    pub(crate) fn serves_only_mcp(&self) -> bool {
        #[cfg(feature = "ws")]
        let has_sockets = !self.websockets.is_empty();
        #[cfg(not(feature = "ws"))]
        let has_sockets = false;
        let has_routes = self.routers.iter().any(|router| router.port.is_none());
        self.serves_mcp() && self.entrypoints.is_empty() && !has_sockets && !has_routes
    }

    /// Checks that no two routers have one port, and the patterns of each.
    fn check_routers(&mut self, problems: &mut Vec<String>) {
        for router in &mut self.routers {
            match Idle::parse(&router.patterns) {
                Ok(idle) => router.idle = idle,
                Err(wrong) => {
                    let meta = router.meta;
                    problems.extend(wrong.into_iter().map(|why| format!("routes {meta}: {why}")));
                }
            }
        }
        for (place, router) in self.routers.iter().enumerate() {
            // Of several routers for one port, the first reports them all.
            let is_same = |other: &&Router| other.port == router.port;
            if router.port == Some(0) || self.routers[..place].iter().any(|other| is_same(&other)) {
                continue;
            }
            let others: Vec<_> = self.routers.iter().filter(is_same).collect();
            if others.len() > 1 {
                let port = match router.port {
                    Some(port) => format!("port {port}"),
                    None => "the agent's own port".to_owned(),
                };
                problems.push(format!(
                    "found {} routers for {port}, expected at most one: {}",
                    others.len(),
                    list(others.iter().map(|router| router.meta))
                ));
            }
        }
    }

    /// Checks that no two durable tasks have one name, because jobs are stored under it.
    #[cfg(feature = "durable")]
    fn check_durable_names(&self, problems: &mut Vec<String>) {
        for (number, def) in self.durable.iter().enumerate() {
            let name = def.task.name;
            let earlier = &self.durable[..number];
            if let Some(other) = earlier.iter().find(|other| other.task.name == name) {
                problems.push(format!(
                    "two durable tasks are called `{name}`: {} and {}; give one of them another name with `name = \"..\"`",
                    other.meta, def.meta
                ));
            }
        }
    }

    /// Checks that every state that is taken is made, and that none is made twice.
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
        let takers = self.entrypoints.iter();
        let takers = takers.map(|taker| ("entrypoint", taker.meta, taker.requires));
        #[cfg(feature = "ws")]
        let takers = takers.chain(
            self.websockets
                .iter()
                .map(|taker| ("websocket handler", taker.meta, taker.requires)),
        );
        #[cfg(feature = "schema")]
        let takers = takers.chain(
            self.tools
                .iter()
                .map(|taker| ("tool", taker.meta, taker.requires)),
        );
        let pings = self.pings.iter();
        let takers = takers.chain(pings.map(|taker| ("ping handler", taker.meta, taker.requires)));
        let hooks = self.start_hooks.iter().map(|hook| &hook.callback);
        let takers = takers.chain(hooks.map(|taker| ("start hook", taker.meta, taker.requires)));
        #[cfg(feature = "durable")]
        let takers = takers.chain(
            self.durable
                .iter()
                .map(|taker| ("durable task", taker.meta, taker.requires)),
        );
        let hooks = self.shutdown_hooks.iter();
        let takers = takers.chain(hooks.map(|taker| ("shutdown hook", taker.meta, taker.requires)));
        let hooks = self.warmup_hooks.iter().map(|hook| &hook.callback);
        let takers = takers.chain(hooks.map(|taker| ("warm-up hook", taker.meta, taker.requires)));
        let hooks = self.restore_hooks.iter().map(|hook| &hook.callback);
        let takers = takers.chain(hooks.map(|taker| ("restore hook", taker.meta, taker.requires)));
        let routers = self.routers.iter();
        let takers = takers.chain(routers.map(|taker| ("router", taker.meta, taker.requires)));
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

/// Start hooks in the order in which they can run: each after those that make what it takes, and otherwise in the given order.
fn in_order_of_need(hooks: Vec<StartHook>, problems: &mut Vec<String>) -> Vec<StartHook> {
    let mut waiting: Vec<_> = hooks
        .into_iter()
        .map(|hook| (hook.callback.requirements(), (hook.provides)(), hook))
        .collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        // A hook does not wait for a state that exists already, nor for one that is never made, which has been reported.
        let is_to_come = |id: &TypeId| {
            let mut made = waiting.iter().filter_map(|(_, provides, _)| *provides);
            made.any(|(made, _)| made == *id)
        };
        let can_run = |needs: &Requirements| !needs.states().iter().any(|(id, _)| is_to_come(id));
        let Some(next) = waiting.iter().position(|(needs, ..)| can_run(needs)) else {
            let metas = waiting.iter().map(|(.., hook)| hook.callback.meta);
            problems.push(format!(
                "start hooks wait for each other's state: {}; make the states that depend on each other in one hook",
                list(metas)
            ));
            return Vec::new();
        };
        ordered.push(waiting.remove(next).2);
    }
    ordered
}

/// The crate of the entrypoint, or else of the websocket handler, of routes or of a tool. If there are several, any of
/// them will do: the parts do not make an agent then.
fn package() -> Package {
    let entrypoints = inventory::iter::<EntrypointDef>();
    let packages = entrypoints.map(|def| def.package);
    #[cfg(feature = "ws")]
    let packages = packages.chain(inventory::iter::<WebSocketDef>().map(|def| def.package));
    let packages = packages.chain(inventory::iter::<RoutesDef>().map(|def| def.package));
    #[cfg(feature = "schema")]
    let packages = packages.chain(inventory::iter::<ToolDef>().map(|def| def.package));
    packages
        .into_iter()
        .find(Package::is_known)
        .unwrap_or_default()
}

/// The registered parts in the order of the source: by file, then by line. inventory gives them in the linker's order.
fn in_order<D: inventory::Collect>(meta: impl Fn(&D) -> Meta) -> Vec<&'static D> {
    // Not `sort_by_key`: it would be compiled for every kind of part, and that takes longer than sorting all parts.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, BoxError, Json, PingStatus, State};

    struct One;
    struct Two;
    struct Three;

    fn app() -> App {
        App::new().entrypoint("handler", async || Json(()))
    }

    fn problems(app: App) -> Vec<String> {
        match app.into_agent_for_tests() {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().to_vec(),
        }
    }

    #[test]
    fn a_start_hook_runs_behind_those_that_make_what_it_takes_and_otherwise_as_it_stands() {
        let app = app()
            .on_start(|_: State<Two>, _: State<One>| State::new(Three))
            .on_start(|| Ok::<_, BoxError>("no need"))
            .on_start(async |_: State<One>| State::new(Two))
            .on_start(|_: State<u8>| State::new(One))
            .state(1_u8);
        let (agent, _) = app.into_agent_for_tests().expect("an agent");
        let made: Vec<_> = agent
            .start_hooks
            .iter()
            .map(|hook| (hook.provides)().expect("a state").0)
            .collect();
        let expected = [
            TypeId::of::<&str>(),
            TypeId::of::<One>(),
            TypeId::of::<Two>(),
            TypeId::of::<Three>(),
        ];
        assert_eq!(made, expected);
    }

    #[test]
    fn start_hooks_that_wait_for_each_other_are_no_agent() {
        let circle = app()
            .on_start(|_: State<Two>| State::new(One))
            .on_start(|_: State<One>| State::new(Two));
        let problems = problems(circle);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("start hooks wait for each other's state: `on_start` ("),
            "{problems:?}"
        );
    }

    #[test]
    fn a_hook_that_takes_what_it_makes_is_no_agent() {
        let own = app().on_start(|_: State<One>| State::new(One));
        assert_eq!(problems(own).len(), 1);
    }

    #[test]
    fn a_state_that_a_hook_or_a_ping_handler_takes_and_nothing_makes_is_named() {
        let app = app()
            .on_start(|_: State<One>| ())
            .on_shutdown(|_: State<Two>| ())
            .ping(|status: PingStatus, _: State<Three>| status);
        let problems = problems(app);
        for (role, state) in [
            ("ping handler `ping`", "Three"),
            ("start hook `on_start`", "One"),
            ("shutdown hook `on_shutdown`", "Two"),
        ] {
            let named = problems
                .iter()
                .any(|problem| problem.starts_with(role) && problem.contains(state));
            assert!(named, "{role}: {problems:?}");
        }
        assert_eq!(problems.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_ping_handler_has_the_last_word_if_it_takes_the_automatic_status() {
        let last_word = |app: App| {
            let (agent, _) = app.into_agent_for_tests().expect("an agent");
            agent.ping.expect("a ping handler").takes_automatic_status()
        };
        assert!(!last_word(app().ping(|| PingStatus::Healthy)));
        assert!(last_word(app().ping(|status: PingStatus| status)));
        assert!(last_word(
            app()
                .state(One)
                .ping(async |_: State<One>, status: PingStatus| status)
        ));
    }
}
