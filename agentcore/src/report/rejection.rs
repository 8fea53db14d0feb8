//! [`Rejection`]: why a request was rejected before its handler ran, for its log line.

use std::borrow::Cow;

use crate::util::text::cut;

/// The bytes that a line may have of the path, or of a list of paths.
const LONGEST_PATH: usize = 256;

/// What is wrong with a request. It contains no value of the request, because a value may be a secret and the line goes to the
/// log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(super) reason: Cow<'static, str>,
    /// The JSON path of the mistake. Its keys are the client's.
    pub(super) path: Option<String>,
}

impl Rejection {
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            path: None,
        }
    }

    /// Adds the JSON path of the mistake.
    pub(crate) fn at(mut self, path: String) -> Self {
        self.path = Some(cut(path, LONGEST_PATH));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut() {
        let rejection = Rejection::new("missing field").at("k".repeat(1 << 20));
        let path = rejection.path.expect("a path");
        assert_eq!(path.len(), LONGEST_PATH);
        assert!(path.ends_with('…'));
    }
}
