//! Settings whose values are a few words.

use super::value::words;

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

/// What happens to an invocation while another one of its session runs.
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
    /// It waits until the others are over, in the order of arrival; its `timeout` begins with its turn. While 64 wait, a further
    /// one is answered 429, with `Retry-After`.
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
    /// Tasks only, as in Python's SDK. The platform has been seen to end sessions during an invocation that took longer than the
    /// idle time-out.
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
    /// The time of the ping. It is also safe if a platform judges idleness by the stamp alone. While the agent is healthy the
    /// stamp stays frozen.
    Refresh,
}

/// The form of log lines.
///
/// ```
/// let config = agentcore::Config::new().log_format(agentcore::LogFormat::Json);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One flat JSON object a line, with the keys of Python's SDK.
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// The level of a log line that the library writes itself.
///
/// ```
/// let config = agentcore::Config::new().log_invocations(agentcore::LogLevel::Debug);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// No line is written.
    Off,
    /// An error.
    Error,
    /// A warning.
    Warn,
    /// Shown by default.
    Info,
    /// Shown where [`Config::log`](crate::Config::log) asks for it.
    Debug,
    /// Shown where [`Config::log`](crate::Config::log) asks for everything.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 6] = [
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The level at index `number` of [`ALL`](Self::ALL).
    pub(crate) fn of_number(number: u8) -> Self {
        let known = Self::ALL.get(usize::from(number));
        known.copied().unwrap_or(Self::Off)
    }

    pub(crate) fn level(self) -> Option<tracing::Level> {
        match self {
            Self::Off => None,
            Self::Error => Some(tracing::Level::ERROR),
            Self::Warn => Some(tracing::Level::WARN),
            Self::Info => Some(tracing::Level::INFO),
            Self::Debug => Some(tracing::Level::DEBUG),
            Self::Trace => Some(tracing::Level::TRACE),
        }
    }
}

words!(ErrorMode: "http" => Http, "in-band" => InBand);
words!(SessionPolicy: "concurrent" => Concurrent, "reject" => Reject, "queue" => Queue);
words!(BusyWhile: "activity" => Activity, "tasks" => Tasks);
words!(StampWhileBusy: "freeze" => Freeze, "refresh" => Refresh);
words!(LogFormat: "json" => Json, "pretty" => Pretty);
words!(LogLevel: "off" => Off, "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace);
