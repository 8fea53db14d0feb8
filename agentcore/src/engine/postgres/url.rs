//! The URL of a database: how to connect, and what may be shown of it.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Rustls;
use crate::engine::address::has_stray_at;
use crate::util::tls;

/// The server's limit of the time that a statement takes. Nothing waits for an answer any more when the limit of a call is over.
/// A statement that went on after that could take jobs that no process runs.
const LIMIT: Duration = Duration::from_secs(4);
const STATEMENT_TIMEOUT: &str = "statement_timeout";

/// Where the database is. `Debug` and `Display` leave the password out.
#[derive(Clone)]
pub(super) struct Url {
    pub(super) config: Config,
    /// As `config`, without the time limit of statements. A pooler such as PgBouncer refuses such a parameter.
    pub(super) without_limit: Config,
    pub(super) tls: Tls,
    shown: String,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    Off,
    /// The server's certificate is verified, and its name. The file has other roots than the system's.
    Verified {
        roots: Option<String>,
    },
}

impl Tls {
    /// What makes handshakes; `None` where there are none.
    pub(super) fn connector(&self) -> Result<Option<Rustls>, String> {
        match self {
            Self::Off => Ok(None),
            Self::Verified { roots } => match tls::connector(roots.as_deref()) {
                Ok(connector) => Ok(Some(Rustls(connector))),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl Url {
    /// # Errors
    ///
    /// A text without a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (url, query) = text.split_once('?').unwrap_or((text, ""));
        if has_stray_at(text) {
            return Err(
                "the URL of the database has an `@` that does not stand before the host".to_owned(),
            );
        }
        let mut mode = None;
        let mut roots = None;
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            match name {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => roots = Some(value.into_owned()),
                _ => others.push(pair),
            }
        }
        let mut config: Config = format!("{url}?{}", others.join("&"))
            .parse()
            .map_err(|error| format!("the URL of the database: {}", reason(&error)))?;
        let is_local = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_loopback(name),
            #[allow(
                unreachable_patterns,
                reason = "it is absent where there are no such sockets"
            )]
            _ => true,
        });
        let tls = match mode.as_deref() {
            None if is_local => Tls::Off,
            Some("disable") => Tls::Off,
            None | Some("verify-full" | "verify-ca" | "require") => Tls::Verified { roots },
            Some(other) => {
                return Err(format!(
                    "the URL of the database has sslmode={other}; `verify-full` and `disable` are possible"
                ));
            }
        };
        config.ssl_mode(match tls {
            Tls::Off => SslMode::Disable,
            Tls::Verified { .. } => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("agentcore");
        }
        config.keepalives_idle(Duration::from_secs(30));
        // A standby takes no jobs. With several hosts in the URL, it is the primary that is connected to.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let without_limit = config.clone();
        let options = config.get_options().unwrap_or_default();
        if !options.contains(STATEMENT_TIMEOUT) {
            let limit = LIMIT.as_millis();
            let options = format!("{options} -c {STATEMENT_TIMEOUT}={limit}");
            config.options(options.trim_start());
        }
        let shown = shown(&config);
        Ok(Self {
            config,
            without_limit,
            tls,
            shown,
        })
    }
}

fn is_loopback(name: &str) -> bool {
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn reason(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// The user, the hosts and the database.
fn shown(config: &Config) -> String {
    let mut text = "postgres://".to_owned();
    if let Some(user) = config.get_user() {
        text += user;
        text.push('@');
    }
    for (index, host) in config.get_hosts().iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match host {
            Host::Tcp(name) => text += name,
            #[allow(
                unreachable_patterns,
                reason = "it is absent where there are no such sockets"
            )]
            other => text += &format!("{other:?}"),
        }
        let ports = config.get_ports();
        if let Some(port) = ports.get(index).or(ports.first()) {
            text += &format!(":{port}");
        }
    }
    text.push('/');
    text += config.get_dbname().unwrap_or_default();
    text
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_has_the_password() {
        let url =
            Url::parse("postgres://me:hunter2@db.example:6432/jobs?connect_timeout=3").unwrap();
        assert_eq!(url.to_string(), "postgres://me@db.example:6432/jobs");
        assert!(!format!("{url:?} {:?}", url.config).contains("hunter2"));
        for wrong in [
            "postgres://me:hunter2@db.example:port/jobs",
            "postgres://me:hunter2@db.example/jobs?no_such_option=hunter2",
            "postgres://me:hunter2@db.example/jobs?sslmode=prefer",
            "postgres://me:a@hunter2@db.example/jobs",
            "postgres://me:a@/hunter2#b@db.example/jobs",
            "postgres://me:a?hunter2@db.example/jobs",
        ] {
            let error = Url::parse(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn statements_have_a_time_limit_beside_the_options_of_the_url() {
        let url = |text: &str| Url::parse(text).unwrap();
        let options = |text: &str| url(text).config.get_options().unwrap().to_owned();
        let of_url = "postgres://localhost/jobs?options=-c%20work_mem%3D1MB";
        assert_eq!(
            options("postgres://localhost/jobs"),
            "-c statement_timeout=4000"
        );
        assert_eq!(options(of_url), "-c work_mem=1MB -c statement_timeout=4000");
        let other = "postgres://localhost/jobs?options=-c%20statement_timeout%3D9";
        assert_eq!(options(other), "-c statement_timeout=9");
        let without = url(of_url).without_limit;
        assert_eq!(without.get_options(), Some("-c work_mem=1MB"));
    }

    #[test]
    fn certificates_are_verified_unless_the_database_is_here_or_it_is_said() {
        let tls = |text: &str| Url::parse(text).unwrap().tls;
        let verified = |roots: Option<&str>| Tls::Verified {
            roots: roots.map(str::to_owned),
        };
        assert_eq!(tls("postgres://db.example/jobs"), verified(None));
        assert_eq!(
            tls("postgres://db.example/jobs?sslmode=require"),
            verified(None)
        );
        assert_eq!(
            tls("postgres://db.example/jobs?sslrootcert=%2Fca.pem&application_name=a"),
            verified(Some("/ca.pem"))
        );
        assert_eq!(tls("postgres://db.example/jobs?sslmode=disable"), Tls::Off);
        assert_eq!(tls("postgres://localhost/jobs"), Tls::Off);
        assert_eq!(tls("postgres://127.0.0.2/jobs"), Tls::Off);
        assert_eq!(tls("postgres://[::1]/jobs"), Tls::Off);
        assert_eq!(tls("postgres://localhost,db.example/jobs"), verified(None));
        assert_eq!(
            tls("postgres://localhost/jobs?sslmode=verify-full"),
            verified(None)
        );
    }
}
