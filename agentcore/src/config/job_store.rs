//! The values of durable settings: the address of the store, and the tasks that a process runs.

use std::fmt;
use std::path::Path;

use serde_json::Value as Json;

use super::Value;
use crate::engine::check_task_name;

/// The address of the store of jobs, which may have a password in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Store(String);

impl Store {
    /// In the process alone: for tests.
    pub(crate) fn memory() -> Self {
        Self("memory:".to_owned())
    }

    /// In a file.
    pub(crate) fn file(path: &str) -> Self {
        Self(format!("{SQLITE}{path}"))
    }

    pub(crate) fn address(&self) -> &str {
        &self.0
    }

    /// Whether its jobs end with the process.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.0 == "memory:"
    }

    /// Whether it is on the storage of one session, which has no locks.
    pub(crate) fn is_of_a_session(&self) -> bool {
        self.0.starts_with(SQLITE) && self.0.ends_with("?locks=none")
    }

    /// The path of its file; `None` for other stores.
    pub(crate) fn path(&self) -> Option<&Path> {
        let file = self.0.strip_prefix(SQLITE)?;
        let path = file.split_once('?').map_or(file, |(path, _)| path);
        Some(Path::new(path))
    }
}

const SQLITE: &str = "sqlite:";

impl Value for Store {
    fn parse(text: &str) -> Option<Self> {
        let store = Self(text.to_owned());
        let is_file = match store.path().map(Path::as_os_str) {
            Some(path) => !path.is_empty() && path != ":memory:",
            None => false,
        };
        let has_options = |text: &str| {
            !matches!(
                text.split_once('?'),
                None | Some((_, "locks=none" | "locks=file"))
            )
        };
        let is_database = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let is_known =
            is_file && !has_options(text) || is_database && cfg!(feature = "durable-postgres");
        is_known.then_some(store)
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }

    fn censored(text: &str) -> String {
        without_credentials(text)
    }
}

impl fmt::Display for Store {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.0))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({self})")
    }
}

/// An address without what stands between its scheme and its host, and without parameters, where a password may stand too. Of a text
/// that is no such address, only what cannot be a password is shown.
fn without_credentials(text: &str) -> String {
    let is_file = text.starts_with(SQLITE) && !(text.contains("://") && text.contains('@'));
    if is_file || matches!(text, "memory:" | "sqlite" | "postgres" | "postgresql") {
        return text.to_owned();
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return "..".to_owned();
    };
    let is_scheme = |letter: u8| letter.is_ascii_lowercase() || matches!(letter, b'+' | b'-');
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return "..".to_owned();
    }
    let Some(rest) = rest.strip_prefix("//") else {
        return format!("{scheme}:..");
    };
    let shown = without_credentials_of_url(rest);
    format!("{scheme}://{}", shown.as_deref().unwrap_or(".."))
}

/// `None` for what is not cleanly written.
fn without_credentials_of_url(rest: &str) -> Option<String> {
    let (rest, parameters) = match rest.split_once('?') {
        // The ? may stand in a password, or the @ in a parameter.
        Some((_, behind)) if behind.contains('@') => return None,
        Some((rest, _)) => (rest, "?.."),
        None => (rest, ""),
    };
    // A password may have an @ or a / in it that is not encoded. The host begins behind the last @.
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("..@", rest),
        None => ("", rest),
    };
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |text: &str, more: &[u8]| {
        let is_of_it = |letter: u8| {
            letter.is_ascii_alphanumeric() || b"-_.%".contains(&letter) || more.contains(&letter)
        };
        text.bytes().all(is_of_it)
    };
    // Without an @, the name of a user and a password look like a host and a port.
    let is_host = |host: &str| {
        let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((name, port)) => (name, port.strip_prefix(':').unwrap_or(port)),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        let more: &[u8] = if host.starts_with('[') { b":" } else { b"" };
        is_name(name, more) && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    let is_clean = hosts.split(',').all(is_host) && is_name(database, b"");
    is_clean.then(|| format!("{credentials}{rest}{parameters}"))
}

/// Which tasks a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// All that are registered.
    #[default]
    All,
    /// None: it submits, and asks for results.
    None,
    /// These.
    Tasks(Vec<String>),
}

impl Value for Work {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "none" => Some(Self::None),
            names => {
                let names = names.split(',').map(|name| name.trim().to_owned());
                let names: Vec<_> = names.collect();
                let are_names = names.iter().all(|name| check_task_name(name).is_ok());
                are_names.then_some(Self::Tasks(names))
            }
        }
    }

    fn show(&self) -> Json {
        match self {
            Self::All => "all".into(),
            Self::None => "none".into(),
            Self::Tasks(names) => names.join(",").into(),
        }
    }
}

impl Work {
    /// Whether this process runs the task.
    pub(crate) fn has(&self, task: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Tasks(names) => names.iter().any(|name| name == task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_file_or_a_database() {
        let shown = |text: &str| Store::parse(text).map(|store| store.to_string());
        assert_eq!(shown("sqlite:jobs.db").as_deref(), Some("sqlite:jobs.db"));
        for wrong in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?b",
            "jobs.db",
            "memory:",
            "mysql://host/db",
            "",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
        assert_eq!(
            shown("sqlite:a?locks=none").as_deref(),
            Some("sqlite:a?locks=none")
        );
        assert_eq!(Store::file("a/b?locks=none").path(), Some(Path::new("a/b")));
    }

    #[test]
    fn a_database_needs_its_feature_and_is_shown_without_a_password() {
        let store = Store::parse("postgres://me:secret@db:5432/jobs?password=secret");
        assert_eq!(store.is_some(), cfg!(feature = "durable-postgres"));
        if let Some(store) = store {
            assert_eq!(store.to_string(), "postgres://..@db:5432/jobs?..");
            assert_eq!(format!("{store:?}"), "Store(postgres://..@db:5432/jobs?..)");
            assert_eq!(store.path(), None);
        }
    }

    #[test]
    fn what_is_said_of_a_wrong_address_has_no_password() {
        for (text, said) in [
            ("postgre://me:secret@db/jobs", "postgre://..@db/jobs"),
            ("postgres://db/jobs", "postgres://db/jobs"),
            (
                "postgresql://me:pa@ss/word@db:5432/jobs?password=secret",
                "postgresql://..@db:5432/jobs?..",
            ),
            ("sqlite", "sqlite"),
            ("host=db user=me password=s3cret", ".."),
            ("s3cret", ".."),
            ("postgres:/me:s3cret@db/x", "postgres:.."),
            ("postgres://me:s3cret", "postgres://.."),
            ("postgres://me:s3cret/db", "postgres://.."),
            ("postgres://db/me:s3cret", "postgres://.."),
            ("postgres://me:pa?ss@db/jobs", "postgres://.."),
            ("postgres://me:secret@db/jobs?password=a@b", "postgres://.."),
            ("sqlite:///var/lib/jobs.db", "sqlite:///var/lib/jobs.db"),
            ("sqlite://me:s3cret@db/x", "sqlite://..@db/x"),
            ("me:s3cret@db", "me:.."),
            (
                "postgres://me:s3cret@db-1:5432,[::1]:5433/my_jobs",
                "postgres://..@db-1:5432,[::1]:5433/my_jobs",
            ),
            (
                "postgres://%2Frun%2Fpostgres/jobs",
                "postgres://%2Frun%2Fpostgres/jobs",
            ),
            ("postgres:///jobs?host=/run", "postgres:///jobs?.."),
        ] {
            assert_eq!(Store::censored(text), said);
        }
    }

    #[test]
    fn work_is_all_none_or_names() {
        assert_eq!(Work::parse("all"), Some(Work::All));
        assert_eq!(Work::parse("none"), Some(Work::None));
        let some = Work::parse("transcribe, index").unwrap();
        assert!(some.has("index") && some.has("transcribe") && !some.has("all"));
        assert_eq!(some.show(), "transcribe,index");
        assert_eq!(Work::parse("a,,b"), None);
        assert_eq!(Work::parse("a b"), None);
    }
}
