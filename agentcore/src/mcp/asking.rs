//! [`Conversation`]: a call, in which the function may ask the client.
//!
//! Since revision 2026-07-28 a question without an answer ends the call, and its answer comes with the next one. Before, a question
//! is a request on the open stream of the call, which a client answers in its session.

mod questions;
mod rounds;
mod session;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{InputRequiredResult, InputResponses};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use self::questions::Questions;
pub(super) use self::questions::{can_do, lacks, misfit, request_of};
use self::rounds::Rounds;
use self::session::InSession;
use super::caller::{SessionTokens, cancelled};
use super::logging::Logging;
use super::state::{Answers, Sealer};
use crate::report::{Outcome, panics};
use crate::request::{Scope, Work, in_scope, within};
use crate::tools::{Can, Client, Kept, Question, Registered, ToClient};
use crate::util::BoxFuture;

/// How a client is asked.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By the result of the call.
    Rounds,
    /// By a request on the call's stream.
    Session(SessionTokens),
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
    /// What a task goes on with, if the function may begin one.
    task: Option<Arc<Work>>,
}

/// The reason why a function is not driven further.
enum Paused<T> {
    Done(T),
    /// It waits for answers that come with the next call.
    Waits,
    /// It begins a task.
    BeginsTask {
        work: Arc<Work>,
        messages: mpsc::Receiver<Box<ToClient>>,
        begun: oneshot::Sender<bool>,
    },
}

/// The end of a call.
pub(super) enum Ended<T> {
    /// The function has returned.
    Done(T),
    /// The function waits for answers, which come with the next call.
    Asks(InputRequiredResult),
    /// The function has begun a task.
    GoesOn(DetachedCall<T>),
}

/// A call that goes on when its request has ended.
pub(super) struct DetachedCall<T> {
    /// The scope of the function.
    pub(super) part: Arc<Scope>,
    pub(super) work: Arc<Work>,
    pub(super) function: BoxFuture<T>,
    pub(super) messages: mpsc::Receiver<Box<ToClient>>,
    /// Questions without an answer.
    pub(super) questions: Vec<Question>,
    /// Tells the function that it is a task, if it has asked for that.
    pub(super) begun: Option<oneshot::Sender<bool>>,
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
            Way::Session(session) if called.asks => {
                can = can_do(context);
                Questions::Session(InSession::new(context.peer.clone(), session))
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
            task: None,
        })
    }

    /// Lets the function begin a task, unless the agent stops. Returns the scope that the function runs in then.
    pub(super) fn may_begin_task(&mut self, scope: &Arc<Scope>) -> Arc<Scope> {
        let (part, work) = Work::detachable(scope);
        self.task = Some(work);
        part
    }

    /// Runs `function` in the scope `part` until it ends, waits for answers or begins a task, or until the client cancels the call. A
    /// function that has not ended and does not go on is dropped. Log lines name it after `what`.
    pub(super) async fn run<F>(
        mut self,
        function: F,
        context: &RequestContext<RoleServer>,
        part: &Arc<Scope>,
        what: &Registered,
    ) -> Result<Ended<F::Output>, Unfinished>
    where
        F: Future + Send + 'static,
    {
        let function = self.client.clone().scope(function);
        let mut function = Box::pin(in_scope(Arc::clone(part), function));
        let paused = {
            // A task goes on without what belongs to the request: its span, and the watch on its polls.
            let driven = within(Arc::clone(part), self.drive(function.as_mut()));
            tokio::select! {
                biased;
                paused = driven => paused.map_err(Unfinished::Misfit),
                () = cancelled(context) => Err(Unfinished::Cancelled),
            }
        };
        let paused = match paused {
            // The reply with the task's id would be lost.
            Ok(Paused::BeginsTask { .. }) if context.ct.is_cancelled() => {
                Err(Unfinished::Cancelled)
            }
            paused => paused,
        };
        match paused {
            Ok(Paused::Done(done)) => Ok(Ended::Done(done)),
            Ok(Paused::Waits) => {
                panics::drop_caught(function, &what.to_string());
                let questions = self.into_questions();
                questions.map(Ended::Asks).map_err(Unfinished::TooLarge)
            }
            Ok(Paused::BeginsTask {
                work,
                messages,
                begun,
            }) => {
                part.detach();
                Ok(Ended::GoesOn(DetachedCall {
                    part: Arc::clone(part),
                    work,
                    function,
                    messages,
                    questions: self.questions.unanswered(),
                    begun: Some(begun),
                }))
            }
            Err(unfinished) => {
                if let Unfinished::Cancelled = unfinished {
                    part.cancel();
                }
                panics::drop_caught(function, &what.to_string());
                Err(unfinished)
            }
        }
    }

    /// Runs `function` until it has ended or is not to be driven here.
    ///
    /// # Errors
    ///
    /// An answer of the client does not fit its question.
    async fn drive<F: Future>(
        &mut self,
        mut function: Pin<&mut F>,
    ) -> Result<Paused<F::Output>, ErrorData> {
        let Some(mut messages) = self.messages.take() else {
            return Ok(Paused::Done(function.await));
        };
        loop {
            let message = tokio::select! {
                biased;
                done = &mut function => {
                    while let Ok(message) = messages.try_recv() {
                        hear(&mut self.questions, &self.logging, *message).await?;
                    }
                    return Ok(Paused::Done(done));
                }
                Some(message) = messages.recv() => *message,
                () = self.questions.turn() => continue,
                // The function waits, and all that it has asked until then has been heard.
                () = ready(()), if self.questions.waits() => return Ok(Paused::Waits),
            };
            let begun = match message {
                ToClient::BeginTask(begun) => begun,
                message => {
                    hear(&mut self.questions, &self.logging, message).await?;
                    continue;
                }
            };
            // When the agent stops, the result of a task could not be asked for, but that of a call is sent.
            let may_begin = |work: &mut Arc<Work>| !work.stops();
            match self.task.take_if(may_begin) {
                Some(work) => {
                    return Ok(Paused::BeginsTask {
                        work,
                        messages,
                        begun,
                    });
                }
                None => {
                    // The function may have stopped to wait.
                    let _ = begun.send(false);
                }
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
        ToClient::BeginTask(begun) => {
            // The function may have stopped to wait.
            let _ = begun.send(false);
            Ok(())
        }
    }
}
