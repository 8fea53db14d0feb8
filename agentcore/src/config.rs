//! Configuration: builder over environment over default.
//!
//! A [`Config`] holds what the program says. [`Config::resolve`] adds what the environment says, checks everything,
//! and reports all that is wrong in one go. The environment is a closure, so nothing here depends on the process's.

mod environment;
#[cfg(feature = "ws")]
mod ws;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::error::{Error, Kind};
use environment::{
    DURATION, LONGEST, MOST_THREADS, at_least_one, boolean, duration, host, more_than_nothing,
    parse, threads,
};
pub(crate) use environment::{Environment, Reader};

/// How an agent serves. Everything has a default, and an environment variable; what is set here wins over both.
///
/// | method | variable | default |
/// | --- | --- | --- |
/// | [`host`](Self::host) | `AGENTCORE_HOST` | `0.0.0.0` in a container or as PID 1, else `127.0.0.1` |
/// | [`port`](Self::port) | `AGENTCORE_PORT` | 8080, the one the platform expects; 0 takes a free one |
/// | [`worker_threads`](Self::worker_threads) | `AGENTCORE_WORKER_THREADS` | one per CPU |
/// | [`max_body_bytes`](Self::max_body_bytes) | `AGENTCORE_MAX_BODY_BYTES` | 100000000, the platform's limit |
/// | [`header_timeout`](Self::header_timeout) | `AGENTCORE_HEADER_TIMEOUT` | `10s` |
/// | [`body_timeout`](Self::body_timeout) | `AGENTCORE_BODY_TIMEOUT` | `30s` |
/// | [`shutdown_grace`](Self::shutdown_grace) | `AGENTCORE_SHUTDOWN_GRACE` | `10s` |
/// | [`write_timeout`](Self::write_timeout) | `AGENTCORE_WRITE_TIMEOUT` | `60s` |
/// | [`max_connections`](Self::max_connections) | `AGENTCORE_MAX_CONNECTIONS` | 10000 |
/// | [`max_invocations`](Self::max_invocations) | `AGENTCORE_MAX_INVOCATIONS` | as many as come |
/// | [`session_policy`](Self::session_policy) | `AGENTCORE_SESSION_POLICY` | `concurrent` (or `reject`, `queue`) |
/// | [`task_max_age`](Self::task_max_age) | `AGENTCORE_TASK_MAX_AGE` | none |
/// | [`debug`](Self::debug) | `AGENTCORE_DEBUG` | `false` |
/// | [`errors`](Self::errors) | `AGENTCORE_ERRORS` | `http` (or `in-band`) |
/// | [`busy_while`](Self::busy_while) | `AGENTCORE_BUSY_WHILE` | `activity` (or `tasks`) |
/// | [`stamp_while_busy`](Self::stamp_while_busy) | `AGENTCORE_STAMP_WHILE_BUSY` | `freeze` (or `refresh`) |
/// | [`metrics`](Self::metrics) | `AGENTCORE_METRICS` | `false` |
#[cfg_attr(
    feature = "ws",
    doc = "| [`ws_ping_interval`](Self::ws_ping_interval) | `AGENTCORE_WS_PING_INTERVAL` | `25s` |
| [`ws_max_message_bytes`](Self::ws_max_message_bytes) | `AGENTCORE_WS_MAX_MESSAGE_BYTES` | 16777216 |
| [`ws_frame_bytes`](Self::ws_frame_bytes) | `AGENTCORE_WS_FRAME_BYTES` | 32768, what the platform takes for sure |
| [`ws_frames_per_second`](Self::ws_frames_per_second) | `AGENTCORE_WS_FRAMES_PER_SECOND` | 240; the platform's limit is 250 |
| [`ws_origins`](Self::ws_origins) | `AGENTCORE_WS_ORIGINS` | `*`: web pages from anywhere |"
)]
///
/// The generic `PORT` is ignored on purpose: platforms that set it for other reasons have broken agents by it
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
    worker_threads: Option<usize>,
    max_body_bytes: Option<usize>,
    header_timeout: Option<Duration>,
    body_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    shutdown_grace: Option<Duration>,
    max_connections: Option<usize>,
    max_invocations: Option<usize>,
    session_policy: Option<SessionPolicy>,
    task_max_age: Option<Duration>,
    debug: Option<bool>,
    errors: Option<ErrorMode>,
    busy_while: Option<BusyWhile>,
    stamp_while_busy: Option<StampWhileBusy>,
    metrics: Option<bool>,
    #[cfg(feature = "ws")]
    ws: ws::WsOptions,
}

/// What a failed invocation answers with.
///
/// Amazon Bedrock AgentCore Runtime turns every answer that is not 2xx into a 424 without the body, so a caller that
/// must read the reason needs [`InBand`](Self::InBand).
///
/// ```
/// let config = agentcore::Config::new().errors(agentcore::ErrorMode::InBand);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorMode {
    /// The error's own status, with `{"error": ..}`.
    #[default]
    Http,
    /// Status 200, with `{"error": .., "status": ..}`.
    InBand,
}

/// What happens to an invocation whose session is at another one.
///
/// Amazon Bedrock AgentCore Runtime delivers simultaneous invocations of one session to the same process
/// (bedrock-agentcore-sdk-python pull request 200). An agent that keeps a conversation may not want that. Invocations
/// without a session id are always concurrent.
///
/// ```
/// let config = agentcore::Config::new().session_policy(agentcore::SessionPolicy::Queue);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// Both run.
    #[default]
    Concurrent,
    /// It is answered 409, with `Retry-After`.
    Reject,
    /// It waits until the others are over, in the order in which they came; its `timeout` begins with its turn. Beyond
    /// 64 that wait, it is answered 429, with `Retry-After`.
    Queue,
}

/// What makes the agent busy by itself.
///
/// ```
/// let config = agentcore::Config::new().busy_while(agentcore::BusyWhile::Tasks);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusyWhile {
    /// Tasks, and invocations in flight.
    #[default]
    Activity,
    /// Tasks only, as in Python's SDK. The platform has been seen to end sessions in the middle of an invocation that
    /// took longer than the idle time-out.
    Tasks,
}

/// What `time_of_last_update` shows while the agent is busy.
///
/// ```
/// let config = agentcore::Config::new().stamp_while_busy(agentcore::StampWhileBusy::Refresh);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StampWhileBusy {
    /// When it became busy, as AWS documents it.
    #[default]
    Freeze,
    /// The time of the ping: safe also where a platform were to judge idleness by the stamp alone. While the agent is
    /// healthy the stamp is frozen all the same.
    Refresh,
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
        /// The address to listen on.
        host: IpAddr,
        /// The port to listen on; 0 takes a free one, which the start line names.
        port: u16,
        /// Threads that run handlers, when [`run`](crate::run) makes the runtime; at least 1.
        worker_threads: usize,
        /// The largest request body, in bytes; a larger one is answered 413.
        max_body_bytes: usize,
        /// How long the head of a request may take to arrive; also how long a connection may idle between requests.
        header_timeout: Duration,
        /// How long a request's body may stand still. On the long run it also has to come at 1 KiB a second or more:
        /// a client that sends a byte now and then is given up as one that sends none.
        body_timeout: Duration,
        /// How long a client may take nothing of what is sent to it, or not acknowledge it, before it counts as gone.
        /// Linux only, where the kernel keeps this time (`TCP_USER_TIMEOUT`); elsewhere the system's own, much longer,
        /// times hold.
        write_timeout: Duration,
        /// How long work may go on after the signal to stop.
        shutdown_grace: Duration,
        /// Open connections; one beyond them may ping, and is answered 503 otherwise.
        max_connections: usize,
        /// Invocations in flight, at least 1; one beyond them is answered 503, with `Retry-After`. Sockets do not count.
        max_invocations: usize,
        /// What happens to an invocation whose session is at another one.
        session_policy: SessionPolicy,
        /// How long any task may run. One that runs longer is cancelled and reported as an error, so that a forgotten one
        /// cannot keep the session busy, and billed, for the platform's eight hours.
        ///
        /// What was [`spawn`](crate::spawn)ed is aborted at its next await. A function that is an
        /// [`async_task`](macro@crate::async_task) is dropped at its next await and whoever awaits it is unwound as by a
        /// panic: an invocation answers 504. Where nothing can be stopped, as for
        /// [`add_async_task`](crate::add_async_task), a [`track`](crate::track) guard, a future that nobody polls or code
        /// that blocks its thread, the task at least counts no longer.
        task_max_age: Duration,
        /// Whether invocations with `_agent_core_app_action` are debug actions, as in Python's SDK.
        debug: bool,
        /// What a failed invocation answers with.
        errors: ErrorMode,
        /// What makes the agent busy by itself.
        busy_while: BusyWhile,
        /// What `time_of_last_update` shows while the agent is busy.
        stamp_while_busy: StampWhileBusy,
        /// Whether `GET /metrics` answers with Prometheus' text; see [`telemetry`](crate::telemetry#metrics).
        metrics: bool,
    }

    /// Fills in the environment and the defaults.
    pub(crate) fn resolve(&self, environment: &Environment<'_>) -> Result<Settings, Error> {
        let mut env = Reader::new(environment);
        let host = env.value(
            "AGENTCORE_HOST",
            "an IP address, such as 0.0.0.0, or localhost",
            host,
        );
        let port = env.value("AGENTCORE_PORT", "a port number from 0 to 65535", parse);
        let workers = env.value(
            "AGENTCORE_WORKER_THREADS",
            "a number from 1 to 1024",
            threads,
        );
        let max_body = env.value("AGENTCORE_MAX_BODY_BYTES", "a number of bytes", parse);
        let header_timeout = env.value("AGENTCORE_HEADER_TIMEOUT", DURATION, duration);
        let body_timeout = env.value("AGENTCORE_BODY_TIMEOUT", DURATION, duration);
        let write_timeout = env.value("AGENTCORE_WRITE_TIMEOUT", DURATION, more_than_nothing);
        let grace = env.value("AGENTCORE_SHUTDOWN_GRACE", DURATION, duration);
        let task_max_age = env.value("AGENTCORE_TASK_MAX_AGE", DURATION, more_than_nothing);
        let max_connections = env.value(
            "AGENTCORE_MAX_CONNECTIONS",
            "a number from 1 up",
            at_least_one,
        );
        let max_invocations = env.value(
            "AGENTCORE_MAX_INVOCATIONS",
            "a number from 1 up",
            at_least_one,
        );
        let session_policy = env.choice(
            "AGENTCORE_SESSION_POLICY",
            &[
                ("concurrent", SessionPolicy::Concurrent),
                ("reject", SessionPolicy::Reject),
                ("queue", SessionPolicy::Queue),
            ],
        );
        let debug = env.value("AGENTCORE_DEBUG", "true or false", boolean);
        let metrics = env.value("AGENTCORE_METRICS", "true or false", boolean);
        let errors = env.choice(
            "AGENTCORE_ERRORS",
            &[("http", ErrorMode::Http), ("in-band", ErrorMode::InBand)],
        );
        let busy_while = env.choice(
            "AGENTCORE_BUSY_WHILE",
            &[
                ("activity", BusyWhile::Activity),
                ("tasks", BusyWhile::Tasks),
            ],
        );
        let stamp = env.choice(
            "AGENTCORE_STAMP_WHILE_BUSY",
            &[
                ("freeze", StampWhileBusy::Freeze),
                ("refresh", StampWhileBusy::Refresh),
            ],
        );
        if self
            .worker_threads
            .is_some_and(|threads| !(1..=MOST_THREADS).contains(&threads))
        {
            env.problems
                .push("worker_threads takes a number from 1 to 1024".to_owned());
        }
        for (name, time) in [
            ("write_timeout", self.write_timeout),
            ("task_max_age", self.task_max_age),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                env.problems
                    .push(format!("{name} is 0; it takes a longer time"));
            }
        }
        if self.max_invocations == Some(0) {
            env.problems
                .push("max_invocations is 0; it takes a number from 1 up".to_owned());
        }
        let shutdown_grace = self
            .shutdown_grace
            .or(grace)
            .unwrap_or(Duration::from_secs(10))
            .min(LONGEST);
        #[cfg(feature = "ws")]
        let ws = self.ws.resolve(&mut env, shutdown_grace);
        if !env.problems.is_empty() {
            return Err(Error::several(Kind::Config, env.problems));
        }
        let default_host = || {
            if environment.in_container {
                Ipv4Addr::UNSPECIFIED
            } else {
                Ipv4Addr::LOCALHOST
            }
            .into()
        };
        Ok(Settings {
            address: SocketAddr::new(
                self.host.or(host).unwrap_or_else(default_host),
                self.port.or(port).unwrap_or(8080),
            ),
            worker_threads: self.worker_threads.or(workers),
            max_body_bytes: self.max_body_bytes.or(max_body).unwrap_or(100_000_000),
            header_timeout: self
                .header_timeout
                .or(header_timeout)
                .unwrap_or(Duration::from_secs(10))
                .min(LONGEST),
            body_timeout: self
                .body_timeout
                .or(body_timeout)
                .unwrap_or(Duration::from_secs(30))
                .min(LONGEST),
            write_timeout: self
                .write_timeout
                .or(write_timeout)
                .unwrap_or(Duration::from_secs(60))
                .min(LONGEST),
            shutdown_grace,
            max_connections: self.max_connections.or(max_connections).unwrap_or(10_000),
            max_invocations: self.max_invocations.or(max_invocations),
            session_policy: self.session_policy.or(session_policy).unwrap_or_default(),
            task_max_age: self
                .task_max_age
                .or(task_max_age)
                .map(|age| age.min(LONGEST)),
            debug: self.debug.or(debug).unwrap_or_default(),
            errors: self.errors.or(errors).unwrap_or_default(),
            busy_while: self.busy_while.or(busy_while).unwrap_or_default(),
            stamp_while_busy: self.stamp_while_busy.or(stamp).unwrap_or_default(),
            metrics: self.metrics.or(metrics).unwrap_or_default(),
            #[cfg(feature = "ws")]
            ws,
        })
    }
}

/// A [`Config`] with nothing left open.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) max_body_bytes: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_invocations: Option<usize>,
    pub(crate) session_policy: SessionPolicy,
    pub(crate) task_max_age: Option<Duration>,
    pub(crate) debug: bool,
    pub(crate) errors: ErrorMode,
    pub(crate) busy_while: BusyWhile,
    pub(crate) stamp_while_busy: StampWhileBusy,
    pub(crate) metrics: bool,
    #[cfg(feature = "ws")]
    pub(crate) ws: std::sync::Arc<crate::ws::WsSettings>,
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
}
