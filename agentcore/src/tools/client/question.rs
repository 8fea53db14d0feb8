//! Questions and messages on their way from a function to the task that serves its call.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::util::sync::Mutex;

/// The questions that a client answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Can {
    pub(crate) elicit: bool,
    pub(crate) open: bool,
    pub(crate) sample: bool,
    pub(crate) list_roots: bool,
}

/// A kind of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuestionKind {
    Elicit,
    Open,
    Sample,
    ListRoots,
}

/// A message of a tool for its client.
pub(crate) enum ToClient {
    Question(Question),
    Log {
        level: LogLevel,
        message: String,
    },
    /// The rest of the function is to be a task. The answer says whether it is.
    BeginTask(oneshot::Sender<bool>),
}

/// The level of a message to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// A question on its way to the client.
pub(crate) struct Question {
    pub(crate) key: String,
    /// The request, as the protocol has it: `{"method": .., "params": ..}`.
    pub(crate) request: Value,
    /// Says why an answer is none to this question.
    pub(crate) check: fn(&Value) -> Result<(), String>,
    /// The answer, or why there is none.
    pub(crate) reply: oneshot::Sender<Result<Value, String>>,
}

/// The values of [`Client::once`](super::Client::once), by their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(pub(super) Arc<Mutex<BTreeMap<String, Value>>>);

impl Kept {
    pub(crate) fn new(values: BTreeMap<String, Value>) -> Self {
        Self(Arc::new(Mutex::new(values)))
    }

    pub(crate) fn take(&self) -> BTreeMap<String, Value> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Can {
    pub(super) fn has(self, kind: QuestionKind) -> bool {
        match kind {
            QuestionKind::Elicit => self.elicit,
            QuestionKind::Open => self.open,
            QuestionKind::Sample => self.sample,
            QuestionKind::ListRoots => self.list_roots,
        }
    }
}

impl QuestionKind {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Elicit | Self::Open => "elicitation/create",
            Self::Sample => "sampling/createMessage",
            Self::ListRoots => "roots/list",
        }
    }
}
