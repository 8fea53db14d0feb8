//! [`Conversation`]: a call, in which the function may ask the client.
//!
//! Since revision 2026-07-28 a question without an answer ends the call, and its answer comes with the next one. Before, a question
//! is a request on the open stream of the call, which a client answers in its session.

mod rounds;
mod session;

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ElicitationCapability, InputRequest, InputRequiredResult, InputResponses,
    RootsCapabilities, SamplingCapability,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::rounds::Rounds;
use self::session::InSession;
use super::caller::cancelled;
use super::logging::Logging;
use super::state::{Answers, Sealer};
use crate::report::{Outcome, panics};
use crate::request::{self, Scope};
use crate::tools::{Can, Client, Kept, Question, QuestionKind, Registered, ToClient};

/// How a client is asked.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By the result of the call.
    Rounds,
    /// By a request on the call's stream, until the token is cancelled.
    Session(CancellationToken),
    /// Not at all: an earlier revision, and no session.
    None,
}

/// The call of a tool, a resource or a prompt.
pub(super) struct Called<'a> {
    pub(super) method: &'static str,
    /// A name or a URI.
    pub(super) name: &'a str,
    pub(super) arguments: &'a Map<String, Value>,
    pub(super) session: Option<&'a str>,
    /// Whether the function takes a client.
    pub(super) asks: bool,
}

impl Called<'_> {
    /// What is equal in all rounds of a call, and differs between calls.
    fn binding(&self) -> Vec<u8> {
        let binding = json!([self.session, self.method, self.name, self.arguments]);
        binding.to_string().into_bytes()
    }
}

/// The answers that come with a call, and the state that the client sends back.
pub(super) type Input = (Option<InputResponses>, Option<String>);

/// A call, in which the function may ask the client.
pub(super) struct Conversation<'a> {
    client: Client,
    /// `None` if the function takes no client.
    messages: Option<mpsc::Receiver<Box<ToClient>>>,
    questions: Questions,
    kept: Kept,
    sealer: &'a Sealer,
    /// What the state of the call belongs to. `None` if no state is sealed in the revision of the client, or the function asks
    /// nothing.
    binding: Option<Vec<u8>>,
    logging: Logging<'a>,
}

/// The end of a call.
pub(super) enum Ended<T> {
    /// The function has returned.
    Done(T),
    /// The function waits for answers, which come with the next call.
    Asks(InputRequiredResult),
}

/// A call has no result.
pub(super) enum Unfinished {
    /// The client has cancelled the call.
    Cancelled,
    /// An answer of the client does not fit its question.
    Misfit(ErrorData),
    /// The answers and values of the call are too large to travel with the client.
    TooLarge(ErrorData),
}

impl Unfinished {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Cancelled => Outcome::Cancelled,
            Self::Misfit(_) => Outcome::ClientError,
            Self::TooLarge(_) => Outcome::Error,
        }
    }
}

impl From<Unfinished> for ErrorData {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Cancelled => Self::internal_error("cancelled", None),
            Unfinished::Misfit(error) | Unfinished::TooLarge(error) => error,
        }
    }
}

impl<'a> Conversation<'a> {
    /// # Errors
    ///
    /// The state is none that this agent has given out for this call.
    pub(super) fn begin(
        sealer: &'a Sealer,
        context: &RequestContext<RoleServer>,
        way: Way,
        called: &Called<'_>,
        (responses, state): Input,
        logging: Logging<'a>,
    ) -> Result<Self, ErrorData> {
        let seals = matches!(way, Way::Rounds) && called.asks;
        let binding = seals.then(|| called.binding());
        let mut earlier = Answers::default();
        let mut can = Can::default();
        let questions = match way {
            Way::Rounds if !called.asks => Questions::None,
            Way::Rounds => {
                if let (Some(state), Some(binding)) = (state, &binding) {
                    earlier = sealer.open(&state, binding)?;
                }
                earlier.answers.extend(responses.unwrap_or_default());
                can = can_do(context);
                Questions::Rounds(Rounds::new(earlier.answers))
            }
            Way::Session(over) if called.asks => {
                can = can_do(context);
                Questions::Session(InSession::new(context.peer.clone(), over))
            }
            Way::Session(_) | Way::None => Questions::None,
        };
        let kept = Kept::new(earlier.kept);
        let (client, messages) = match called.asks {
            true => {
                let (client, messages) = Client::new(can, kept.clone());
                (client, Some(messages))
            }
            false => (Client::default(), None),
        };
        Ok(Self {
            client,
            messages,
            questions,
            kept,
            sealer,
            binding,
            logging,
        })
    }

    /// Runs `work`, which calls the function `what`, until it ends, waits for answers, or the client cancels the call. Work that has not
    /// ended is dropped.
    pub(super) async fn run<F: Future>(
        mut self,
        work: F,
        context: &RequestContext<RoleServer>,
        scope: &Arc<Scope>,
        what: &Registered,
    ) -> Result<Ended<F::Output>, Unfinished> {
        let work = self.client.clone().scope(work);
        let mut work = Box::pin(request::within(Arc::clone(scope), work));
        let driven = tokio::select! {
            biased;
            driven = self.drive(work.as_mut()) => driven.map_err(Unfinished::Misfit),
            () = cancelled(context) => {
                scope.cancel();
                Err(Unfinished::Cancelled)
            }
        };
        match driven {
            Ok(Some(done)) => Ok(Ended::Done(done)),
            Ok(None) => {
                panics::drop_caught(work, &what.to_string());
                let questions = self.into_questions();
                questions.map(Ended::Asks).map_err(Unfinished::TooLarge)
            }
            Err(unfinished) => {
                panics::drop_caught(work, &what.to_string());
                Err(unfinished)
            }
        }
    }

    /// Runs `work` until it has ended. `None` means that it waits for answers.
    ///
    /// # Errors
    ///
    /// An answer of the client does not fit its question.
    async fn drive<F: Future>(
        &mut self,
        mut work: Pin<&mut F>,
    ) -> Result<Option<F::Output>, ErrorData> {
        let Some(messages) = &mut self.messages else {
            return Ok(Some(work.await));
        };
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    while let Ok(message) = messages.try_recv() {
                        hear(&mut self.questions, &self.logging, *message).await?;
                    }
                    return Ok(Some(done));
                }
                Some(message) = messages.recv() => {
                    hear(&mut self.questions, &self.logging, *message).await?;
                }
                () = self.questions.turn() => {}
                // The function waits, and all that it has asked until then has been heard.
                () = ready(()), if self.questions.waits() => return Ok(None),
            }
        }
    }

    /// The result that asks the client.
    ///
    /// # Errors
    ///
    /// The answers and values of the call are too large to travel with the client.
    fn into_questions(self) -> Result<InputRequiredResult, ErrorData> {
        let (Questions::Rounds(rounds), Some(binding)) = (self.questions, self.binding) else {
            return Err(ErrorData::internal_error("nothing has been asked", None));
        };
        let answers = Answers {
            answers: rounds.used,
            kept: self.kept.take(),
        };
        let state = self.sealer.seal(&answers, &binding)?;
        Ok(InputRequiredResult::new(Some(rounds.asked), Some(state)))
    }
}

async fn hear(
    questions: &mut Questions,
    logging: &Logging<'_>,
    message: ToClient,
) -> Result<(), ErrorData> {
    match message {
        ToClient::Question(question) => questions.take(question),
        ToClient::Log { level, message } => {
            logging.tell(level, message).await;
            Ok(())
        }
    }
}

/// What the client of a request can be asked.
pub(super) fn can_do(context: &RequestContext<RoleServer>) -> Can {
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
pub(super) fn lacks(kind: QuestionKind) -> ErrorData {
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
pub(super) fn misfit(check: fn(&Value) -> Result<(), String>, answer: &Value) -> Option<String> {
    match panics::guard(|| check(answer)) {
        Ok(checked) => checked.err(),
        Err(panic) => {
            panic.log("the type of an answer");
            Some("its type cannot be read".to_owned())
        }
    }
}

/// A question as `rmcp` has it.
pub(super) fn request_of(question: &Question) -> Result<InputRequest, String> {
    serde_json::from_value(question.request.clone()).map_err(|_| {
        "the request is none of the protocol's: is the schema that of a form?".to_owned()
    })
}

/// Takes questions, and knows how they are answered.
enum Questions {
    Rounds(Rounds),
    Session(InSession),
    /// The client cannot be asked.
    None,
}

impl Questions {
    fn take(&mut self, question: Question) -> Result<(), ErrorData> {
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
    async fn turn(&mut self) {
        match self {
            Self::Rounds(_) | Self::None => pending().await,
            Self::Session(session) => session.turn().await,
        }
    }

    /// Whether a question waits for the next call.
    fn waits(&mut self) -> bool {
        match self {
            Self::Rounds(rounds) => rounds.waits(),
            Self::Session(_) | Self::None => false,
        }
    }
}
