//! The settings: the only list of them.
//!
//! `--help`, `--check`, the page `docs/settings.md` (which is also the table of [`Config`](crate::Config)) and the messages about
//! wrong values are all made from it.

use std::net::IpAddr;
use std::time::Duration;

use super::choices::{BusyWhile, ErrorMode, LogFormat, LogLevel, SessionPolicy, StampWhileBusy};
use super::environment::as_text;
use super::filter::Filter;
#[cfg(feature = "durable")]
use super::job_store::{Store, Work};
#[cfg(feature = "ws")]
use super::origins::Origins;
use super::paths::UrlPath;
use super::state_key::StateKey;
use super::value::Value;

/// One setting, of type `T`. Its default is a value, or [`Computed`].
pub(crate) struct Setting<T, D = T> {
    /// The name of its method of [`Config`](crate::Config).
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    /// The allowed values, as the words after "it takes".
    pub(crate) takes: &'static str,
    /// Whether a value that parses is also within bounds.
    pub(crate) allowed: fn(&T) -> bool,
    pub(crate) default: D,
    /// What it does, in half a line.
    pub(crate) meaning: &'static str,
}

/// Describes a default that depends on the process, or that is no value.
pub(crate) struct Computed(&'static str);

/// Shows a default to people.
trait DefaultText {
    fn text(&self) -> String;
}

impl<T: Value> DefaultText for T {
    fn text(&self) -> String {
        format!("`{}`", as_text(&self.show()))
    }
}

impl DefaultText for Computed {
    fn text(&self) -> String {
        self.0.to_owned()
    }
}

/// A setting of any type.
pub(crate) trait Entry: Sync {
    fn name(&self) -> &'static str;
    fn variable(&self) -> &'static str;
    fn takes(&self) -> &'static str;
    fn meaning(&self) -> &'static str;
    /// The default, with values in backticks.
    fn default(&self) -> String;
}

impl<T: Sync, D: DefaultText + Sync> Entry for Setting<T, D> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn variable(&self) -> &'static str {
        self.variable
    }

    fn takes(&self) -> &'static str {
        self.takes
    }

    fn meaning(&self) -> &'static str {
        self.meaning
    }

    fn default(&self) -> String {
        self.default.text()
    }
}

fn any<T>(_: &T) -> bool {
    true
}

fn at_least_one(number: &usize) -> bool {
    *number >= 1
}

/// Whether a client can send something within `time` over a network. A shorter limit would cut off every client, pings too.
fn time_to_send(time: &Duration) -> bool {
    *time >= Duration::from_millis(10)
}

fn more_than_nothing(time: &Duration) -> bool {
    !time.is_zero()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const BYTES: &str = "a number of bytes from 1 up";
const FROM_ONE: &str = "a number from 1 up";
const PORT_NUMBER: &str = "a port number from 0 to 65535";
const TIME: &str = "a duration with its unit, such as 500ms, 10s or 2h, up to a year";
const TIME_TO_SEND: &str = "a duration with its unit, such as 500ms or 10s, from 10ms up to a year";
const TRUTH: &str = "true or false, 1 or 0, yes or no, on or off";

/// All settings, in the order in which they are read and shown.
pub(crate) static ALL: &[&dyn Entry] = &[
    &HOST,
    &PORT,
    &INVOCATIONS_PATH,
    &WARMUP_PATH,
    &WARMUP_TIMEOUT,
    &ADMIN_PORT,
    &PROBES,
    &WORKER_THREADS,
    &MAX_BODY_BYTES,
    &MAX_JSON_NODES,
    &MAX_HEADER_BYTES,
    &HEADER_TIMEOUT,
    &BODY_TIMEOUT,
    &WRITE_TIMEOUT,
    &SHUTDOWN_GRACE,
    &MAX_CONNECTIONS,
    &MAX_INVOCATIONS,
    &SESSION_POLICY,
    &TASK_MAX_AGE,
    #[cfg(feature = "durable")]
    &DURABLE,
    #[cfg(feature = "durable")]
    &DURABLE_WORK,
    #[cfg(feature = "durable")]
    &DURABLE_LEASE,
    #[cfg(feature = "durable")]
    &DURABLE_CONCURRENCY,
    &DEBUG,
    &DEV,
    &ERRORS,
    &BUSY_WHILE,
    &STAMP_WHILE_BUSY,
    &METRICS,
    &OPENAPI,
    &MCP_PORT,
    &MCP_PATH,
    &MCP_STATE_KEY,
    #[cfg(feature = "ws")]
    &WS_PING_INTERVAL,
    #[cfg(feature = "ws")]
    &WS_MAX_MESSAGE_BYTES,
    #[cfg(feature = "ws")]
    &WS_READ_AHEAD_BYTES,
    #[cfg(feature = "ws")]
    &WS_READ_AHEAD_TOTAL_BYTES,
    #[cfg(feature = "ws")]
    &WS_FRAME_BYTES,
    #[cfg(feature = "ws")]
    &WS_FRAMES_PER_SECOND,
    #[cfg(feature = "ws")]
    &WS_ORIGINS,
    &LOG_INVOCATIONS,
    &LOG_TASKS,
    &LOG,
    &LOG_FORMAT,
];

pub(super) static HOST: Setting<IpAddr, Computed> = Setting {
    name: "host",
    variable: "AGENTCORE_HOST",
    takes: "an IP address, such as 0.0.0.0, or localhost",
    allowed: any,
    default: Computed(
        "`0.0.0.0` in a container or as PID 1, unless the dev page is on; else `127.0.0.1`",
    ),
    meaning: "the address to listen on",
};

pub(crate) static PORT: Setting<u16> = Setting {
    name: "port",
    variable: "AGENTCORE_PORT",
    takes: PORT_NUMBER,
    allowed: any,
    default: 8080,
    meaning: "the port to listen on; 0 takes a free one, which the start line names; AgentCore Runtime reaches 8000 to 12000 except 8443",
};

pub(crate) static INVOCATIONS_PATH: Setting<UrlPath> = Setting {
    name: "invocations_path",
    variable: "AGENTCORE_INVOCATIONS_PATH",
    takes: "a path of up to 2048 characters: / and then letters, digits and -._~/%",
    allowed: UrlPath::is_for_invocations,
    default: UrlPath::of("/invocations"),
    meaning: "the path of invocations",
};

pub(crate) static WARMUP_PATH: Setting<UrlPath> = Setting {
    name: "warmup_path",
    variable: "AGENTCORE_WARMUP_PATH",
    takes: "a path of up to 32 characters: / and then letters, digits and -._~/",
    allowed: UrlPath::is_for_warmup,
    default: UrlPath::of("/warmup"),
    meaning: "the path of the platform's warm-up request, which runs the warm-up hooks",
};

pub(crate) static WARMUP_TIMEOUT: Setting<Duration> = Setting {
    name: "warmup_timeout",
    variable: "AGENTCORE_WARMUP_TIMEOUT",
    takes: TIME,
    allowed: more_than_nothing,
    default: seconds(110),
    meaning: "how long a warm-up request may take, with the start hooks that it waits for, before it is answered 504; the \
              platform gives up after 120 s",
};

pub(crate) static ADMIN_PORT: Setting<u16, Computed> = Setting {
    name: "admin_port",
    variable: "AGENTCORE_ADMIN_PORT",
    takes: PORT_NUMBER,
    allowed: any,
    default: Computed("none"),
    meaning: "a second port, on the same host, for private requests; the probes are then served only there",
};

pub(super) static PROBES: Setting<bool, Computed> = Setting {
    name: "probes",
    variable: "AGENTCORE_PROBES",
    takes: TRUTH,
    allowed: any,
    default: Computed("`true` with an admin port, else `false`"),
    meaning: "whether `/livez` and `/readyz` are served",
};

pub(super) static WORKER_THREADS: Setting<usize, Computed> = Setting {
    name: "worker_threads",
    variable: "AGENTCORE_WORKER_THREADS",
    takes: "a number from 1 to 1024",
    // More threads only make the process slower, if it starts at all.
    allowed: |threads| (1..=1024).contains(threads),
    default: Computed("one per CPU"),
    meaning: "threads that run handlers",
};

pub(super) static MAX_BODY_BYTES: Setting<usize> = Setting {
    name: "max_body_bytes",
    variable: "AGENTCORE_MAX_BODY_BYTES",
    takes: BYTES,
    allowed: at_least_one,
    default: 100_000_000,
    meaning: "the largest request body, by default the platform's limit; a larger one is answered 413; as JSON values it may take 94 times its size",
};

pub(super) static MAX_JSON_NODES: Setting<usize> = Setting {
    name: "max_json_nodes",
    variable: "AGENTCORE_MAX_JSON_NODES",
    takes: FROM_ONE,
    allowed: at_least_one,
    // 100 MB of JSON with ten bytes for each.
    default: 10_000_000,
    meaning: "the most JSON values and keys that a payload is decoded to, at up to 350 bytes each; one with more is answered 413",
};

pub(super) static MAX_HEADER_BYTES: Setting<usize> = Setting {
    name: "max_header_bytes",
    variable: "AGENTCORE_MAX_HEADER_BYTES",
    takes: "a number of bytes from 1024 to 65536",
    // A head has to fit into one read buffer, with room to spare.
    allowed: |bytes| (1024..=65536).contains(bytes),
    default: 65536,
    meaning: "the largest head of a request; a larger one is answered 431",
};

pub(super) static HEADER_TIMEOUT: Setting<Duration> = Setting {
    name: "header_timeout",
    variable: "AGENTCORE_HEADER_TIMEOUT",
    takes: TIME_TO_SEND,
    allowed: time_to_send,
    default: seconds(10),
    meaning: "how long a request's head may take to arrive, and how long a connection may be idle",
};

pub(super) static BODY_TIMEOUT: Setting<Duration> = Setting {
    name: "body_timeout",
    variable: "AGENTCORE_BODY_TIMEOUT",
    takes: TIME_TO_SEND,
    allowed: time_to_send,
    default: seconds(30),
    meaning: "how long a body may pause while it is sent; on average it must also arrive at 1 KiB a second",
};

pub(super) static WRITE_TIMEOUT: Setting<Duration> = Setting {
    name: "write_timeout",
    variable: "AGENTCORE_WRITE_TIMEOUT",
    takes: TIME,
    allowed: more_than_nothing,
    default: seconds(60),
    meaning: "how long a client may read nothing of its reply before the connection is closed (Linux only)",
};

pub(super) static SHUTDOWN_GRACE: Setting<Duration> = Setting {
    name: "shutdown_grace",
    variable: "AGENTCORE_SHUTDOWN_GRACE",
    takes: TIME,
    allowed: any,
    default: seconds(10),
    meaning: "how long work in progress may take to finish after SIGTERM or SIGINT",
};

pub(super) static MAX_CONNECTIONS: Setting<usize> = Setting {
    name: "max_connections",
    variable: "AGENTCORE_MAX_CONNECTIONS",
    takes: FROM_ONE,
    allowed: at_least_one,
    // Ten thousand invocations in flight, and room for pings and probes.
    default: 10_240,
    meaning: "connections open at once (fewer if the limit of open files is lower); a further one can call only /ping, and gets 503 for anything else",
};

pub(super) static MAX_INVOCATIONS: Setting<usize, Computed> = Setting {
    name: "max_invocations",
    variable: "AGENTCORE_MAX_INVOCATIONS",
    takes: FROM_ONE,
    allowed: at_least_one,
    default: Computed("no limit"),
    meaning: "invocations in flight at once; one more gets 503",
};

pub(super) static SESSION_POLICY: Setting<SessionPolicy> = Setting {
    name: "session_policy",
    variable: "AGENTCORE_SESSION_POLICY",
    takes: "concurrent, reject or queue",
    allowed: any,
    default: SessionPolicy::Concurrent,
    meaning: "what happens to an invocation while another one of its session runs: it runs too, gets 409, or waits",
};

pub(super) static TASK_MAX_AGE: Setting<Duration, Computed> = Setting {
    name: "task_max_age",
    variable: "AGENTCORE_TASK_MAX_AGE",
    takes: TIME,
    allowed: more_than_nothing,
    default: Computed("none"),
    meaning: "a task that is older is cancelled, and reported",
};

#[cfg(feature = "durable")]
pub(crate) static DURABLE: Setting<Store, Computed> = Setting {
    name: "durable",
    variable: "AGENTCORE_DURABLE",
    takes: "sqlite:PATH or sqlite:PATH?locks=none, or postgres://USER:PASSWORD@HOST/DATABASE with the feature durable-postgres",
    allowed: any,
    default: Computed("`sqlite:agentcore-jobs.db`"),
    meaning: "with the feature durable: where jobs are stored: a file for one host, or a PostgreSQL database with Absurd for any number of hosts",
};

#[cfg(feature = "durable")]
pub(crate) static DURABLE_WORK: Setting<Work> = Setting {
    name: "durable_work",
    variable: "AGENTCORE_DURABLE_WORK",
    takes: "all, none, or names of durable tasks with commas between them",
    allowed: any,
    default: Work::All,
    meaning: "with the feature durable: which durable tasks this process runs; any process submits",
};

#[cfg(feature = "durable")]
pub(super) static DURABLE_LEASE: Setting<Duration> = Setting {
    name: "durable_lease",
    variable: "AGENTCORE_DURABLE_LEASE",
    takes: "a duration with its unit, such as 10s or 1m, from 1s up to an hour",
    allowed: |lease| (seconds(1)..=seconds(3600)).contains(lease),
    default: seconds(30),
    meaning: "with the feature durable: how long a process that has died keeps a job",
};

#[cfg(feature = "durable")]
pub(super) static DURABLE_CONCURRENCY: Setting<usize, Computed> = Setting {
    name: "durable_concurrency",
    variable: "AGENTCORE_DURABLE_CONCURRENCY",
    takes: "a number from 1 to 10000",
    allowed: |jobs| (1..=10_000).contains(jobs),
    default: Computed("two per CPU"),
    meaning: "with the feature durable: jobs that one process runs at once",
};

pub(super) static DEBUG: Setting<bool> = Setting {
    name: "debug",
    variable: "AGENTCORE_DEBUG",
    takes: TRUTH,
    allowed: any,
    default: false,
    meaning: "answer debug actions, as Python's SDK does with `debug=True`",
};

pub(crate) static DEV: Setting<bool> = Setting {
    name: "dev",
    variable: "AGENTCORE_DEV",
    takes: TRUTH,
    allowed: any,
    default: false,
    meaning: "whether `/` is a page that shows the agent and talks to it; on loopback only",
};

pub(super) static ERRORS: Setting<ErrorMode> = Setting {
    name: "errors",
    variable: "AGENTCORE_ERRORS",
    takes: "http or in-band",
    allowed: any,
    default: ErrorMode::Http,
    meaning: "an error's own status, or 200 with the status in the body",
};

pub(super) static BUSY_WHILE: Setting<BusyWhile> = Setting {
    name: "busy_while",
    variable: "AGENTCORE_BUSY_WHILE",
    takes: "activity or tasks",
    allowed: any,
    default: BusyWhile::Activity,
    meaning: "what counts as busy: tasks, invocations and sockets, or tasks alone",
};

pub(super) static STAMP_WHILE_BUSY: Setting<StampWhileBusy> = Setting {
    name: "stamp_while_busy",
    variable: "AGENTCORE_STAMP_WHILE_BUSY",
    takes: "freeze or refresh",
    allowed: any,
    default: StampWhileBusy::Freeze,
    meaning: "`time_of_last_update` while busy: the time when the agent became busy, or the time of the ping",
};

pub(super) static METRICS: Setting<bool> = Setting {
    name: "metrics",
    variable: "AGENTCORE_METRICS",
    takes: TRUTH,
    allowed: any,
    default: false,
    meaning: "answer `GET /metrics` with Prometheus' text",
};

pub(crate) static MCP_PORT: Setting<u16> = Setting {
    name: "mcp_port",
    variable: "AGENTCORE_MCP_PORT",
    takes: PORT_NUMBER,
    allowed: any,
    default: 8000,
    meaning: "with the feature mcp: the port of the Model Context Protocol, where the agent has tools; 0 takes a free one, which the \
              start line names",
};

pub(super) static MCP_PATH: Setting<UrlPath> = Setting {
    name: "mcp_path",
    variable: "AGENTCORE_MCP_PATH",
    takes: "a path of up to 2048 characters: / and then letters, digits and -._~/%, without / at the end",
    allowed: UrlPath::is_for_mcp,
    default: UrlPath::of("/mcp"),
    meaning: "with the feature mcp: the path on that port; it is answered with a slash at its end, too",
};

pub(super) static MCP_STATE_KEY: Setting<StateKey, Computed> = Setting {
    name: "mcp_state_key",
    variable: "AGENTCORE_MCP_STATE_KEY",
    takes: "a secret of 32 bytes or more",
    allowed: StateKey::is_long_enough,
    default: Computed("a random one for each process"),
    meaning: "with the feature mcp: the key that seals calls which ask their client; one for all replicas",
};

pub(super) static OPENAPI: Setting<bool> = Setting {
    name: "openapi",
    variable: "AGENTCORE_OPENAPI",
    takes: "true, which needs the feature schema, or false",
    allowed: |wanted| !wanted || cfg!(feature = "schema"),
    default: false,
    meaning: "answer `GET /openapi.json` with the OpenAPI document of the agent",
};

#[cfg(feature = "ws")]
pub(super) static WS_PING_INTERVAL: Setting<Duration> = Setting {
    name: "ws_ping_interval",
    variable: "AGENTCORE_WS_PING_INTERVAL",
    takes: TIME,
    allowed: more_than_nothing,
    default: seconds(25),
    meaning: "time between pings to a socket; it is closed after two without an answer",
};

#[cfg(feature = "ws")]
pub(super) static WS_MAX_MESSAGE_BYTES: Setting<usize> = Setting {
    name: "ws_max_message_bytes",
    variable: "AGENTCORE_WS_MAX_MESSAGE_BYTES",
    takes: BYTES,
    allowed: at_least_one,
    default: 16 << 20,
    meaning: "the largest message that a socket receives; a larger one closes it with 1009",
};

#[cfg(feature = "ws")]
pub(super) static WS_READ_AHEAD_BYTES: Setting<usize> = Setting {
    name: "ws_read_ahead_bytes",
    variable: "AGENTCORE_WS_READ_AHEAD_BYTES",
    takes: BYTES,
    allowed: at_least_one,
    default: 64 << 10,
    meaning: "bytes of one socket that are read before its handler asks for them; a larger message is read when the handler asks",
};

#[cfg(feature = "ws")]
pub(super) static WS_READ_AHEAD_TOTAL_BYTES: Setting<usize> = Setting {
    name: "ws_read_ahead_total_bytes",
    variable: "AGENTCORE_WS_READ_AHEAD_TOTAL_BYTES",
    takes: BYTES,
    allowed: at_least_one,
    default: 64 << 20,
    meaning: "bytes of all sockets together that are read before their handlers ask for them",
};

#[cfg(feature = "ws")]
pub(super) static WS_FRAME_BYTES: Setting<usize> = Setting {
    name: "ws_frame_bytes",
    variable: "AGENTCORE_WS_FRAME_BYTES",
    takes: "a number of bytes from 128 up",
    // A header, and enough payload to be worth one.
    allowed: |bytes| *bytes >= 128,
    default: 32 << 10,
    meaning: "the largest frame that is sent, by default the lower of the platform's two documented limits; larger messages are split",
};

#[cfg(feature = "ws")]
pub(super) static WS_FRAMES_PER_SECOND: Setting<u32> = Setting {
    name: "ws_frames_per_second",
    variable: "AGENTCORE_WS_FRAMES_PER_SECOND",
    takes: "a number from 4 up",
    // A quarter of it goes at once, and that has to be at least one frame.
    allowed: |frames| *frames >= 4,
    default: 240,
    meaning: "the most frames a second that are sent on one socket; a quarter may go at once; the platform's limit is 250",
};

#[cfg(feature = "ws")]
pub(super) static WS_ORIGINS: Setting<Origins> = Setting {
    name: "ws_origins",
    variable: "AGENTCORE_WS_ORIGINS",
    takes: "* or origins with commas between them, such as https://app.example.com,http://localhost:3000",
    allowed: any,
    default: Origins::Any,
    meaning: "the web pages that may open sockets",
};

const LEVEL: &str = "off, error, warn, info, debug or trace";

pub(super) static LOG_INVOCATIONS: Setting<LogLevel> = Setting {
    name: "log_invocations",
    variable: "AGENTCORE_LOG_INVOCATIONS",
    takes: LEVEL,
    allowed: any,
    default: LogLevel::Info,
    meaning: "the level of the line that each invocation and each socket ends with; failures are logged in any case",
};

pub(super) static LOG_TASKS: Setting<LogLevel> = Setting {
    name: "log_tasks",
    variable: "AGENTCORE_LOG_TASKS",
    takes: LEVEL,
    allowed: any,
    default: LogLevel::Info,
    meaning: "the level of the line that each task ends with; failures are logged in any case",
};

/// What is logged. It is the only setting with a second variable: `RUST_LOG`, which is read if this one is not set.
pub(crate) static LOG: Setting<Filter, Computed> = Setting {
    name: "log",
    variable: "AGENTCORE_LOG",
    takes: "a level (error, warn, info, debug, trace, off) or a list such as info,my_agent=debug",
    allowed: any,
    default: Computed("`RUST_LOG`, else `info`"),
    meaning: "what is logged; rmcp, the SDK of MCP, logs errors alone unless the list names it",
};

pub(crate) static LOG_FORMAT: Setting<LogFormat, Computed> = Setting {
    name: "log_format",
    variable: "AGENTCORE_LOG_FORMAT",
    takes: "json or pretty",
    allowed: any,
    default: Computed("`pretty` on a terminal, else `json`"),
    meaning: "the form of log lines on stderr",
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as a page. The links lead to the methods where the page is part of `Config`'s documentation.
    #[cfg(feature = "ws")]
    fn page() -> String {
        use std::fmt::Write as _;
        let mut page =
            "| method | variable | it takes | default | |\n| --- | --- | --- | --- | --- |\n"
                .to_owned();
        for setting in ALL {
            let name = setting.name();
            let _ = writeln!(
                page,
                "| [`{name}`](#method.{name}) | `{}` | {} | {} | {} |",
                setting.variable(),
                marked(setting.takes()),
                setting.default(),
                setting.meaning(),
            );
        }
        page
    }

    /// Puts addresses into backticks. On the page they would be links that lead nowhere.
    #[cfg(feature = "ws")]
    fn marked(text: &str) -> String {
        let mark = |word: &str| {
            if word.contains("://") {
                format!("`{word}`")
            } else {
                word.to_owned()
            }
        };
        text.split(' ').map(mark).collect::<Vec<_>>().join(" ")
    }

    #[cfg(all(feature = "ws", feature = "durable"))]
    #[test]
    fn the_page_is_the_table() {
        expect_test::expect_file!["../../docs/settings.md"].assert_eq(&page());
    }

    /// The page is written with the feature `durable`, and has its settings.
    #[cfg(all(feature = "ws", not(feature = "durable")))]
    #[test]
    fn the_page_is_the_table() {
        let page_of_all = include_str!("../../docs/settings.md").lines();
        let without = page_of_all.filter(|line| !line.contains("`AGENTCORE_DURABLE"));
        let without: String = without.map(|line| format!("{line}\n")).collect();
        assert_eq!(page(), without);
    }

    #[test]
    fn a_variable_is_named_after_its_method() {
        for setting in ALL {
            let name = setting.name().to_ascii_uppercase();
            assert_eq!(setting.variable(), format!("AGENTCORE_{name}"));
        }
    }

    /// Readers would look in vain for a variable that a page makes up or that is gone.
    #[test]
    fn the_pages_name_no_other_variables() {
        let pages = [
            include_str!("../../../README.md"),
            include_str!("../../docs/guide/configuration.md"),
            include_str!("../../docs/guide/errors.md"),
            include_str!("../../docs/guide/faq.md"),
            include_str!("../../docs/guide/from_python.md"),
            include_str!("../../docs/guide/logging.md"),
        ];
        let mut named = 0;
        for page in pages {
            let mut rest = page;
            while let Some(at) = rest.find("AGENTCORE_") {
                rest = &rest[at..];
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_uppercase());
                let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
                rest = behind;
                // A page shows how the first, a typo, is found. The second is the prefix of every variable.
                if name == "AGENTCORE_PROT" || name == "AGENTCORE_" {
                    continue;
                }
                named += 1;
                let known = ALL.iter().any(|setting| setting.variable() == name);
                let is_complete = cfg!(feature = "ws");
                assert!(known || !is_complete, "{name} is not a setting");
            }
        }
        assert!(named > 20, "this test no longer finds them");
    }

    /// Every word of a choice parses, and so does every default.
    #[test]
    fn what_is_promised_is_taken() {
        fn words<T: Value, D>(setting: &Setting<T, D>) {
            for word in setting.takes.replace(" or ", ", ").split(", ") {
                let value = T::parse(word).expect(word);
                assert_eq!(value.show(), word);
            }
        }
        words(&ERRORS);
        words(&BUSY_WHILE);
        words(&STAMP_WHILE_BUSY);
        words(&SESSION_POLICY);
        words(&LOG_FORMAT);

        fn within_bounds<T: Value>(setting: &Setting<T>) {
            let shown = as_text(&setting.default.show());
            let read = T::parse(&shown)
                .filter(setting.allowed)
                .expect(setting.name);
            assert_eq!(read.show(), setting.default.show());
        }
        within_bounds(&PORT);
        within_bounds(&INVOCATIONS_PATH);
        within_bounds(&WARMUP_PATH);
        within_bounds(&WARMUP_TIMEOUT);
        within_bounds(&MAX_BODY_BYTES);
        within_bounds(&MAX_JSON_NODES);
        within_bounds(&MAX_HEADER_BYTES);
        within_bounds(&HEADER_TIMEOUT);
        within_bounds(&BODY_TIMEOUT);
        within_bounds(&WRITE_TIMEOUT);
        within_bounds(&SHUTDOWN_GRACE);
        within_bounds(&MAX_CONNECTIONS);
        within_bounds(&DEBUG);
        within_bounds(&DEV);
        #[cfg(feature = "ws")]
        {
            within_bounds(&WS_PING_INTERVAL);
            within_bounds(&WS_MAX_MESSAGE_BYTES);
            within_bounds(&WS_READ_AHEAD_BYTES);
            within_bounds(&WS_READ_AHEAD_TOTAL_BYTES);
            within_bounds(&WS_FRAME_BYTES);
            within_bounds(&WS_FRAMES_PER_SECOND);
            within_bounds(&WS_ORIGINS);
        }
    }
}
