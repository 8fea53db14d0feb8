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

/// An address without what stands between its scheme and its host, and without parameters, where a password may stand too.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, parameters) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?.."),
        None => (rest, ""),
    };
    // A password may have an @ or a / in it that is not encoded. The host begins behind the last one.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://..@{host}{parameters}"),
        None => format!("{scheme}://{rest}{parameters}"),
    }
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
