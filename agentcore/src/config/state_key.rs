//! [`StateKey`]: the value of a setting that is a secret.

use std::fmt;

use serde_json::Value as Json;

use super::Value;

/// The shortest key in bytes.
const SHORTEST: usize = 32;

/// The key that seals the state of calls. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StateKey(String);

impl StateKey {
    pub(super) fn is_long_enough(&self) -> bool {
        self.0.len() >= SHORTEST
    }

    #[cfg(feature = "mcp")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for StateKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl Value for StateKey {
    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn show(&self) -> Json {
        "..".into()
    }

    fn censored(_: &str) -> String {
        "..".to_owned()
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_key_is_long_and_never_shown() {
        let key = "a-secret-of-32-bytes-or-of-more!";
        let parsed = StateKey::parse(key).expect("a key");
        assert!(parsed.is_long_enough() && !StateKey::from("short".to_owned()).is_long_enough());
        let config = Config::new().mcp_state_key(key);
        let shown = [
            format!("{parsed:?}"),
            parsed.show().to_string(),
            StateKey::censored(key),
            format!("{config:?}"),
        ];
        assert!(
            shown.iter().all(|shown| !shown.contains("secret")),
            "{shown:?}"
        );
    }
}
