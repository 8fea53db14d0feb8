//! Configuration: the program's values win over the environment's, and those over the defaults.
//!
//! A [`Config`] holds the values that the program sets. [`Config::read`] adds the environment's and checks everything. The
//! [`Reader`] records it, so that one error names all problems, and `--check` can name the source of each value. The environment
//! is a closure, so nothing here depends on that of the process.

mod addresses;
mod choices;
#[cfg(feature = "durable")]
mod durable;
mod environment;
mod filter;
#[cfg(feature = "durable")]
mod job_store;
#[cfg(feature = "ws")]
mod origins;
mod paths;
mod state_key;
pub(crate) mod table;
pub(crate) mod unknown;
mod value;
#[cfg(feature = "ws")]
mod ws;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

#[cfg(any(test, all(fuzzing, feature = "ws")))]
use crate::error::Error;
pub(crate) use addresses::Addresses;
pub use choices::{BusyWhile, ErrorMode, LogFormat, LogLevel, SessionPolicy, StampWhileBusy};
#[cfg(feature = "durable")]
pub(crate) use durable::DurableSettings;
pub(crate) use environment::{Environment, Found, Reader, Source, as_text};
pub(crate) use filter::Filter;
#[cfg(feature = "durable")]
pub(crate) use job_store::{Store, Work};
#[cfg(feature = "ws")]
pub(crate) use origins::Origins;
pub(crate) use paths::UrlPath;
pub(crate) use state_key::StateKey;
pub(crate) use value::Value;
#[cfg(feature = "ws")]
pub(crate) use ws::WsSettings;

/// The prefix of the paths that the dev page requests.
pub(crate) const DEV_PATHS: &str = "/_dev/";

/// How an agent serves. Every setting has a default and an environment variable; a value that is set here wins over both.
///
#[doc = include_str!("../docs/settings.md")]
///
/// The generic `PORT` is ignored on purpose: it has broken agents on platforms that set it for other reasons
/// (bedrock-agentcore-sdk-python issue 593).
///
/// ```
/// use agentcore::{App, Config};
/// use std::time::Duration;
///
/// let config = Config::new().port(0).shutdown_grace(Duration::from_secs(3));
/// let app = App::from_registry().config(config);
/// # let _ = app;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Config {
    host: Option<IpAddr>,
    port: Option<u16>,
    invocations_path: Option<String>,
    warmup_path: Option<String>,
    warmup_timeout: Option<Duration>,
    admin_port: Option<u16>,
    probes: Option<bool>,
    worker_threads: Option<usize>,
    max_body_bytes: Option<usize>,
    max_json_nodes: Option<usize>,
    max_header_bytes: Option<usize>,
    header_timeout: Option<Duration>,
    body_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    shutdown_grace: Option<Duration>,
    max_connections: Option<usize>,
    max_invocations: Option<usize>,
    session_policy: Option<SessionPolicy>,
    task_max_age: Option<Duration>,
    #[cfg(feature = "durable")]
    durable: durable::DurableOptions,
    debug: Option<bool>,
    dev: Option<bool>,
    errors: Option<ErrorMode>,
    busy_while: Option<BusyWhile>,
    stamp_while_busy: Option<StampWhileBusy>,
    metrics: Option<bool>,
    openapi: Option<bool>,
    mcp_port: Option<u16>,
    mcp_path: Option<String>,
    mcp_state_key: Option<StateKey>,
    #[cfg(feature = "ws")]
    ws: ws::WsOptions,
    log_invocations: Option<LogLevel>,
    log_tasks: Option<LogLevel>,
    log: Option<String>,
    log_format: Option<LogFormat>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),+ $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    )+};
}

impl Config {
    /// Nothing set: the environment and the defaults decide.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The address to listen on. If the agent serves on [a listener](crate::App::listener), only the
        /// [admin port](Self::admin_port) is bound on it.
        host: IpAddr,
        /// The port to listen on; 0 takes a free one, which the start line names.
        ///
        /// AgentCore Runtime reaches the ports 8000 to 12000 except 8443. In a container, any other port but 0 causes a warning at
        /// the start, unless the [host](Self::host) is a loopback address.
        port: u16,
        /// How long a request for the [warm-up](Self::warmup_path) may take, with the start hooks that it waits for; 110 s by
        /// default, because the platform gives up after 120 s. After this time the hook that runs is dropped at its next
        /// `.await`, and the request is answered 504.
        warmup_timeout: Duration,
        /// A second port on the same host, for requests that the public must not make. The [probes](Self::probes) are then served
        /// only there. 0 takes a free one, which the start line names.
        ///
        /// It is bound on [`host`](Self::host), even if the agent serves on [a listener](crate::App::listener) with another
        /// address.
        ///
        /// It is served by the thread that serves `/ping` and runs no user code.
        admin_port: u16,
        /// Whether probes for Kubernetes and similar systems are served; on by default if there is an
        /// [admin port](Self::admin_port), off otherwise.
        ///
        /// `GET /livez` answers 200 as long as the server answers at all. `GET /readyz` answers 200 while the agent serves, and
        /// 503 while start hooks run and after the signal to stop. Both give a reason: `{"ready":false,"reason":"draining"}`.
        probes: bool,
        /// Threads that run handlers, when [`run`](crate::run) makes the runtime; at least 1.
        worker_threads: usize,
        /// The largest request body, in bytes; a larger one is answered 413.
        ///
        /// It bounds the body's bytes, and not the memory of the decoded value. A typed payload takes about the memory of its
        /// text. A [`serde_json::Value`] takes up to 94 times that, for objects with one short key: 100 MB of `{"":0}` are 9.4
        /// GB. [`max_json_nodes`](Self::max_json_nodes) bounds that.
        max_body_bytes: usize,
        /// How many JSON values and keys a payload may be decoded to, at least 1. A body with more is answered 413; in a socket's
        /// `recv_json` it is an error.
        ///
        /// Every value and every key counts as one. A value that a typed payload ignores counts as one, with all its content. In
        /// a [`serde_json::Value`] each takes 32 to 350 bytes beside the text of strings, so the default of ten million bounds
        /// one payload to some 3 GB, and a million to 350 MB. Values that serde buffers for an untagged or flattened type count
        /// too. Bodies that a handler takes as [`Bytes`](bytes::Bytes) are not decoded and not counted.
        max_json_nodes: usize,
        /// The largest head of a request, in bytes from 1024 to 65536; a larger one is answered 431.
        max_header_bytes: usize,
        /// How long the head of a request may take to arrive, and how long a connection may be idle between requests.
        header_timeout: Duration,
        /// How long a request's body may pause. On average it also has to arrive at 1 KiB a second or more, so that a client that
        /// sends a byte now and then is given up too.
        body_timeout: Duration,
        /// How long a client may read nothing of what is sent to it before it counts as gone and its connection is reset. A
        /// client that reads anything stays, however slowly it reads. It is checked four times within the limit, so it may be
        /// given up a quarter later.
        ///
        /// The client's system decides which reads can be seen: a closed window opens again for a whole segment, which is 64 KiB
        /// on loopback and 1.4 kB on an Ethernet. On loopback a client has to read some 100 kB within the limit, at the default
        /// some 2 kB a second. After the last byte is written, the kernel may still hold up to some megabytes. For these its own
        /// time (`TCP_USER_TIMEOUT`) applies, which is stricter.
        ///
        /// A socket's client has only the kernel's stricter time.
        ///
        /// Linux only; elsewhere the system's own, much longer, times apply.
        write_timeout: Duration,
        /// How long work may go on after the signal to stop. Shutdown hooks, and then the destructors of states, have the rest of
        /// it, and at least 2 s each.
        shutdown_grace: Duration,
        /// Open connections, at least 1. A further one can call only `/ping`; anything else is answered 503.
        max_connections: usize,
        /// Invocations in flight, at least 1. A further one is answered 503, with `Retry-After`. Sockets do not count.
        max_invocations: usize,
        /// What happens to an invocation while another one of its session runs.
        session_policy: SessionPolicy,
        /// How long any task may run. A task that runs longer is cancelled and reported as an error, so that a forgotten one
        /// cannot keep the session busy, and billed, to the end of its lifetime.
        ///
        /// A [`spawn`](crate::spawn)ed task is aborted at its next await. An [`async_task`](macro@crate::async_task) function is
        /// dropped at its next await, and the code that awaits it is unwound as by a panic: an invocation answers 504. Some tasks
        /// cannot be stopped: [`add_async_task`](crate::add_async_task), a [`track`](crate::track) guard, a future that is not
        /// polled, code that blocks its thread. Such a task only stops counting.
        task_max_age: Duration,
        /// Whether invocations with `_agent_core_app_action` are debug actions, as in Python's SDK.
        debug: bool,
        /// Whether `GET /` is a page that shows the agent and talks to it: status, tasks, recent invocations, a form for
        /// requests. It is meant for the developer's own machine.
        ///
        /// The agent then listens on loopback, in a container too; any other [address](Self::host) stops the start. A request
        /// gets 403 if it comes from another machine, if it names a host other than `localhost` or a loopback address, or if a
        /// web page of another origin makes it. Apps that are [tested in-process](crate::testing) have no page.
        ///
        /// Debug builds have the page. A release build has it with the feature `dev-page`, and does not start with this setting
        /// otherwise.
        dev: bool,
        /// What a failed invocation answers with.
        errors: ErrorMode,
        /// What makes the agent busy by itself.
        busy_while: BusyWhile,
        /// What `time_of_last_update` shows while the agent is busy.
        stamp_while_busy: StampWhileBusy,
        /// The level of the line that each invocation and each socket ends with; [`Info`](LogLevel::Info) by default. Errors and
        /// panics are logged at any setting; see [`telemetry`](crate::telemetry#lines-of-invocations-sockets-and-tasks).
        log_invocations: LogLevel,
        /// The level of the line that each task ends with; [`Info`](LogLevel::Info) by default. Errors and panics are logged at
        /// any setting; see [`telemetry`](crate::telemetry#lines-of-invocations-sockets-and-tasks).
        log_tasks: LogLevel,
        /// The form of log lines, where [`run`](crate::run) sets up the log; by default pretty on a terminal, JSON elsewhere.
        log_format: LogFormat,
        /// Whether `GET /metrics` answers with Prometheus' text, on the admin port if there is one; see
        /// [`telemetry`](crate::telemetry#metrics).
        metrics: bool,
        /// Whether `GET /openapi.json` answers with the OpenAPI document of the agent, of version 3.1, on the admin port if there is
        /// one. It needs the feature `schema`; `--openapi` prints the document.
        openapi: bool,
        /// The port of the [Model Context Protocol](https://modelcontextprotocol.io), with the feature `mcp`, if the agent has tools.
        /// 0 takes a free port, which the start line names. It is bound on [`host`](Self::host). An agent that has tools and
        /// neither an entrypoint, a websocket handler nor routes for its own port listens on it in place of [`port`](Self::port).
        mcp_port: u16,
    }

    /// The path on the [`mcp_port`](Self::mcp_port); `/mcp` by default. It is answered with a slash at its end, too.
    ///
    /// It begins with `/` and does not end with it, and has at most 2048 characters, which are letters, digits and `-._~/%`. A path
    /// that the agent serves for something else stops the start.
    ///
    /// ```
    /// let config = agentcore::Config::new().mcp_path("/tools");
    /// # let _ = config;
    /// ```
    pub fn mcp_path(mut self, path: impl Into<String>) -> Self {
        self.mcp_path = Some(path.into());
        self
    }

    /// The key that seals what a client keeps of a call that asks it, with the feature `mcp`. A random one for each
    /// process by default. It has 32 bytes or more, and is never shown.
    ///
    /// Since revision 2026-07-28 of the protocol a client repeats a call with its answers, and with a state that the agent has given it.
    /// An agent of several replicas, of which any may get the next call, needs one key for all of them.
    ///
    /// ```
    /// # let secret = "0123456789abcdef0123456789abcdef";
    /// let config = agentcore::Config::new().mcp_state_key(secret);
    /// # let _ = config;
    /// ```
    pub fn mcp_state_key(mut self, key: impl Into<String>) -> Self {
        self.mcp_state_key = Some(key.into().into());
        self
    }

    /// The path of invocations; `/invocations` by default.
    ///
    /// It begins with `/`, and has at most 2048 characters, which are letters, digits and `-._~/%`. It is compared with the path
    /// of a request byte by byte, so `/a` and `/%61` are two paths. A path that the agent serves for something else, such as
    /// `/ping` or `/ws`, stops the start. The runtime's `protocolConfiguration` has to name the path as well.
    ///
    /// ```
    /// let config = agentcore::Config::new().invocations_path("/chat");
    /// # let _ = config;
    /// ```
    pub fn invocations_path(mut self, path: impl Into<String>) -> Self {
        self.invocations_path = Some(path.into());
        self
    }

    /// The path of the platform's warm-up request, which runs the [warm-up hooks](macro@crate::on_warmup); `/warmup` by default.
    ///
    /// It begins with `/`, and has at most 32 characters, which are letters, digits and `-._~/`. A path that the agent serves for
    /// something else stops the start. The runtime's `hooksConfiguration` has to name the path as well.
    ///
    /// ```
    /// let config = agentcore::Config::new().warmup_path("/hooks/warm");
    /// # let _ = config;
    /// ```
    pub fn warmup_path(mut self, path: impl Into<String>) -> Self {
        self.warmup_path = Some(path.into());
        self
    }

    /// What is logged, where [`run`](crate::run) sets up the log: a level, or a list of levels by target.
    ///
    /// ```
    /// let config = agentcore::Config::new().log("info,my_agent=debug");
    /// # let _ = config;
    /// ```
    pub fn log(mut self, filter: impl Into<String>) -> Self {
        self.log = Some(filter.into());
        self
    }

    /// Fills in the environment and the defaults. `env` records the problems; the settings are usable only if there are none. The
    /// addresses of `supplied` listeners win.
    pub(crate) fn read(&self, env: &mut Reader<'_>, supplied: Addresses) -> Settings {
        // The dev page is for this machine only, and so is the agent then, in a container too.
        let is_local = env.peek(&table::DEV, self.dev) == Some(true);
        let everywhere = env.environment.in_container && !is_local;
        let host = env.computed(&table::HOST, self.host, || default_host(everywhere));
        let port = env.value(&table::PORT, self.port);
        let invocations_path = self.invocations_path.as_deref().map(UrlPath::from);
        let invocations_path = env.value(&table::INVOCATIONS_PATH, invocations_path);
        let warmup_path = self.warmup_path.as_deref().map(UrlPath::from);
        let warmup_path = env.value(&table::WARMUP_PATH, warmup_path);
        let warmup_timeout = env.value(&table::WARMUP_TIMEOUT, self.warmup_timeout);
        let admin_port = env.optional(&table::ADMIN_PORT, self.admin_port);
        let address = supplied.agent.unwrap_or(SocketAddr::new(host, port));
        let is_bound = supplied.agent.is_none() && supplied.admin.is_none();
        if is_bound && admin_port.is_some_and(|admin| admin == port && port != 0) {
            env.problem(format!(
                "{} is `{port}`; it takes another port than {}",
                table::ADMIN_PORT.variable,
                table::PORT.variable
            ));
        }
        let admin_port = supplied.admin.map(|admin| admin.port()).or(admin_port);
        let probes = env.computed(&table::PROBES, self.probes, || admin_port.is_some());
        let worker_threads = env.optional(&table::WORKER_THREADS, self.worker_threads);
        let max_body_bytes = env.value(&table::MAX_BODY_BYTES, self.max_body_bytes);
        let max_json_nodes = env.value(&table::MAX_JSON_NODES, self.max_json_nodes);
        let max_header_bytes = env.value(&table::MAX_HEADER_BYTES, self.max_header_bytes);
        let header_timeout = env.value(&table::HEADER_TIMEOUT, self.header_timeout);
        let body_timeout = env.value(&table::BODY_TIMEOUT, self.body_timeout);
        let write_timeout = env.value(&table::WRITE_TIMEOUT, self.write_timeout);
        let shutdown_grace = env.value(&table::SHUTDOWN_GRACE, self.shutdown_grace);
        let settings = Settings {
            host,
            address,
            invocations_path,
            warmup_path,
            warmup_timeout,
            warnings: Vec::from_iter(unreachable_port(
                everywhere,
                address,
                "the agent listens",
                &format!("set {} to", table::PORT.variable),
            )),
            admin_port,
            probes,
            worker_threads,
            max_body_bytes,
            max_json_nodes,
            max_header_bytes,
            header_timeout,
            body_timeout,
            write_timeout,
            shutdown_grace,
            max_connections: env.value(&table::MAX_CONNECTIONS, self.max_connections),
            max_invocations: env.optional(&table::MAX_INVOCATIONS, self.max_invocations),
            session_policy: env.value(&table::SESSION_POLICY, self.session_policy),
            task_max_age: env.optional(&table::TASK_MAX_AGE, self.task_max_age),
            #[cfg(feature = "durable")]
            durable: self.durable.read(env),
            debug: env.value(&table::DEBUG, self.debug),
            dev: read_dev(env, self.dev, host, supplied),
            errors: env.value(&table::ERRORS, self.errors),
            busy_while: env.value(&table::BUSY_WHILE, self.busy_while),
            stamp_while_busy: env.value(&table::STAMP_WHILE_BUSY, self.stamp_while_busy),
            metrics: env.value(&table::METRICS, self.metrics),
            openapi: env.value(&table::OPENAPI, self.openapi),
            mcp_port: env.value(&table::MCP_PORT, self.mcp_port),
            mcp_path: env.value(
                &table::MCP_PATH,
                self.mcp_path.as_deref().map(UrlPath::from),
            ),
            mcp_state_key: env.optional(&table::MCP_STATE_KEY, self.mcp_state_key.clone()),
            #[cfg(feature = "ws")]
            ws: self.ws.read(env),
            log_invocations: env.value(&table::LOG_INVOCATIONS, self.log_invocations),
            log_tasks: env.value(&table::LOG_TASKS, self.log_tasks),
        };
        settings.refuse_equal_paths(env);
        settings
    }

    /// Like [`read`](Self::read), where nothing else is read.
    #[cfg(any(test, all(fuzzing, feature = "ws")))]
    pub(crate) fn resolve(&self, environment: &Environment<'_>) -> Result<Settings, Error> {
        let mut env = Reader::new(environment);
        let settings = self.read(&mut env, Addresses::default());
        env.finish().map(|_| settings)
    }

    /// The program's filter, as text, and its log format.
    pub(crate) fn log_options(&self) -> (Option<&str>, Option<LogFormat>) {
        (self.log.as_deref(), self.log_format)
    }
}

fn default_host(everywhere: bool) -> IpAddr {
    if everywhere {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// The warning about a port of a container that the platform does not reach. `what` listens on it, and `advice` says how to
/// choose another one. A loopback address and port 0 are for tests.
pub(crate) fn unreachable_port(
    in_container: bool,
    address: SocketAddr,
    what: &str,
    advice: &str,
) -> Option<String> {
    let port = address.port();
    let is_for_tests = address.ip().to_canonical().is_loopback() || port == 0;
    let is_reached = (8000..=12000).contains(&port) && port != 8443;
    (in_container && !is_for_tests && !is_reached).then(|| {
        format!(
            "{what} on port {port}, which AgentCore Runtime does not reach; for the Runtime, {advice} a port from 8000 to \
             12000 other than 8443"
        )
    })
}

/// The dev page, if it is on. In a build without the page there is no such value, so the compiler leaves out all code that
/// needs one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DevPage(Present);

#[cfg(any(debug_assertions, feature = "dev-page"))]
type Present = ();
#[cfg(not(any(debug_assertions, feature = "dev-page")))]
type Present = std::convert::Infallible;

impl DevPage {
    fn of_this_build() -> Option<Self> {
        #[cfg(any(debug_assertions, feature = "dev-page"))]
        return Some(Self(()));
        #[cfg(not(any(debug_assertions, feature = "dev-page")))]
        return None;
    }
}

/// Whether the dev page is on. It is for this machine only, so a listener for other machines is a problem.
fn read_dev(
    env: &mut Reader<'_>,
    built: Option<bool>,
    host: IpAddr,
    supplied: Addresses,
) -> Option<DevPage> {
    let is_on = env.value(&table::DEV, built);
    if is_on && DevPage::of_this_build().is_none() {
        env.problem(format!(
            "{} is on, but this is a release build, which has no dev page: build it with the feature `dev-page`, or run a \
             debug build",
            table::DEV.variable,
        ));
        return None;
    }
    let dev = DevPage::of_this_build().filter(|_| is_on);
    let is_for_others = |address: IpAddr| !address.to_canonical().is_loopback();
    let problem = match supplied.agent {
        Some(listener) if is_for_others(listener.ip()) => {
            let passed = if supplied.is_inherited {
                format!("LISTEN_FDS passes a listener at `{listener}`")
            } else {
                format!("The program passes a listener at `{listener}` to `App::listener`")
            };
            format!("{passed}; open it on 127.0.0.1, or leave it out")
        }
        None if is_for_others(host) => {
            // Without this setting, the host would be a loopback address.
            let set = match env.source(&table::HOST) {
                Some(Source::Builder) => {
                    format!("The program sets `Config::host` to `{host}`")
                }
                _ => format!("The environment sets {} to `{host}`", table::HOST.variable),
            };
            format!("{set}; set it to 127.0.0.1, or leave it out")
        }
        _ => return dev,
    };
    if is_on {
        env.problem(format!(
            "{} is on, so only this machine may reach the agent. {problem}",
            table::DEV.variable,
        ));
    }
    dev
}

/// A [`Config`] in which every value is decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The address that ports are bound on. A supplied listener may have another address; that moves no port that the agent binds
    /// itself.
    pub(crate) host: IpAddr,
    /// The address that the agent listens on.
    pub(crate) address: SocketAddr,
    pub(crate) invocations_path: UrlPath,
    pub(crate) warmup_path: UrlPath,
    pub(crate) warmup_timeout: Duration,
    /// What will not work, but does not prevent the start.
    pub(crate) warnings: Vec<String>,
    pub(crate) admin_port: Option<u16>,
    pub(crate) probes: bool,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_json_nodes: usize,
    pub(crate) max_header_bytes: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_invocations: Option<usize>,
    pub(crate) session_policy: SessionPolicy,
    pub(crate) task_max_age: Option<Duration>,
    #[cfg(feature = "durable")]
    pub(crate) durable: DurableSettings,
    pub(crate) debug: bool,
    pub(crate) dev: Option<DevPage>,
    pub(crate) errors: ErrorMode,
    pub(crate) busy_while: BusyWhile,
    pub(crate) stamp_while_busy: StampWhileBusy,
    pub(crate) metrics: bool,
    pub(crate) openapi: bool,
    pub(crate) mcp_port: u16,
    pub(crate) mcp_path: UrlPath,
    #[cfg_attr(
        not(feature = "mcp"),
        expect(dead_code, reason = "the port of the protocol needs the feature")
    )]
    pub(crate) mcp_state_key: Option<StateKey>,
    #[cfg(feature = "ws")]
    pub(crate) ws: WsSettings,
    pub(crate) log_invocations: LogLevel,
    pub(crate) log_tasks: LogLevel,
}

impl Settings {
    /// Refuses a path that the agent serves for something else. Requests could reach only one of the two.
    fn refuse_equal_paths(&self, env: &mut Reader<'_>) {
        let invocations = (env.called(&table::INVOCATIONS_PATH), &self.invocations_path);
        let warmup = (env.called(&table::WARMUP_PATH), &self.warmup_path);
        let mcp = (env.called(&table::MCP_PATH), &self.mcp_path);
        for (name, path) in [invocations, warmup, mcp] {
            if self.serves_itself(path) {
                env.problem(format!(
                    "{name} is `{}`; it takes a path that the agent does not serve itself",
                    &**path
                ));
            }
        }
        // Either port answers the warm-up.
        let without_slash = self.warmup_path.strip_suffix('/');
        let without_slash = without_slash.unwrap_or(&self.warmup_path);
        if cfg!(feature = "mcp") && without_slash == &*self.mcp_path {
            env.problem(format!(
                "{} is `{}`; it takes another path than {}",
                warmup.0, &*self.warmup_path, mcp.0
            ));
        }
        if self.warmup_path == self.invocations_path {
            // The one to name is the one that has been set.
            let is_usual = self.warmup_path == table::WARMUP_PATH.default;
            let (named, other) = if is_usual {
                (invocations, warmup)
            } else {
                (warmup, invocations)
            };
            env.problem(format!(
                "{} is `{}`; it takes another path than {}",
                named.0, &*self.warmup_path, other.0
            ));
        }
    }

    /// Whether the agent's port serves `path`, whatever the two paths are set to.
    fn serves_itself(&self, path: &str) -> bool {
        let dev = self.dev.is_some() && (path == "/" || path.starts_with(DEV_PATHS));
        let here = self.admin_port.is_none();
        match path {
            "/ping" | "/ws" => true,
            "/livez" | "/readyz" => self.probes && here,
            "/metrics" => self.metrics && here,
            "/openapi.json" => self.openapi && here,
            _ => dev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        config: &Config,
        variables: &[(&str, &str)],
        in_container: bool,
    ) -> Result<Settings, Error> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        config.resolve(&Environment {
            variable: &variable,
            in_container,
        })
    }

    #[test]
    fn loopback_at_home_and_everywhere_in_a_container() {
        let at_home = resolve(&Config::new(), &[], false).unwrap();
        assert_eq!(at_home.address.to_string(), "127.0.0.1:8080");
        let in_container = resolve(&Config::new(), &[], true).unwrap();
        assert_eq!(in_container.address.to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn with_the_dev_page_it_is_loopback_in_a_container_too() {
        for on in ["1", "true", " on "] {
            let settings = resolve(&Config::new(), &[("AGENTCORE_DEV", on)], true).unwrap();
            assert_eq!(settings.address.to_string(), "127.0.0.1:8080");
            assert!(settings.dev.is_some());
        }
        let settings = resolve(&Config::new().dev(true), &[], true).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:8080");
        let off = [("AGENTCORE_DEV", "1")];
        let settings = resolve(&Config::new().dev(false), &off, true).unwrap();
        assert_eq!(settings.address.to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn a_host_that_the_dev_page_refuses_is_named_with_who_set_it() {
        let everywhere = Config::new().dev(true).host(Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(
            resolve(&everywhere, &[], false).unwrap_err().to_string(),
            "AGENTCORE_DEV is on, so only this machine may reach the agent. The program sets `Config::host` to `0.0.0.0`; \
             set it to 127.0.0.1, or leave it out"
        );
        let variables = [("AGENTCORE_DEV", "1"), ("AGENTCORE_HOST", "0.0.0.0")];
        assert_eq!(
            resolve(&Config::new(), &variables, false)
                .unwrap_err()
                .to_string(),
            "AGENTCORE_DEV is on, so only this machine may reach the agent. The environment sets AGENTCORE_HOST to \
             `0.0.0.0`; set it to 127.0.0.1, or leave it out"
        );
    }

    #[test]
    fn a_listener_that_the_dev_page_refuses_is_named_and_not_the_host() {
        let read = |listener: &str, is_inherited| {
            let environment = Environment {
                variable: &|name| (name == "AGENTCORE_HOST").then(|| "192.0.2.1".to_owned()),
                in_container: true,
            };
            let supplied = Addresses {
                agent: Some(listener.parse().unwrap()),
                admin: None,
                is_inherited,
            };
            let mut env = Reader::new(&environment);
            Config::new().dev(true).read(&mut env, supplied);
            env.finish().map(drop).map_err(|error| error.to_string())
        };
        for loopback in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(read(loopback, true), Ok(()), "{loopback}");
        }
        assert_eq!(
            read("0.0.0.0:80", true).unwrap_err(),
            "AGENTCORE_DEV is on, so only this machine may reach the agent. LISTEN_FDS passes a listener at `0.0.0.0:80`; \
             open it on 127.0.0.1, or leave it out"
        );
        let said = read("[::]:80", false).unwrap_err();
        let program = "The program passes a listener at `[::]:80` to `App::listener`; open it";
        assert!(said.contains(program), "{said}");
    }

    #[test]
    fn the_builder_wins_over_the_environment() {
        let variables = [
            ("AGENTCORE_PORT", "9000"),
            ("AGENTCORE_SHUTDOWN_GRACE", "3s"),
        ];
        let settings = resolve(&Config::new().port(9001), &variables, false).unwrap();
        assert_eq!(settings.address.port(), 9001);
        assert_eq!(settings.shutdown_grace, Duration::from_secs(3));
    }

    #[test]
    fn the_generic_port_variable_is_ignored() {
        let settings = resolve(&Config::new(), &[("PORT", "9000")], false).unwrap();
        assert_eq!(settings.address.port(), 8080);
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        assert_eq!(
            resolve(&Config::new(), &[("AGENTCORE_PORT", " ")], false)
                .unwrap()
                .address
                .port(),
            8080
        );
    }

    #[cfg(feature = "ws")]
    #[test]
    fn an_empty_list_of_origins_does_not_mean_all() {
        for empty in ["", " "] {
            let variables = [("AGENTCORE_WS_ORIGINS", empty)];
            let error = resolve(&Config::new(), &variables, false).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("AGENTCORE_WS_ORIGINS is ``; it takes * or origins"),
                "{error}"
            );
        }
        let none = Config::new().ws_origins(<[String; 0]>::default());
        assert!(resolve(&none, &[], false).is_err());
        assert!(resolve(&Config::new(), &[("AGENTCORE_WS_ORIGINS", "*")], false).is_ok());
    }

    #[test]
    fn every_wrong_variable_is_named_with_its_value_and_what_is_allowed() {
        let variables = [
            ("AGENTCORE_PORT", "http"),
            ("AGENTCORE_ERRORS", "loud"),
            ("AGENTCORE_SHUTDOWN_GRACE", "10"),
        ];
        let error = resolve(&Config::new(), &variables, false).unwrap_err();
        assert!(error.is_config());
        assert_eq!(
            error.problems(),
            [
                "AGENTCORE_PORT is `http`; it takes a port number from 0 to 65535",
                "AGENTCORE_SHUTDOWN_GRACE is `10`; it takes a duration with its unit, such as 500ms, 10s or 2h, up to a year",
                "AGENTCORE_ERRORS is `loud`; it takes http or in-band",
            ]
        );
    }

    /// "For ever" is cut to the longest duration. Nonsense is an error, as from a variable.
    #[test]
    fn what_the_program_sets_is_held_to_the_same_bounds() {
        let config = Config::new().shutdown_grace(Duration::MAX);
        let settings = resolve(&config, &[], false).unwrap();
        assert_eq!(settings.shutdown_grace, value::LONGEST);

        let config = Config::new()
            .worker_threads(1025)
            .max_connections(0)
            .max_invocations(0)
            .write_timeout(Duration::ZERO)
            .task_max_age(Duration::ZERO)
            .max_header_bytes(1000);
        let error = resolve(&config, &[], false).unwrap_err();
        assert_eq!(
            error.problems(),
            [
                "worker_threads is `1025`; it takes a number from 1 to 1024",
                "max_header_bytes is `1000`; it takes a number of bytes from 1024 to 65536",
                "write_timeout is `0s`; it takes a duration with its unit, such as 500ms, 10s or 2h, up to a year",
                "max_connections is `0`; it takes a number from 1 up",
                "max_invocations is `0`; it takes a number from 1 up",
                "task_max_age is `0s`; it takes a duration with its unit, such as 500ms, 10s or 2h, up to a year",
            ]
        );
    }

    #[cfg(feature = "ws")]
    #[test]
    fn so_is_what_it_sets_about_sockets() {
        let config = Config::new()
            .ws_ping_interval(Duration::ZERO)
            .ws_frame_bytes(127)
            .ws_frames_per_second(3)
            .ws_origins(["https://a.example", "b.example"]);
        let error = resolve(&config, &[], false).unwrap_err();
        let [interval, frame, rate, origins] = error.problems() else {
            panic!("{error}");
        };
        assert!(interval.starts_with("ws_ping_interval is `0s`; it takes "));
        assert!(frame.starts_with("ws_frame_bytes is `127`; it takes "));
        assert!(rate.starts_with("ws_frames_per_second is `3`; it takes "));
        assert!(origins.starts_with("ws_origins is `https://a.example,b.example`; it takes "));
    }

    #[test]
    fn every_setting_is_read_and_its_source_known() {
        let variable = |name: &str| (name == "AGENTCORE_DEBUG").then(|| "yes".to_owned());
        let environment = Environment {
            variable: &variable,
            in_container: false,
        };
        let mut env = Reader::new(&environment);
        let config = Config::new().port(0);
        config.read(&mut env, Addresses::default());
        crate::log::Log::read(&config, &mut env);
        let found = env.finish().unwrap();
        let names = |settings: &[&'static dyn table::Entry]| -> Vec<_> {
            settings.iter().map(|setting| setting.name()).collect()
        };
        let read: Vec<_> = found.iter().map(|found| found.setting).collect();
        assert_eq!(names(&read), names(table::ALL));
        for found in &found {
            let (source, value) = match found.setting.name() {
                "port" => (Source::Builder, Some("0")),
                "debug" => (Source::Environment("AGENTCORE_DEBUG"), Some("true")),
                "probes" => (Source::Default, Some("false")),
                "admin_port" | "worker_threads" | "max_invocations" | "task_max_age"
                | "mcp_state_key" => {
                    assert_eq!(found.value, None);
                    continue;
                }
                _ => (Source::Default, None),
            };
            let name = found.setting.name();
            assert_eq!(found.source, source, "{name}");
            let text = found.value.as_ref().map(as_text).expect(name);
            assert!(value.is_none_or(|value| value == text), "{name}: {text}");
        }
    }

    #[test]
    fn probes_come_with_an_admin_port_unless_they_are_refused() {
        let probes = |variables: &[(&str, &str)]| {
            resolve(&Config::new(), variables, false)
                .expect("settings")
                .probes
        };
        assert!(!probes(&[]));
        assert!(probes(&[("AGENTCORE_PROBES", "true")]));
        assert!(probes(&[("AGENTCORE_ADMIN_PORT", "0")]));
        let refused = [("AGENTCORE_ADMIN_PORT", "0"), ("AGENTCORE_PROBES", "off")];
        assert!(!probes(&refused));
    }

    #[test]
    fn an_admin_port_is_another_port() {
        let config = Config::new().port(9000).admin_port(9000);
        let error = resolve(&config, &[], false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "AGENTCORE_ADMIN_PORT is `9000`; it takes another port than AGENTCORE_PORT"
        );
        let config = Config::new().port(0).admin_port(0);
        assert_eq!(resolve(&config, &[], false).unwrap().admin_port, Some(0));
    }

    #[test]
    fn two_paths_of_the_agent_are_never_equal() {
        let refused = |variables: &[(&str, &str)]| {
            let error = resolve(&Config::new(), variables, false).map(drop);
            error.map_err(|error| error.problems().to_vec())
        };
        let path = |path| [("AGENTCORE_INVOCATIONS_PATH", path)];
        for taken in ["/ping", "/ws"] {
            assert_eq!(
                refused(&path(taken)).unwrap_err(),
                [format!(
                    "AGENTCORE_INVOCATIONS_PATH is `{taken}`; it takes a path that the agent does not serve itself"
                )]
            );
        }
        assert_eq!(
            refused(&path("/warmup")).unwrap_err(),
            [
                "AGENTCORE_INVOCATIONS_PATH is `/warmup`; it takes another path than AGENTCORE_WARMUP_PATH"
            ]
        );
        let both = [
            ("AGENTCORE_INVOCATIONS_PATH", "/a"),
            ("AGENTCORE_WARMUP_PATH", "/a"),
        ];
        assert_eq!(
            refused(&both).unwrap_err(),
            [
                "AGENTCORE_WARMUP_PATH is `/a`; it takes another path than AGENTCORE_INVOCATIONS_PATH"
            ]
        );
        for (served, path) in [
            ("AGENTCORE_PROBES", "/livez"),
            ("AGENTCORE_PROBES", "/readyz"),
            ("AGENTCORE_METRICS", "/metrics"),
            ("AGENTCORE_DEV", "/"),
            ("AGENTCORE_DEV", "/_dev/agent"),
        ] {
            let moved = ("AGENTCORE_WARMUP_PATH", path);
            assert_eq!(refused(&[moved]), Ok(()), "{path}");
            assert!(refused(&[moved, (served, "1")]).is_err(), "{path}");
            if !served.ends_with("DEV") {
                let elsewhere = ("AGENTCORE_ADMIN_PORT", "0");
                assert_eq!(refused(&[moved, (served, "1"), elsewhere]), Ok(()));
            }
        }
        assert_eq!(
            resolve(&Config::new().warmup_path("warm"), &[], false)
                .unwrap_err()
                .to_string(),
            "warmup_path is `warm`; it takes a path of up to 32 characters: / and then letters, digits and -._~/"
        );
        // The program has set these paths, so the messages name its settings.
        for (config, expected) in [
            (
                Config::new().warmup_path("/ping"),
                "warmup_path is `/ping`; it takes a path that the agent does not serve itself",
            ),
            (
                Config::new().warmup_path("/invocations"),
                "warmup_path is `/invocations`; it takes another path than AGENTCORE_INVOCATIONS_PATH",
            ),
        ] {
            let error = resolve(&config, &[], false).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_port_that_the_platform_does_not_reach_is_a_warning_in_a_container() {
        let warnings = |port: &str, in_container| {
            let variables = [("AGENTCORE_PORT", port)];
            resolve(&Config::new(), &variables, in_container)
                .unwrap()
                .warnings
        };
        for port in ["8000", "8080", "12000", "0"] {
            assert_eq!(warnings(port, true), Vec::<String>::new(), "{port}");
        }
        let config = Config::new().host(Ipv4Addr::LOCALHOST.into()).port(80);
        assert!(resolve(&config, &[], true).unwrap().warnings.is_empty());
        for port in ["80", "7999", "8443", "12001"] {
            let expected = format!(
                "the agent listens on port {port}, which AgentCore Runtime does not reach; for the Runtime, set \
                 AGENTCORE_PORT to a port from 8000 to 12000 other than 8443"
            );
            assert_eq!(warnings(port, true), [expected]);
            assert_eq!(warnings(port, false), Vec::<String>::new(), "{port}");
        }
    }
}
