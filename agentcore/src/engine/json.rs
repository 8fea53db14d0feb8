//! JSON text that every store can keep, and the limits on it.

use std::fmt;

use serde_core::de::DeserializeOwned;
use serde_core::ser::Serialize;

use super::error::EngineError;
use super::{Failure, Headers};

/// The most bytes of an input, a result or a step's value.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;
/// The most bytes of a job's headers, and of the text of a failure.
pub(crate) const MOST_TEXT_BYTES: usize = 16 * 1024;
/// The most bytes of a key and of a step's name.
pub(crate) const MOST_NAME_BYTES: usize = 512;

/// A JSON text. `Debug` shows how long it is, because what users store may be secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Json(Box<str>);

impl Json {
    /// The text of `value`. `what` is how an error names it.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotStorable`] if `value` has no JSON, such as a map whose keys are not text.
    pub(crate) fn of(
        value: &(impl Serialize + ?Sized),
        what: &'static str,
    ) -> Result<Self, EngineError> {
        match serde_json::to_string(value) {
            Ok(text) => Ok(Self(text.into_boxed_str())),
            Err(error) => Err(EngineError::NotStorable {
                what,
                why: error.to_string(),
            }),
        }
    }

    /// A text that a store gave back.
    pub(super) fn stored(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// The value that this is the text of.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether both are one value: spaces and the order of keys do not count.
    pub(super) fn is_the_value_of(&self, other: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        *self.0 == *other || value(&self.0) == value(other)
    }

    /// Whether every store takes it.
    pub(super) fn check(&self, what: &'static str) -> Result<(), EngineError> {
        check_text(&self.0, what, MOST_BYTES)?;
        // Within a string of JSON, NUL is written so. An escaped backslash before `u0000` is text like any other.
        let mut rest = &*self.0;
        while let Some(at) = rest.find("\\u0000") {
            let backslashes = rest[..at].bytes().rev().take_while(|&b| b == b'\\').count();
            if backslashes % 2 == 0 {
                return Err(contains_nul(what));
            }
            rest = &rest[at + 1..];
        }
        Ok(())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

/// Whether every store takes a text, which is not JSON.
pub(super) fn check_text(text: &str, what: &'static str, limit: usize) -> Result<(), EngineError> {
    if text.len() > limit {
        return Err(EngineError::TooLarge {
            what,
            bytes: text.len(),
            limit,
        });
    }
    if text.contains('\0') {
        return Err(contains_nul(what));
    }
    Ok(())
}

/// Whether every store takes these headers.
pub(super) fn check_headers(headers: &Headers) -> Result<(), EngineError> {
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.len() + value.len();
        if name.contains('\0') || value.contains('\0') {
            return Err(contains_nul("a header of a job"));
        }
    }
    if bytes > MOST_TEXT_BYTES {
        return Err(EngineError::TooLarge {
            what: "the headers of a job",
            bytes,
            limit: MOST_TEXT_BYTES,
        });
    }
    Ok(())
}

/// PostgreSQL's text cannot have the character.
fn contains_nul(what: &'static str) -> EngineError {
    EngineError::NotStorable {
        what,
        why: "it contains the character U+0000".to_owned(),
    }
}

impl Failure {
    /// This failure as every store takes it: cut to its limit, and without U+0000.
    pub(super) fn storable(mut self) -> Self {
        for text in [&mut self.name, &mut self.message] {
            if text.len() > MOST_TEXT_BYTES {
                let mut end = MOST_TEXT_BYTES;
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
            if text.contains('\0') {
                *text = text.replace('\0', "\u{FFFD}");
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_and_its_look_alike_is_not() {
        let check = |text: &str| Json::of(text, "it").unwrap().check("it");
        assert!(check("a\0b").is_err());
        assert!(check("\\\0").is_err(), "after a backslash");
        assert!(check("\\u0000").is_ok(), "six characters");
        assert!(check("\\\\u0000 \\u0001").is_ok());
        assert!(check("\\u0000\0").is_err());
    }

    #[test]
    fn a_value_of_more_than_a_mebibyte_is_refused() {
        let of = |bytes: usize| Json::of(&"x".repeat(bytes - 2), "it").unwrap().check("it");
        assert!(of(MOST_BYTES).is_ok());
        assert_eq!(
            of(MOST_BYTES + 1),
            Err(EngineError::TooLarge {
                what: "it",
                bytes: MOST_BYTES + 1,
                limit: MOST_BYTES
            })
        );
    }

    #[test]
    fn debug_does_not_show_what_is_stored() {
        assert_eq!(
            format!("{:?}", Json::of("secret", "it").unwrap()),
            "Json(8 bytes)"
        );
    }

    #[test]
    fn a_failure_is_cut_between_characters() {
        let failure = Failure {
            name: "error\0".to_owned(),
            message: "é".repeat(MOST_TEXT_BYTES) + "x",
        };
        let failure = failure.storable();
        assert_eq!(failure.name, "error\u{FFFD}");
        assert_eq!(failure.message, "é".repeat(MOST_TEXT_BYTES / 2));
    }
}
