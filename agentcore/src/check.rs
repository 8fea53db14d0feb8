//! `--check`: whether the agent can start, what it consists of, and where every setting comes from.
//!
//! It is what a start does up to the port and the start hooks, and no more. Of the environment, only settings are shown,
//! of which none is a secret.

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use crate::agent::{Agent, StartHook};
use crate::app::{App, Prepared};
use crate::cli::{plain, print};
use crate::config::{Environment, Found, Source, as_text, table};
use crate::error::Error;
use crate::fields::fields;
use crate::listeners::{Addresses, Supplied};
use crate::log;
use crate::package::{self, Package};
use crate::registry::Meta;
use crate::rt;
use crate::telemetry;

/// What only a start can find out.
const NOT_TRIED: &[&str] = &["port", "start_hooks"];

/// The same where no port is left to be bound.
const NOT_TRIED_WITH_LISTENERS: &[&str] = &["start_hooks"];

/// Set by the platform for agents that speak A2A.
const OF_THE_PLATFORM: &str = "AGENTCORE_RUNTIME_URL";

/// Checks `app`, and says what was found: on stdout, or what is wrong as a start would.
pub(crate) fn run(app: App, json: bool) -> ExitCode {
    let package = app.package_so_far();
    let environment = Environment::of_process();
    let (log, prepared) = app.prepare(&environment);
    telemetry::start(&environment);
    let report = Report::new(package, &prepared);
    if json {
        // Strings, numbers and lists of them: nothing that could fail.
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        print(&(text + "\n"));
    } else if report.ok {
        print(&report.to_string());
    }
    match prepared {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            rt::say(&error, log.format);
            log::flush();
            ExitCode::FAILURE
        }
    }
}

/// What `--check --json` prints. Fields are added, never renamed.
struct Report<'a> {
    ok: bool,
    name: Cow<'static, str>,
    version: Option<&'static str>,
    agentcore: &'static str,
    /// What a start would say; empty when `ok`.
    problems: &'a [String],
    /// Only when `ok`.
    found: Option<Contents<'a>>,
    package: Package,
}

/// What an agent consists of.
pub(crate) struct Registry {
    entrypoint: Option<Handler>,
    websocket: Option<Function>,
    ping: Option<Function>,
    tasks: Vec<Function>,
    start_hooks: Vec<Hook>,
    shutdown_hooks: Vec<Function>,
    layers: usize,
}

struct Contents<'a> {
    registry: Registry,
    /// Where it listens without binding a port itself.
    listeners: Vec<Listener>,
    settings: Vec<Row<'a>>,
    /// Variables that look like settings and are none.
    unknown_variables: Vec<String>,
    /// What does not keep it from starting, and will not work.
    warnings: Vec<String>,
    not_tried: &'static [&'static str],
}

/// Where a function stands.
struct Function {
    name: &'static str,
    file: &'static str,
    line: u32,
    meta: Meta,
}

/// A listener that is there before the start.
struct Listener {
    /// `agent` or `admin`.
    role: &'static str,
    address: String,
    /// `LISTEN_FDS` or `program`.
    source: &'static str,
}

struct Handler {
    function: Function,
    timeout: Option<String>,
    idle_timeout: Option<String>,
    on_disconnect: &'static str,
}

struct Hook {
    function: Function,
    timeout: Option<String>,
    /// The type that it makes.
    state: Option<&'static str>,
}

struct Row<'a> {
    name: &'static str,
    /// The one that was read; else the one that could be set.
    variable: &'static str,
    value: Option<&'a Value>,
    source: &'static str,
    default: String,
}

fields! { Report<'a> { ok, name, version, agentcore, problems, ..found } }
fields! { Registry { entrypoint, websocket, ping, tasks, start_hooks, shutdown_hooks, layers } }
fields! { Contents<'a> { ..registry, listeners, settings, unknown_variables, warnings, not_tried } }
fields! { Listener { role, address, source } }
fields! { Function { name, file, line } }
fields! { Handler { ..function, timeout, idle_timeout, on_disconnect } }
fields! { Hook { ..function, timeout, state } }
fields! { Row<'a> { name, variable, value, source, default } }

impl<'a> Report<'a> {
    fn new(package: Package, prepared: &'a Result<Prepared, Error>) -> Self {
        Self {
            ok: prepared.is_ok(),
            name: package.name(),
            version: package.version(),
            agentcore: package::AGENTCORE,
            problems: prepared.as_ref().err().map_or(&[], Error::problems),
            found: prepared.as_ref().ok().map(Contents::new),
            package,
        }
    }
}

impl Registry {
    pub(crate) fn new(agent: &Agent) -> Self {
        let Agent {
            entrypoint,
            ping,
            tasks,
            start_hooks,
            shutdown_hooks,
            layers,
            ..
        } = agent;
        let functions = |metas: &[Meta]| metas.iter().copied().map(Function::from).collect();
        Self {
            entrypoint: entrypoint.as_ref().map(|entrypoint| Handler {
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
            start_hooks: start_hooks.iter().map(Hook::new).collect(),
            shutdown_hooks: shutdown_hooks.iter().map(|hook| hook.meta.into()).collect(),
            layers: layers.len(),
        }
    }
}

impl<'a> Contents<'a> {
    fn new(prepared: &'a Prepared) -> Self {
        let supplied = &prepared.supplied;
        let binds_admin = prepared.settings.admin_port.is_some() && supplied.admin.is_none();
        let binds = supplied.agent.is_none() || binds_admin;
        Self {
            registry: Registry::new(&prepared.agent),
            listeners: Listener::all(supplied),
            settings: prepared.found.iter().map(Row::new).collect(),
            unknown_variables: unknown_variables(names_of_variables()),
            warnings: telemetry::problems(),
            not_tried: if binds {
                NOT_TRIED
            } else {
                NOT_TRIED_WITH_LISTENERS
            },
        }
    }
}

impl Listener {
    fn all(supplied: &Supplied) -> Vec<Self> {
        // One without an address has stopped the check.
        let Addresses {
            agent,
            admin,
            is_inherited,
        } = supplied.addresses().unwrap_or_default();
        let source = if is_inherited {
            "LISTEN_FDS"
        } else {
            "program"
        };
        [("agent", agent), ("admin", admin)]
            .into_iter()
            .filter_map(|(role, address)| {
                Some(Self {
                    role,
                    address: address?.to_string(),
                    source,
                })
            })
            .collect()
    }
}

impl From<Meta> for Function {
    fn from(meta: Meta) -> Self {
        Self {
            name: meta.name(),
            file: meta.file(),
            line: meta.line(),
            meta,
        }
    }
}

impl Hook {
    fn new(hook: &StartHook) -> Self {
        Self {
            function: hook.callback.meta.into(),
            timeout: hook.timeout.map(time),
            state: (hook.provides)().map(|(_, name)| name),
        }
    }
}

impl<'a> Row<'a> {
    fn new(found: &'a Found) -> Self {
        let (source, variable) = match found.source {
            Source::Builder => ("builder", None),
            Source::Environment(variable) => ("environment", Some(variable)),
            Source::Default => ("default", None),
        };
        Self {
            name: found.setting.name(),
            variable: variable.unwrap_or(found.setting.variable()),
            value: found.value.as_ref(),
            source,
            default: plain(&found.setting.default()),
        }
    }
}

fn time(time: std::time::Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// The names of the process's variables.
fn names_of_variables() -> impl Iterator<Item = String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())
}

/// Warns, in one line, of variables that begin as settings do and are none. For a start that has a log.
pub(crate) fn warn_of_unknown_variables() {
    if let Some(warning) = warning_of_unknown(&unknown_variables(names_of_variables())) {
        tracing::warn!("{warning}");
    }
}

fn warning_of_unknown(unknown: &[String]) -> Option<String> {
    let each: Vec<_> = unknown.iter().map(|name| said_of_unknown(name)).collect();
    let (verb, noun) = match each.len() {
        0 => return None,
        1 => ("is", "setting"),
        _ => ("are", "settings"),
    };
    let named = each.join(", ");
    Some(format!(
        "{named} {verb} set, and {verb} no {noun} of agentcore"
    ))
}

/// A variable's name, and what may have been meant.
fn said_of_unknown(name: &str) -> String {
    match nearest(name) {
        Some(meant) => format!("{name} (did you mean {meant}?)"),
        None => name.to_owned(),
    }
}

/// The setting's variable that a typing error may have been about.
fn nearest(typed: &str) -> Option<&'static str> {
    let variables = table::ALL.iter().map(|setting| setting.variable());
    let distances = variables.map(|variable| (distance(typed, variable), variable));
    let (distance, variable) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 3).then_some(variable)
}

/// How many letters have to be added, removed, replaced or swapped with the next to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Of the beginnings of both; the rows are those of `a`.
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A typo in a name is the one mistake in a setting that a start cannot see. Other programs may have variables of this
/// prefix too, so it does not stop one.
fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_known = |name: &str| {
        let mut settings = table::ALL.iter();
        name == OF_THE_PLATFORM || settings.any(|setting| setting.variable() == name)
    };
    let mut unknown: Vec<_> = names
        .filter(|name| name.starts_with("AGENTCORE_") && !is_known(name))
        .collect();
    unknown.sort_unstable();
    unknown
}

/// For people.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} can start", self.package)?;
        self.found.iter().try_for_each(|found| found.fmt(f))
    }
}

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |function: &Option<Function>| function.iter().map(ToString::to_string).collect();
        let many = |functions: &[Function]| functions.iter().map(ToString::to_string).collect();
        let registry = &self.registry;
        let entrypoint = registry
            .entrypoint
            .iter()
            .map(ToString::to_string)
            .collect();
        let hooks = registry
            .start_hooks
            .iter()
            .map(ToString::to_string)
            .collect();
        writeln!(f)?;
        list(f, "entrypoint", entrypoint, "none")?;
        list(f, "websocket", one(&registry.websocket), "none")?;
        list(f, "ping", one(&registry.ping), "automatic")?;
        list(f, "tasks", many(&registry.tasks), "none")?;
        list(f, "start hooks", hooks, "none")?;
        list(f, "shutdown hooks", many(&registry.shutdown_hooks), "none")?;
        list(f, "layers", Vec::new(), &registry.layers.to_string())?;
        if !self.listeners.is_empty() {
            let listeners = self.listeners.iter().map(ToString::to_string).collect();
            list(f, "listeners", listeners, "none")?;
        }
        writeln!(f)?;
        let values: Vec<_> = self.settings.iter().map(Row::text).collect();
        let name = self.settings.iter().map(|row| row.name.len()).max();
        let value = values.iter().map(String::len).max();
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        for (row, text) in self.settings.iter().zip(&values) {
            let from = if row.source == "environment" {
                row.variable
            } else {
                row.source
            };
            writeln!(f, "{:name$}  {text:value$}  {from}", row.name)?;
        }
        writeln!(f)?;
        for unknown in &self.unknown_variables {
            let unknown = said_of_unknown(unknown);
            writeln!(f, "note: {unknown} is set, and is no setting")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if self.not_tried == NOT_TRIED {
            writeln!(
                f,
                "not tried: whether the port is free, and the start hooks"
            )
        } else {
            writeln!(f, "not tried: the start hooks")
        }
    }
}

/// A name, and what belongs to it in lines below each other.
fn list(
    f: &mut fmt::Formatter<'_>,
    mut name: &str,
    mut lines: Vec<String>,
    nothing: &str,
) -> fmt::Result {
    if lines.is_empty() {
        lines.push(nothing.to_owned());
    }
    for line in lines {
        writeln!(f, "{name:14}  {line}")?;
        name = "";
    }
    Ok(())
}

impl Row<'_> {
    fn text(&self) -> String {
        self.value.map_or_else(|| self.default.clone(), as_text)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meta.fmt(f)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.source == "program" {
            "the program"
        } else {
            self.source
        };
        write!(f, "{} at {}, from {from}", self.role, self.address)
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", within {timeout}")?;
        }
        if let Some(timeout) = &self.idle_timeout {
            write!(f, ", the items of a stream within {timeout} of each other")?;
        }
        if self.on_disconnect == "cancel" {
            f.write_str(", dropped when its client leaves")?;
        }
        Ok(())
    }
}

impl fmt::Display for Hook {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_settings_are_noticed() {
        let names = [
            "AGENTCORE_PORT",
            "AGENTCORE_PROT",
            "PORT",
            "AGENTCORE_A",
            "AGENTCORE_RUNTIME_URL",
        ];
        assert_eq!(
            unknown_variables(names.into_iter().map(str::to_owned)),
            ["AGENTCORE_A", "AGENTCORE_PROT"]
        );
    }

    #[test]
    fn what_may_have_been_meant_is_named() {
        for (typed, meant) in [
            ("AGENTCORE_PROT", Some("AGENTCORE_PORT")),
            ("AGENTCORE_SHUTDOWN_GRASE", Some("AGENTCORE_SHUTDOWN_GRACE")),
            ("AGENTCORE_MAX_BODY_BYTE", Some("AGENTCORE_MAX_BODY_BYTES")),
            ("AGENTCORE_MEMORY_ID", None),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
    }

    #[test]
    fn unknown_variables_are_one_line() {
        assert_eq!(warning_of_unknown(&[]), None);
        let unknown = ["AGENTCORE_MEMORY_ID", "AGENTCORE_PROT"].map(str::to_owned);
        assert_eq!(
            warning_of_unknown(&unknown[1..]).as_deref(),
            Some(
                "AGENTCORE_PROT (did you mean AGENTCORE_PORT?) is set, and is no setting of agentcore"
            )
        );
        assert_eq!(
            warning_of_unknown(&unknown).as_deref(),
            Some(
                "AGENTCORE_MEMORY_ID, AGENTCORE_PROT (did you mean AGENTCORE_PORT?) are set, and are no settings of \
                 agentcore"
            )
        );
    }
}
