//! Reading the environment: what a variable may hold, and what is said when it does not.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

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

    /// The value behind one of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let allowed = match words.as_slice() {
            [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            words => words.concat(),
        };
        self.value(name, &allowed, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text)?;
            Some(chosen.1)
        })
    }
}

pub(super) const DURATION: &str =
    "a duration with its unit, such as 500ms, 10s or 2h, up to a year";

/// Beyond it clocks overflow, and nobody means it.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Beyond it the process only gets slower, if it starts at all.
pub(super) const MOST_THREADS: usize = 1024;

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

pub(super) fn at_least_one(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&number| number > 0)
}

pub(super) fn threads(text: &str) -> Option<usize> {
    at_least_one(text).filter(|&number| number <= MOST_THREADS)
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| *duration <= LONGEST)
}

/// For times in which something has to happen.
pub(super) fn more_than_nothing(text: &str) -> Option<Duration> {
    duration(text).filter(|duration| !duration.is_zero())
}

pub(super) fn host(text: &str) -> Option<IpAddr> {
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
