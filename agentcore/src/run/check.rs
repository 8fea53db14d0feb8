//! `--check`: whether the agent can start, its parts, and the origin of every setting.
//!
//! It does what a start does up to the port and the start hooks. It tries whether the ports are free that the agent opens beside
//! its own, and leaves them free. Of the environment it shows only settings, none of which is a secret.

#[cfg(feature = "durable")]
mod durable;

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use super::cli::{plain, print};
use crate::app::describe::Description;
use crate::app::listeners::Supplied;
use crate::app::package::{self, Package};
#[cfg(feature = "schema")]
use crate::app::parts::Agent;
use crate::app::{App, Prepared};
#[cfg(feature = "schema")]
use crate::config::Settings;
use crate::config::{Addresses, Environment, Found, Source, as_text, unknown};
use crate::error::Error;
use crate::log;
#[cfg(feature = "schema")]
use crate::report::panics;
use crate::server::listen::try_further_ports;
use crate::util::fields::fields;
use crate::{otel, request};

/// The steps that only a start can try.
const NOT_TRIED: &[&str] = &["port", "start_hooks"];

/// The steps that only a start can try, if it binds no port.
const NOT_TRIED_WITH_LISTENERS: &[&str] = &["start_hooks"];

/// Checks `app`, and prints the result on stdout, or its problems as a start would.
pub(crate) fn run(app: App, json: bool) -> ExitCode {
    let package = app.package_so_far();
    let environment = Environment::of_process();
    let (log, prepared) = app.prepare(&environment);
    let prepared = prepared.and_then(|prepared| {
        try_further_ports(&prepared.agent, &prepared.settings, &prepared.supplied)?;
        Ok(prepared)
    });
    otel::start(&environment, request::GAUGES);
    let report = Report::new(package, &prepared);
    if json {
        // The report consists of strings, numbers and lists, which always serialise.
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        print(&(text + "\n"));
    } else if report.ok {
        print(&report.to_string());
    }
    match prepared {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(&error, log.format);
            log::flush();
            ExitCode::FAILURE
        }
    }
}

/// Prints the document that `make` makes of the agent, as JSON. If the agent cannot start, prints what a start would print.
#[cfg(feature = "schema")]
pub(crate) fn print_document(app: App, make: impl FnOnce(&Agent, &Settings) -> Value) -> ExitCode {
    let (log, prepared) = app.prepare(&Environment::of_process());
    // User code makes the schemas, so it may panic.
    let made = prepared.map(|prepared| panics::guard(|| make(&prepared.agent, &prepared.settings)));
    match made {
        Ok(Ok(document)) => {
            print(&format!("{document:#}\n"));
            return ExitCode::SUCCESS;
        }
        Ok(Err(panic)) => panic.log("a schema"),
        Err(error) => super::say(&error, log.format),
    }
    log::flush();
    ExitCode::FAILURE
}

/// What `--check --json` prints. Fields are added, never renamed.
struct Report<'a> {
    ok: bool,
    name: Cow<'static, str>,
    version: Option<&'static str>,
    agentcore: &'static str,
    /// The lines that a start would print; empty when `ok`.
    problems: &'a [String],
    /// Only when `ok`.
    found: Option<Contents<'a>>,
    package: Package,
}

/// The durable tasks and their store, if there are any.
#[cfg(feature = "durable")]
use durable::Durable;
#[cfg(not(feature = "durable"))]
type Durable = ();

struct Contents<'a> {
    description: Description,
    durable: Option<Durable>,
    /// The listeners that the agent does not bind itself.
    listeners: Vec<Listener>,
    settings: Vec<Row<'a>>,
    /// Variables that look like settings and are not settings.
    unknown_variables: Vec<String>,
    /// What will not work, but does not prevent the start.
    warnings: Vec<String>,
    not_tried: &'static [&'static str],
}

/// A listener that is open before the start.
struct Listener {
    /// `agent` or `admin`.
    role: &'static str,
    address: String,
    /// `LISTEN_FDS` or `program`.
    source: &'static str,
}

struct Row<'a> {
    name: &'static str,
    /// The variable that was read, or else the one that could be set.
    variable: &'static str,
    value: Option<&'a Value>,
    source: &'static str,
    default: String,
}

fields! { Report<'a> { ok, name, version, agentcore, problems, ..found } }
fields! { Contents<'a> { ..description, durable?, listeners, settings, unknown_variables, warnings, not_tried } }
fields! { Listener { role, address, source } }
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

impl<'a> Contents<'a> {
    fn new(prepared: &'a Prepared) -> Self {
        let supplied = &prepared.supplied;
        let binds_admin = prepared.settings.admin_port.is_some() && supplied.admin.is_none();
        let binds = supplied.agent.is_none() || binds_admin;
        #[cfg_attr(
            not(feature = "durable"),
            expect(unused_mut, reason = "nothing adds warnings")
        )]
        let mut warnings = [&prepared.settings.warnings[..], &otel::problems()].concat();
        #[cfg(feature = "durable")]
        let durable = Durable::new(
            &prepared.agent.durable,
            &prepared.settings.durable,
            &mut warnings,
        );
        #[cfg(feature = "durable")]
        if durable.is_some() {
            let is_work = |found: &&Found| found.setting.name() == "durable_work";
            let work = prepared.found.iter().find(is_work);
            durable::warn_of_default_work(
                &prepared.settings.durable,
                work.is_some_and(|found| found.source == Source::Default),
                &mut warnings,
            );
        }
        #[cfg(not(feature = "durable"))]
        let durable = None;
        Self {
            description: Description::new(&prepared.agent),
            durable,
            listeners: Listener::all(supplied),
            settings: prepared.found.iter().map(Row::new).collect(),
            unknown_variables: unknown::unknown_variables(unknown::names_of_variables()),
            warnings,
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
        // A listener without an address has already failed the check.
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

/// The report as text, for people.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} can start", self.package)?;
        self.found.iter().try_for_each(|found| found.fmt(f))
    }
}

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registry = &self.description;
        let nothing: [String; 0] = [];
        writeln!(f)?;
        list(f, "entrypoint", &registry.entrypoint, "none")?;
        list(f, "websocket", &registry.websocket, "none")?;
        list(f, "ping", &registry.ping, "automatic")?;
        list(f, "tasks", &registry.tasks, "none")?;
        #[cfg(feature = "durable")]
        if let Some(durable) = &self.durable {
            list(f, "durable tasks", durable.lines(), "none")?;
        }
        #[cfg(feature = "schema")]
        list(f, "tools", &registry.tools, "none")?;
        #[cfg(feature = "mcp")]
        {
            list(f, "resources", &registry.resources, "none")?;
            list(f, "prompts", &registry.prompts, "none")?;
        }
        list(f, "start hooks", &registry.start_hooks, "none")?;
        list(f, "shutdown hooks", &registry.shutdown_hooks, "none")?;
        list(f, "warm-up hooks", &registry.warmup_hooks, "none")?;
        list(f, "restore hooks", &registry.restore_hooks, "none")?;
        if !registry.routes.is_empty() {
            list(f, "routes", &registry.routes, "none")?;
        }
        list(f, "layers", nothing, &registry.layers.to_string())?;
        if !self.listeners.is_empty() {
            list(f, "listeners", &self.listeners, "none")?;
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
        for name in &self.unknown_variables {
            let said = unknown::said_of_unknown(name);
            writeln!(f, "note: {said} is set, but is not a setting")?;
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

/// Writes a name, and its items on lines below it.
fn list(
    f: &mut fmt::Formatter<'_>,
    mut name: &str,
    items: impl IntoIterator<Item: fmt::Display>,
    nothing: &str,
) -> fmt::Result {
    let mut is_empty = true;
    for item in items {
        writeln!(f, "{name:14}  {item}")?;
        (name, is_empty) = ("", false);
    }
    if is_empty {
        writeln!(f, "{name:14}  {nothing}")?;
    }
    Ok(())
}

impl Row<'_> {
    fn text(&self) -> String {
        self.value.map_or_else(|| self.default.clone(), as_text)
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
