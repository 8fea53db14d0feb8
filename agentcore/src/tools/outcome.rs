//! The end of a call of a tool: a result, a stream of steps, or a failure that the model can read.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

#[cfg(feature = "mcp")]
use super::client::{ClientError, QuestionKind};
use super::content::Content;
use crate::error::{BoxError, with_causes};

/// The outcome of a call, as the adapter of a tool makes it.
pub type ToolOutcome = Result<Reply, ToolFailure>;

/// The value that a function has returned.
pub enum Reply {
    Done(Content),
    /// The last item is the result; those before it are progress.
    Steps(Steps),
}

/// The items of a tool's stream.
pub(crate) type Steps = Pin<Box<dyn Stream<Item = Result<Content, ToolFailure>> + Send>>;

/// The reason why a call has no result.
#[derive(Clone, Debug)]
pub struct ToolFailure {
    pub(crate) kind: ToolFailureKind,
    /// For the model.
    pub(crate) text: String,
    /// The text for the log, if it says more.
    pub(crate) causes: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolFailureKind {
    /// The arguments do not fit.
    Arguments,
    /// The function has returned an error.
    Failed,
    TimedOut,
    Panicked,
    /// The function has asked its client what that does not answer, and has returned the error of it.
    #[cfg(feature = "mcp")]
    Unsupported(QuestionKind),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(content) => f.debug_tuple("Done").field(content).finish(),
            Self::Steps(_) => f.write_str("Steps"),
        }
    }
}

impl ToolFailure {
    pub(crate) fn new(kind: ToolFailureKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            causes: None,
        }
    }

    pub(crate) fn of_error(error: &BoxError) -> Self {
        #[cfg(feature = "mcp")]
        let kind = error
            .downcast_ref()
            .and_then(ClientError::lacking)
            .map_or(ToolFailureKind::Failed, ToolFailureKind::Unsupported);
        #[cfg(not(feature = "mcp"))]
        let kind = ToolFailureKind::Failed;
        Self {
            causes: Some(with_causes(error.as_ref())),
            ..Self::new(kind, error.to_string())
        }
    }

    /// A result that cannot be sent; `why` is for the log.
    pub(crate) fn not_json(why: &str) -> Self {
        let text = "the result cannot be serialised to JSON";
        Self {
            causes: Some(format!("{text}: {why}")),
            ..Self::new(ToolFailureKind::Failed, text)
        }
    }

    /// The text for the log.
    pub(crate) fn for_log(&self) -> &str {
        self.causes.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Display for ToolFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pin_project! {
    /// A stream that converts each item.
    pub(crate) struct Mapped<S, F> {
        #[pin]
        stream: S,
        turn: F,
    }
}

/// `stream`, with each item turned into another by `turn`.
pub(crate) fn mapped<S: Stream, T, F: FnMut(S::Item) -> T>(stream: S, turn: F) -> Mapped<S, F> {
    Mapped { stream, turn }
}

impl<S: Stream, T, F: FnMut(S::Item) -> T> Stream for Mapped<S, F> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.project();
        this.stream.poll_next(cx).map(|item| item.map(this.turn))
    }
}
