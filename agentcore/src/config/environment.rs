//! Reads the environment, and records where each value was found and what is wrong.

use super::table::{Computed, Entry, Setting};
use super::value::Value;
use crate::error::{Error, Kind};
use crate::platform;

/// The environment that a process was started in.
pub(crate) struct Environment<'a> {
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether only an address that is reachable from outside makes sense.
    pub(crate) in_container: bool,
}

impl Environment<'static> {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let exists = |path: &str| std::path::Path::new(path).exists();
        let is_set = |name: &str| std::env::var_os(name).is_some();
        Self {
            variable: &|name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            },
            // Each container engine leaves its own traces. PID 1 is in a container or a microVM in any case.
            in_container: platform::is_pid_1()
                || exists("/.dockerenv")
                || exists("/run/.containerenv")
                || is_set("DOCKER_CONTAINER")
                || is_set("KUBERNETES_SERVICE_HOST"),
        }
    }

    /// An environment without variables.
    pub(crate) fn empty() -> Self {
        Self {
            variable: &|_| None,
            in_container: false,
        }
    }
}

impl Environment<'_> {
    /// Whether it may be the microVM of a session: a container that is in no cluster. Such a platform ends the process within a few
    /// seconds after SIGTERM, whatever the shutdown grace is.
    #[cfg(feature = "durable")]
    pub(crate) fn may_be_of_a_session(&self) -> bool {
        let is_set = |name: &str| (self.variable)(name).is_some();
        self.in_container
            && !is_set("KUBERNETES_SERVICE_HOST")
            && !is_set("ECS_CONTAINER_METADATA_URI_V4")
    }
}

/// The source of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program's [`Config`](crate::Config).
    Builder,
    /// The environment variable of this name.
    Environment(&'static str),
    Default,
}

/// A setting with its value.
pub(crate) struct Found {
    pub(crate) setting: &'static dyn Entry,
    /// `None` where nothing is set and the default is not a value.
    pub(crate) value: Option<serde_json::Value>,
    pub(crate) source: Source,
}

/// Finds the values of settings. It records each value and each problem.
pub(crate) struct Reader<'a> {
    pub(crate) environment: &'a Environment<'a>,
    found: Vec<Found>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(environment: &'a Environment<'a>) -> Self {
        Self {
            environment,
            found: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The value of a setting that always has one.
    pub(super) fn value<T>(&mut self, setting: &'static Setting<T>, built: Option<T>) -> T
    where
        T: Value + Clone + Sync,
    {
        let (value, source) = self
            .find(setting, built)
            .unwrap_or_else(|| (setting.default.clone(), Source::Default));
        self.record(setting, Some(&value), source);
        value
    }

    /// The value of a setting whose default depends on the process.
    pub(crate) fn computed<T>(
        &mut self,
        setting: &'static Setting<T, Computed>,
        built: Option<T>,
        default: impl FnOnce() -> T,
    ) -> T
    where
        T: Value + Sync,
    {
        let (value, source) = self
            .find(setting, built)
            .unwrap_or_else(|| (default(), Source::Default));
        self.record(setting, Some(&value), source);
        value
    }

    /// The value of a setting that may have none.
    pub(super) fn optional<T>(
        &mut self,
        setting: &'static Setting<T, Computed>,
        built: Option<T>,
    ) -> Option<T>
    where
        T: Value + Sync,
    {
        let Some((value, source)) = self.find(setting, built) else {
            self.record(setting, None::<&T>, Source::Default);
            return None;
        };
        self.record(setting, Some(&value), source);
        Some(value)
    }

    /// The program's value, or else the environment's, for a default that depends on it. It records no problems.
    pub(super) fn peek<T: Value, D>(&self, setting: &Setting<T, D>, built: Option<T>) -> Option<T> {
        built.or_else(|| {
            let text = (self.environment.variable)(setting.variable)?;
            T::parse(text.trim()).filter(setting.allowed)
        })
    }

    /// The source of a setting's value, if the setting has been read.
    pub(super) fn source(&self, setting: &dyn Entry) -> Option<Source> {
        let mut found = self.found.iter();
        let found = found.find(|found| found.setting.name() == setting.name())?;
        Some(found.source)
    }

    /// The name of a setting in messages: the program's where the program has set it, or else that of the variable.
    pub(crate) fn called(&self, setting: &dyn Entry) -> &'static str {
        match self.source(setting) {
            Some(Source::Builder) => setting.name(),
            _ => setting.variable(),
        }
    }

    /// The program's value, or else the environment's.
    pub(crate) fn find<T: Value, D>(
        &mut self,
        setting: &Setting<T, D>,
        built: Option<T>,
    ) -> Option<(T, Source)> {
        // The variable is read in any case, so that its problems are reported even where the program decides.
        let said = self.said(setting);
        let Some(value) = built.map(Value::tamed) else {
            return said.map(|value| (value, Source::Environment(setting.variable)));
        };
        if !(setting.allowed)(&value) {
            self.refuse(setting.name, &as_text(&value.show()), setting.takes);
        }
        Some((value, Source::Builder))
    }

    /// The variable's value; `None` if it is unset or empty, or if it is wrong, which is a problem.
    fn said<T: Value, D>(&mut self, setting: &Setting<T, D>) -> Option<T> {
        let text = (self.environment.variable)(setting.variable)?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        let value = T::parse(trimmed).filter(setting.allowed);
        if value.is_none() {
            self.refuse(setting.variable, &T::censored(&text), setting.takes);
        }
        value
    }

    /// Refuses an empty variable, which could mean "none" while the default is "all".
    #[cfg(feature = "ws")]
    pub(super) fn refuse_empty<T, D>(&mut self, setting: &Setting<T, D>) {
        let text = (self.environment.variable)(setting.variable);
        if text.is_some_and(|text| text.trim().is_empty()) {
            self.refuse(setting.variable, "", setting.takes);
        }
    }

    /// Parses a value that the program sets as text.
    pub(crate) fn written<T: Value, D>(
        &mut self,
        setting: &Setting<T, D>,
        text: Option<&str>,
    ) -> Option<T> {
        let text = text?;
        let value = T::parse(text);
        if value.is_none() {
            self.refuse(setting.name, &T::censored(text), setting.takes);
        }
        value
    }

    pub(crate) fn record<T: Value>(
        &mut self,
        setting: &'static dyn Entry,
        value: Option<&T>,
        source: Source,
    ) {
        self.found.push(Found {
            setting,
            value: value.map(Value::show),
            source,
        });
    }

    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    fn refuse(&mut self, name: &str, value: &str, takes: &str) {
        self.problem(format!("{name} is `{value}`; it takes {takes}"));
    }

    /// All values that were found, or all problems.
    pub(crate) fn finish(self) -> Result<Vec<Found>, Error> {
        if self.problems.is_empty() {
            Ok(self.found)
        } else {
            Err(Error::several(Kind::Config, self.problems))
        }
    }
}

/// A value as plain text.
pub(crate) fn as_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(all(test, feature = "durable"))]
mod tests {
    use super::*;

    #[test]
    fn a_container_outside_of_clusters_may_be_of_a_session() {
        for (in_container, set, is_one) in [
            (true, "HOME", true),
            (false, "HOME", false),
            (true, "KUBERNETES_SERVICE_HOST", false),
            (true, "ECS_CONTAINER_METADATA_URI_V4", false),
        ] {
            let environment = Environment {
                variable: &|name: &str| (name == set).then(|| "set".to_owned()),
                in_container,
            };
            assert_eq!(environment.may_be_of_a_session(), is_one, "{set}");
        }
    }
}
