//! [`Package`]: the name and the version of the agent's crate.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The version of this library.
pub(crate) const AGENTCORE: &str = env!("CARGO_PKG_VERSION");

/// A crate, as Cargo knows it. Name and version may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Package {
    name: Option<&'static str>,
    version: Option<&'static str>,
}

impl Package {
    /// Expansions read both when the user's crate is compiled. They are missing if another tool than Cargo compiles it.
    #[must_use]
    pub const fn new(name: Option<&'static str>, version: Option<&'static str>) -> Self {
        Self { name, version }
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.name.is_some()
    }

    /// The crate's name, or else the program's.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        self.name.map_or_else(
            || program().map_or("agent".into(), Cow::Owned),
            Cow::Borrowed,
        )
    }

    pub(crate) const fn version(&self) -> Option<&'static str> {
        self.version
    }
}

/// For example `my-agent 0.3.0 (agentcore 0.1.0)`.
impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(version) = self.version {
            write!(f, " {version}")?;
        }
        write!(f, " (agentcore {AGENTCORE})")
    }
}

/// The name by which the program was called.
pub(crate) fn program() -> Option<String> {
    let path = std::env::args_os().next()?;
    let name = Path::new(&path).file_stem()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let known = Package::new(Some("my-agent"), Some("0.3.0"));
        assert_eq!(
            known.to_string(),
            format!("my-agent 0.3.0 (agentcore {AGENTCORE})")
        );
        let text = Package::default().to_string();
        assert!(text.starts_with("agentcore-"), "the test program: {text}");
        assert!(
            text.ends_with(&format!(" (agentcore {AGENTCORE})")),
            "{text}"
        );
    }
}
