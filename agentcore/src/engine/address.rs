//! Makes the engine that an address names.

use std::sync::Arc;

use super::Engine;
use super::memory::Memory;
use super::sqlite::{Locks, Sqlite};

/// The engine of an address: `sqlite:PATH`, `sqlite:PATH?locks=none`, `postgres://..`, `postgresql://..` or `memory:`. It
/// opens and connects to nothing yet.
///
/// # Errors
///
/// A text that says what is wrong, without a password.
pub(crate) fn engine(address: &str) -> Result<Arc<dyn Engine>, String> {
    if address == "memory:" {
        return Ok(Arc::new(Memory::new()));
    }
    if let Some(file) = address.strip_prefix("sqlite:") {
        let (path, locks) = match file.split_once('?') {
            None => (file, Locks::File),
            Some((path, "locks=file")) => (path, Locks::File),
            Some((path, "locks=none")) => (path, Locks::None),
            Some((_, other)) => {
                return Err(format!(
                    "`?{other}` is no option of a file; `?locks=none` and `?locks=file` are"
                ));
            }
        };
        if path.is_empty() || path == ":memory:" {
            return Err("`sqlite:` needs the path of a file, such as `sqlite:jobs.db`".to_owned());
        }
        let engine = Sqlite::new(path.into(), locks);
        let engine = engine.map_err(|error| format!("the thread of {path}: {error}"))?;
        return Ok(Arc::new(engine));
    }
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        return postgres(address);
    }
    // It may be a URL with a password, of a kind that is misspelt.
    let (kind, _) = address.split_once(':').unwrap_or(("", address));
    Err(format!(
        "`{kind}:` is no kind of store; `sqlite:PATH` and `postgres://USER:PASSWORD@HOST/DATABASE` are"
    ))
}

/// Whether the URL of a database has an `@` that does not stand before the host. Drivers take what follows the first `@` for the host, and
/// messages name the host, which would be a part of the password.
pub(crate) fn has_stray_at(url: &str) -> bool {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    address.matches('@').count() > 1 || parameters.contains('@')
}

#[cfg(feature = "durable-postgres")]
fn postgres(url: &str) -> Result<Arc<dyn Engine>, String> {
    Ok(Arc::new(super::postgres::Postgres::new(url)?))
}

#[cfg(not(feature = "durable-postgres"))]
fn postgres(_: &str) -> Result<Arc<dyn Engine>, String> {
    Err("PostgreSQL needs the feature `durable-postgres` of agentcore".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_stands_before_the_host_alone() {
        for fits in [
            "postgres://db/jobs",
            "postgres://me:a%40b@db/jobs?sslmode=disable",
        ] {
            assert!(!has_stray_at(fits), "{fits}");
        }
        for wrong in ["postgres://me:a@b@db/jobs", "postgres://me:a?b@db/jobs"] {
            assert!(has_stray_at(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_address_names_an_engine() {
        let kind = |address: &str| engine(address).map(|engine| format!("{engine:?}"));
        assert!(kind("memory:").unwrap().starts_with("Memory"));
        assert!(kind("sqlite:jobs.db").unwrap().contains("\"jobs.db\""));
        assert!(kind("sqlite:/mnt/x/jobs.db?locks=none").is_ok());
        for (wrong, why) in [
            ("sqlite:", "needs the path"),
            ("sqlite::memory:", "needs the path"),
            ("sqlite:a?locks=some", "is no option"),
            ("mysql://me:secret@host/db", "`mysql:` is no kind"),
            ("jobs.db", "`:` is no kind"),
        ] {
            let error = kind(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
