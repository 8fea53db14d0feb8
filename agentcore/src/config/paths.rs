//! [`UrlPath`]: a path that the agent serves, and the check that no two of its paths are equal.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::Value;

/// The most characters of the path of invocations, by the platform's own model.
const LONGEST_INVOCATIONS: usize = 2048;

/// The most characters of the warm-up path, by the platform's own model.
const LONGEST_WARMUP: usize = 32;

/// The path of a URL, as it stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlPath(Cow<'static, str>);

impl UrlPath {
    pub(super) const fn of(path: &'static str) -> Self {
        Self(Cow::Borrowed(path))
    }

    /// Whether the platform can be told to send invocations to this path.
    pub(super) fn is_for_invocations(&self) -> bool {
        let allowed = |letter: u8| is_plain(letter) || letter == b'%';
        self.consists_of(LONGEST_INVOCATIONS, allowed)
    }

    /// Whether the platform can be told to send its warm-up to this path.
    pub(super) fn is_for_warmup(&self) -> bool {
        self.consists_of(LONGEST_WARMUP, is_plain)
    }

    /// Whether the platform can be told to send messages of the Model Context Protocol to this path. It sends some of them to the
    /// path with a slash at its end.
    pub(super) fn is_for_mcp(&self) -> bool {
        self.is_for_invocations() && !self.ends_with('/')
    }

    fn consists_of(&self, longest: usize, allowed: impl Fn(u8) -> bool) -> bool {
        self.0.starts_with('/') && self.0.len() <= longest && self.0.bytes().all(allowed)
    }
}

fn is_plain(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || b"-._~/".contains(&letter)
}

impl Default for UrlPath {
    /// The path of invocations, unless another is set.
    fn default() -> Self {
        Self::of("/invocations")
    }
}

impl From<&str> for UrlPath {
    fn from(path: &str) -> Self {
        Self(Cow::Owned(path.to_owned()))
    }
}

impl Value for UrlPath {
    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn show(&self) -> Json {
        (**self).into()
    }
}

impl std::ops::Deref for UrlPath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_letters_and_the_length_of_the_platforms_model() {
        let longest = format!("/{}", "a".repeat(LONGEST_INVOCATIONS - 1));
        for good in ["/", "/chat", "/v1/a-b._~/%20", &longest] {
            assert!(UrlPath::from(good).is_for_invocations(), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in [
            "", "chat", "/a b", "/a?b", "/a#b", "/\u{e9}", "/a\n", "*", &too_long,
        ] {
            assert!(!UrlPath::from(bad).is_for_invocations(), "{bad}");
        }
        let longest = format!("/{}", "a".repeat(LONGEST_WARMUP - 1));
        for good in ["/warmup", "/a-b._~/", &longest] {
            assert!(UrlPath::from(good).is_for_warmup(), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in ["", "warmup", "/%20", &too_long] {
            assert!(!UrlPath::from(bad).is_for_warmup(), "{bad}");
        }
    }
}
