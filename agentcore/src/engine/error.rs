//! Why a call of an engine fails.

use std::fmt;

use super::id::JobId;

/// The error of a call. No text of it has a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineError {
    /// The store does not answer, or the file cannot be opened. A later call may succeed.
    Unreachable(String),
    /// There is a job of this key with another input.
    KeyConflict { key: String, earlier: JobId },
    /// A value is larger than a store takes.
    TooLarge {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// A value that no store takes, and why.
    NotStorable { what: &'static str, why: String },
    /// The store is of another version, or lacks something. The text says what to do.
    Schema(String),
    /// The store refuses the call. It is a fault of this library or of the store's set-up.
    Refused(String),
}

impl EngineError {
    /// Whether a later call may succeed without a change of anything.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the store of durable jobs is out of reach: {why}"),
            Self::KeyConflict { key, earlier } => write!(
                f,
                "job {earlier} has the key {key:?} and other arguments; a key stands for one set of arguments, for as long as the \
                 record of its job is kept"
            ),
            Self::TooLarge { what, bytes, limit } => write!(
                f,
                "{what} has {bytes} bytes, and a durable job stores at most {limit}; store the data elsewhere, and its address here"
            ),
            Self::NotStorable { what, why } => write!(f, "{what} cannot be stored: {why}"),
            Self::Schema(text) | Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EngineError {}
