//! [`ClientError`]: why a question has no answer.

use std::fmt;

use super::QuestionKind;

/// Why a [`Client`](super::Client) has not answered a question.
///
/// A tool that returns it as its error says so to the model. If the client does not answer such questions at all, the call ends with
/// the protocol's error for that since revision 2026-07-28, so that the client knows what it lacks.
///
/// ```
/// use agentcore::tool::{Client, ClientError};
///
/// async fn places(client: &Client) -> Result<usize, ClientError> {
///     match client.roots("roots").await {
///         Ok(roots) => Ok(roots.len()),
///         Err(error) if error.is_unsupported() => Ok(0),
///         Err(error) => Err(error),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ClientError {
    why: Why,
}

#[derive(Clone, Debug)]
enum Why {
    Nobody,
    Lacks(QuestionKind),
    NoForm(String),
    Refused(String),
    Misfit(String),
    Over,
}

impl ClientError {
    pub(super) fn nobody() -> Self {
        Self { why: Why::Nobody }
    }

    pub(super) fn lacks(kind: QuestionKind) -> Self {
        Self {
            why: Why::Lacks(kind),
        }
    }

    pub(super) fn no_form(why: String) -> Self {
        Self {
            why: Why::NoForm(why),
        }
    }

    pub(super) fn refused(why: String) -> Self {
        Self {
            why: Why::Refused(why),
        }
    }

    pub(super) fn misfit(why: String) -> Self {
        Self {
            why: Why::Misfit(why),
        }
    }

    pub(super) fn over() -> Self {
        Self { why: Why::Over }
    }

    /// Whether there is no client, or it does not answer questions of this kind.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.why, Why::Nobody | Why::Lacks(_))
    }

    /// The questions that the client would have to answer.
    pub(crate) fn lacking(&self) -> Option<QuestionKind> {
        match self.why {
            Why::Lacks(kind) => Some(kind),
            _ => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Nobody => {
                f.write_str("no client can be asked: this is no call of the Model Context Protocol")
            }
            Why::Lacks(QuestionKind::Elicit) => {
                f.write_str("the client shows no forms to its user")
            }
            Why::Lacks(QuestionKind::Open) => {
                f.write_str("the client opens no web pages for its user")
            }
            Why::Lacks(QuestionKind::Sample) => {
                f.write_str("the client does not let servers ask its model")
            }
            Why::Lacks(QuestionKind::ListRoots) => {
                f.write_str("the client does not say where a server may work")
            }
            Why::NoForm(why) => write!(f, "the question is no form: {why}"),
            Why::Refused(why) => write!(f, "the client has not answered: {why}"),
            Why::Misfit(why) => write!(f, "the answer of the client does not fit: {why}"),
            Why::Over => f.write_str("the call is over, so nobody answers"),
        }
    }
}

impl std::error::Error for ClientError {}
