//! [`Description`]: the parts of an agent, for people and for machines.

use std::fmt;

#[cfg(feature = "schema")]
use serde_json::Value;

use super::descriptors::Meta;
use super::parts::{Agent, PlatformHook, Router, StartHook};
#[cfg(feature = "schema")]
use crate::tools::Registered;
use crate::util::fields::fields;

/// The parts of an agent.
pub(crate) struct Description {
    pub(crate) entrypoint: Option<EntrypointAt>,
    pub(crate) websocket: Option<FunctionAt>,
    pub(crate) ping: Option<FunctionAt>,
    pub(crate) tasks: Vec<FunctionAt>,
    /// The durable tasks, on the dev page. `--check` shows more of them.
    pub(crate) durable: Option<Vec<FunctionAt>>,
    #[cfg(feature = "schema")]
    pub(crate) tools: Vec<ToolAt>,
    #[cfg(feature = "mcp")]
    pub(crate) resources: Vec<ResourceAt>,
    #[cfg(feature = "mcp")]
    pub(crate) prompts: Vec<ToolAt>,
    pub(crate) start_hooks: Vec<StartHookAt>,
    pub(crate) shutdown_hooks: Vec<FunctionAt>,
    pub(crate) warmup_hooks: Vec<PlatformHookAt>,
    pub(crate) restore_hooks: Vec<PlatformHookAt>,
    pub(crate) routes: Vec<RoutesAt>,
    pub(crate) layers: usize,
}

/// A router.
pub(crate) struct RoutesAt {
    pub(crate) function: FunctionAt,
    /// Its own port, if it has one.
    pub(crate) port: Option<u16>,
    pub(crate) idle: Vec<String>,
    pub(crate) timeout: Option<String>,
}

/// A function and its source location.
pub(crate) struct FunctionAt {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) meta: Meta,
}

pub(crate) struct EntrypointAt {
    pub(crate) function: FunctionAt,
    pub(crate) timeout: Option<String>,
    pub(crate) idle_timeout: Option<String>,
    pub(crate) on_disconnect: &'static str,
}

/// A tool, with the schema of its arguments.
#[cfg(feature = "schema")]
pub(crate) struct ToolAt {
    pub(crate) function: FunctionAt,
    pub(crate) timeout: Option<String>,
    pub(crate) task: &'static str,
    pub(crate) input: Value,
}

/// A resource, with its URI.
#[cfg(feature = "mcp")]
pub(crate) struct ResourceAt {
    pub(crate) function: FunctionAt,
    pub(crate) uri: &'static str,
    pub(crate) timeout: Option<String>,
}

pub(crate) struct StartHookAt {
    pub(crate) function: FunctionAt,
    pub(crate) timeout: Option<String>,
    /// The type of the state that it makes.
    pub(crate) state: Option<&'static str>,
}

#[cfg(feature = "mcp")]
fields! { Description { entrypoint, websocket, ping, tasks, durable?, tools, resources, prompts, start_hooks, shutdown_hooks, warmup_hooks, restore_hooks, routes, layers } }
#[cfg(feature = "mcp")]
fields! { ResourceAt { ..function, uri, timeout } }
#[cfg(all(feature = "schema", not(feature = "mcp")))]
fields! { Description { entrypoint, websocket, ping, tasks, durable?, tools, start_hooks, shutdown_hooks, warmup_hooks, restore_hooks, routes, layers } }
#[cfg(feature = "schema")]
fields! { ToolAt { ..function, timeout, task, input } }
#[cfg(not(feature = "schema"))]
fields! { Description { entrypoint, websocket, ping, tasks, durable?, start_hooks, shutdown_hooks, warmup_hooks, restore_hooks, routes, layers } }
fields! { PlatformHookAt { ..function, timeout } }
fields! { FunctionAt { name, file, line } }
fields! { EntrypointAt { ..function, timeout, idle_timeout, on_disconnect } }
fields! { RoutesAt { ..function, port, idle, timeout } }
fields! { StartHookAt { ..function, timeout, state } }

/// A warm-up or restore hook.
pub(crate) struct PlatformHookAt {
    pub(crate) function: FunctionAt,
    pub(crate) timeout: Option<String>,
}

impl Description {
    pub(crate) fn new(agent: &Agent) -> Self {
        let Agent {
            entrypoint,
            ping,
            tasks,
            start_hooks,
            shutdown_hooks,
            warmup_hooks,
            restore_hooks,
            routers,
            layers,
            ..
        } = agent;
        let functions = |metas: &[Meta]| metas.iter().copied().map(FunctionAt::from).collect();
        Self {
            entrypoint: entrypoint.as_ref().map(|entrypoint| EntrypointAt {
                function: entrypoint.meta.into(),
                timeout: entrypoint.options.timeout.map(time),
                idle_timeout: entrypoint.options.idle_timeout.map(time),
                on_disconnect: if entrypoint.options.cancel_on_disconnect {
                    "cancel"
                } else {
                    "finish"
                },
            }),
            #[cfg(feature = "ws")]
            websocket: agent
                .websocket
                .as_ref()
                .map(|websocket| websocket.meta.into()),
            #[cfg(not(feature = "ws"))]
            websocket: None,
            ping: ping.as_ref().map(|ping| ping.meta.into()),
            tasks: functions(tasks),
            durable: None,
            #[cfg(feature = "schema")]
            tools: agent.tools.iter().map(|tool| ToolAt::new(tool)).collect(),
            #[cfg(feature = "mcp")]
            resources: agent
                .resources
                .iter()
                .map(|resource| ResourceAt::new(resource))
                .collect(),
            #[cfg(feature = "mcp")]
            prompts: agent
                .prompts
                .iter()
                .map(|prompt| ToolAt::new(prompt))
                .collect(),
            start_hooks: start_hooks.iter().map(StartHookAt::new).collect(),
            shutdown_hooks: shutdown_hooks.iter().map(|hook| hook.meta.into()).collect(),
            warmup_hooks: warmup_hooks.iter().map(PlatformHookAt::new).collect(),
            restore_hooks: restore_hooks.iter().map(PlatformHookAt::new).collect(),
            routes: routers.iter().map(RoutesAt::new).collect(),
            layers: layers.len(),
        }
    }
}

#[cfg(feature = "durable")]
impl Description {
    /// Adds the durable tasks, if there are any.
    pub(crate) fn with_durable(mut self, agent: &Agent) -> Self {
        let tasks = agent.durable.iter().map(|task| task.meta.into());
        self.durable = (!agent.durable.is_empty()).then(|| tasks.collect());
        self
    }
}

impl From<Meta> for FunctionAt {
    fn from(meta: Meta) -> Self {
        Self {
            name: meta.name(),
            file: meta.file(),
            line: meta.line(),
            meta,
        }
    }
}

impl RoutesAt {
    fn new(router: &Router) -> Self {
        Self {
            function: router.meta.into(),
            port: router.port,
            idle: router.patterns.clone(),
            timeout: router.timeout.map(time),
        }
    }
}

#[cfg(feature = "schema")]
impl ToolAt {
    fn new(tool: &Registered) -> Self {
        Self {
            function: tool.meta.into(),
            timeout: tool.timeout.map(time),
            task: tool.task.as_str(),
            input: Value::Object(tool.input.clone()),
        }
    }
}

impl StartHookAt {
    fn new(hook: &StartHook) -> Self {
        Self {
            function: hook.callback.meta.into(),
            timeout: hook.timeout.map(time),
            state: (hook.provides)().map(|(_, name)| name),
        }
    }
}

impl PlatformHookAt {
    fn new(hook: &PlatformHook) -> Self {
        Self {
            function: hook.callback.meta.into(),
            timeout: hook.timeout.map(time),
        }
    }
}

impl fmt::Display for PlatformHookAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        match &self.timeout {
            Some(timeout) => write!(f, ", within {timeout}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn time(time: std::time::Duration) -> String {
    humantime::format_duration(time).to_string()
}

impl fmt::Display for FunctionAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meta.fmt(f)
    }
}

impl fmt::Display for EntrypointAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        if let Some(timeout) = &self.idle_timeout {
            write!(f, ", at most {timeout} between two items of a stream")?;
        }
        if self.on_disconnect == "cancel" {
            f.write_str(", dropped when its client leaves")?;
        }
        Ok(())
    }
}

impl fmt::Display for RoutesAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(port) = self.port {
            write!(f, ", on port {port}")?;
        }
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        if !self.idle.is_empty() {
            write!(f, ", not busy with {}", self.idle.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(feature = "mcp")]
impl ResourceAt {
    fn new(resource: &Registered) -> Self {
        let uri = resource.uri.as_ref();
        Self {
            function: resource.meta.into(),
            uri: uri.map_or("", |uri| uri.as_str()),
            timeout: resource.timeout.map(time),
        }
    }
}

#[cfg(feature = "mcp")]
impl fmt::Display for ResourceAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.function, self.uri)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        Ok(())
    }
}

/// The tool, and the names of its arguments.
#[cfg(feature = "schema")]
impl fmt::Display for ToolAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        let arguments = self.input.get("properties").and_then(Value::as_object);
        let arguments = arguments.into_iter().flatten();
        let names: Vec<_> = arguments.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return f.write_str(", no arguments");
        }
        write!(f, ", arguments {}", names.join(", "))
    }
}

impl fmt::Display for StartHookAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        if let Some(state) = self.state {
            write!(f, ", makes `{state}`")?;
        }
        Ok(())
    }
}
