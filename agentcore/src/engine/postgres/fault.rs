//! Why a statement failed, and what that is for the engine.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::engine::error::EngineError;

/// The failure of a statement.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no queue of this task.
    NoQueue,
    /// The connection was lost, or the server is stopping. It is not known whether the statement was carried out.
    Lost(String),
    /// The server takes no writes, as a standby does. A new connection may reach another one.
    ReadOnly(String),
    Other(EngineError),
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Other(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = text(&error);
        let Some(state) = error.code() else {
            return Self::Lost(text);
        };
        let class = &state.code()[..2];
        let other = match *state {
            SqlState::UNDEFINED_TABLE => return Self::NoQueue,
            SqlState::INVALID_SCHEMA_NAME | SqlState::UNDEFINED_FUNCTION => {
                EngineError::Schema(format!("the database has no schema of Absurd ({text})"))
            }
            SqlState::INSUFFICIENT_PRIVILEGE => EngineError::Schema(format!(
                "the database does not let this user use the queues ({text}); it needs `usage` on the schema `absurd`, and the \
                 tables of the queues"
            )),
            SqlState::UNTRANSLATABLE_CHARACTER | SqlState::CHARACTER_NOT_IN_REPERTOIRE => {
                EngineError::NotStorable {
                    what: "a value of a job",
                    why: text,
                }
            }
            SqlState::READ_ONLY_SQL_TRANSACTION => return Self::ReadOnly(text),
            // Transactions that collided, and a time limit of the server's.
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::QUERY_CANCELED => EngineError::Unreachable(text),
            // A lock is taken, or an object is in use.
            _ if class == "55" => EngineError::Unreachable(text),
            // Numbers that `jsonb` does not hold, and values beyond its limits.
            _ if matches!(class, "22" | "54") => EngineError::NotStorable {
                what: "a value of a job",
                why: text,
            },
            // Resources are short, or the server stops or starts.
            _ if matches!(class, "08" | "53" | "57" | "58") => return Self::Lost(text),
            _ => EngineError::Refused(format!("the database refused a statement: {text}")),
        };
        Self::Other(other)
    }
}

/// The error with its reason, which is often in its source.
pub(super) fn text(error: &Error) -> String {
    use std::error::Error as _;
    if let Some(error) = error.as_db_error() {
        return format!("{}: {}", error.code().code(), error.message());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
