//! Configuration: builder over environment over default.
//!
//! A [`Config`] holds what the program says. [`Config::resolve`] adds what the environment says, checks everything,
//! and reports all that is wrong in one go. The environment is a closure, so nothing here depends on the process's.

#[cfg(feature = "ws")]
mod ws;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::error::{Error, Kind};

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
/// | [`max_connections`](Self::max_connections) | `AGENTCORE_MAX_CONNECTIONS` | 10000 |
/// | [`debug`](Self::debug) | `AGENTCORE_DEBUG` | `false` |
/// | [`errors`](Self::errors) | `AGENTCORE_ERRORS` | `http` (or `in-band`) |
/// | [`busy_while`](Self::busy_while) | `AGENTCORE_BUSY_WHILE` | `activity` (or `tasks`) |
/// | [`stamp_while_busy`](Self::stamp_while_busy) | `AGENTCORE_STAMP_WHILE_BUSY` | `freeze` (or `refresh`) |
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
    shutdown_grace: Option<Duration>,
    max_connections: Option<usize>,
    debug: Option<bool>,
    errors: Option<ErrorMode>,
    busy_while: Option<BusyWhile>,
    stamp_while_busy: Option<StampWhileBusy>,
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
        /// How long a request's body may stand still.
        body_timeout: Duration,
        /// How long work may go on after the signal to stop.
        shutdown_grace: Duration,
        /// Open connections; one beyond them may ping, and is answered 503 otherwise.
        max_connections: usize,
        /// Whether invocations with `_agent_core_app_action` are debug actions, as in Python's SDK.
        debug: bool,
        /// What a failed invocation answers with.
        errors: ErrorMode,
        /// What makes the agent busy by itself.
        busy_while: BusyWhile,
        /// What `time_of_last_update` shows while the agent is busy.
        stamp_while_busy: StampWhileBusy,
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
        let grace = env.value("AGENTCORE_SHUTDOWN_GRACE", DURATION, duration);
        let max_connections = env.value(
            "AGENTCORE_MAX_CONNECTIONS",
            "a number from 1 up",
            at_least_one,
        );
        let debug = env.value("AGENTCORE_DEBUG", "true or false", boolean);
        let errors = env.value("AGENTCORE_ERRORS", "http or in-band", |text| match text {
            "http" => Some(ErrorMode::Http),
            "in-band" => Some(ErrorMode::InBand),
            _ => None,
        });
        let busy_while = env.value(
            "AGENTCORE_BUSY_WHILE",
            "activity or tasks",
            |text| match text {
                "activity" => Some(BusyWhile::Activity),
                "tasks" => Some(BusyWhile::Tasks),
                _ => None,
            },
        );
        let stamp = env.value(
            "AGENTCORE_STAMP_WHILE_BUSY",
            "freeze or refresh",
            |text| match text {
                "freeze" => Some(StampWhileBusy::Freeze),
                "refresh" => Some(StampWhileBusy::Refresh),
                _ => None,
            },
        );
        if self
            .worker_threads
            .is_some_and(|threads| !(1..=MOST_THREADS).contains(&threads))
        {
            env.problems
                .push("worker_threads takes a number from 1 to 1024".to_owned());
        }
        let shutdown_grace = self
            .shutdown_grace
            .or(grace)
            .unwrap_or(Duration::from_secs(10));
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
            shutdown_grace,
            max_connections: self.max_connections.or(max_connections).unwrap_or(10_000),
            debug: self.debug.or(debug).unwrap_or_default(),
            errors: self.errors.or(errors).unwrap_or_default(),
            busy_while: self.busy_while.or(busy_while).unwrap_or_default(),
            stamp_while_busy: self.stamp_while_busy.or(stamp).unwrap_or_default(),
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
    pub(crate) shutdown_grace: Duration,
    pub(crate) max_connections: usize,
    pub(crate) debug: bool,
    pub(crate) errors: ErrorMode,
    pub(crate) busy_while: BusyWhile,
    pub(crate) stamp_while_busy: StampWhileBusy,
    #[cfg(feature = "ws")]
    pub(crate) ws: std::sync::Arc<crate::ws::WsSettings>,
}

/// What the process was started with.
pub(crate) struct Environment<'a> {
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether only an address that is reachable from outside makes sense.
    pub(crate) in_container: bool,
}

impl Environment<'static> {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        let exists = |path: &str| std::path::Path::new(path).exists();
        let is_set = |name: &str| std::env::var_os(name).is_some();
        Self {
            variable: &|name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            },
            // Engines leave different traces; a process that is PID 1 is in a container or a microVM in any case.
            in_container: std::process::id() == 1
                || exists("/.dockerenv")
                || exists("/run/.containerenv")
                || is_set("DOCKER_CONTAINER")
                || is_set("KUBERNETES_SERVICE_HOST"),
        }
    }
}

/// Reads variables and remembers what is wrong with them.
pub(crate) struct Reader<'a> {
    environment: &'a Environment<'a>,
    pub(crate) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(environment: &'a Environment<'a>) -> Self {
        Self {
            environment,
            problems: Vec::new(),
        }
    }

    /// The variable's value; `None` when it is unset or empty, or wrong, which is then a problem.
    pub(crate) fn value<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = (self.environment.variable)(name)?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        let value = parse(trimmed);
        if value.is_none() {
            self.problems
                .push(format!("{name} is `{text}`; it takes {allowed}"));
        }
        value
    }
}

const DURATION: &str = "a duration with its unit, such as 500ms, 10s or 2h, up to a year";

/// Beyond it clocks overflow, and nobody means it.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Beyond it the process only gets slower, if it starts at all.
const MOST_THREADS: usize = 1024;

fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn at_least_one(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&number| number > 0)
}

fn threads(text: &str) -> Option<usize> {
    at_least_one(text).filter(|&number| number <= MOST_THREADS)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| *duration <= LONGEST)
}

fn host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    // As in a URL, too: `[::1]`.
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
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
