//! [`Questions`] of a function, in the way of its call; what a client can be asked, and the requests that ask it.

use std::future::pending;

use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ElicitationCapability, InputRequest, RootsCapabilities, SamplingCapability,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;

use super::rounds::Rounds;
use super::session::InSession;
use crate::report::panics;
use crate::tools::{Can, Question, QuestionKind};

/// Takes questions, and knows how they are answered.
pub(super) enum Questions {
    Rounds(Rounds),
    Session(InSession),
    /// The client cannot be asked.
    None,
}

impl Questions {
    pub(super) fn take(&mut self, question: Question) -> Result<(), ErrorData> {
        match self {
            Self::Rounds(rounds) => rounds.take(question),
            Self::Session(session) => {
                session.take(question);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    /// Makes progress with the questions that have been taken. Cancel safe.
    pub(super) async fn turn(&mut self) {
        match self {
            Self::Rounds(_) | Self::None => pending().await,
            Self::Session(session) => session.turn().await,
        }
    }

    /// The questions without an answer.
    pub(super) fn unanswered(self) -> Vec<Question> {
        match self {
            Self::Rounds(rounds) => rounds.unanswered,
            Self::Session(_) | Self::None => Vec::new(),
        }
    }

    /// Whether a question waits for the next call.
    pub(super) fn waits(&mut self) -> bool {
        match self {
            Self::Rounds(rounds) => rounds.waits(),
            Self::Session(_) | Self::None => false,
        }
    }
}

/// What the client of a request can be asked.
pub(in crate::mcp) fn can_do(context: &RequestContext<RoleServer>) -> Can {
    let capabilities = context.client_capabilities().unwrap_or_default();
    let elicitation = capabilities.elicitation.as_ref();
    Can {
        // An empty object stands for forms.
        elicit: elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none()),
        open: elicitation.is_some_and(|modes| modes.url.is_some()),
        sample: capabilities.sampling.is_some(),
        list_roots: capabilities.roots.is_some(),
    }
}

/// The error for a client that does not answer questions of this kind.
pub(in crate::mcp) fn lacks(kind: QuestionKind) -> ErrorData {
    let mut needed = ClientCapabilities::default();
    match kind {
        QuestionKind::Elicit => {
            let modes = ElicitationCapability::new().with_form(Default::default());
            needed.elicitation = Some(modes);
        }
        QuestionKind::Open => {
            let modes = ElicitationCapability::new().with_url(Default::default());
            needed.elicitation = Some(modes);
        }
        QuestionKind::Sample => needed.sampling = Some(SamplingCapability::default()),
        QuestionKind::ListRoots => needed.roots = Some(RootsCapabilities::default()),
    }
    ErrorData::missing_required_client_capability(needed)
}

/// Says why an answer is none to the question. The user's code reads it.
pub(in crate::mcp) fn misfit(
    check: fn(&Value) -> Result<(), String>,
    answer: &Value,
) -> Option<String> {
    match panics::guard(|| check(answer)) {
        Ok(checked) => checked.err(),
        Err(panic) => {
            panic.log("the type of an answer");
            Some("its type cannot be read".to_owned())
        }
    }
}

/// A question as `rmcp` has it.
pub(in crate::mcp) fn request_of(question: &Question) -> Result<InputRequest, String> {
    serde_json::from_value(question.request.clone()).map_err(|_| {
        "the request is none of the protocol's: is the schema that of a form?".to_owned()
    })
}
