//! [`Conversation`]: a call whose function may ask its client.
//!
//! Since revision 2026-07-28 a question without an answer ends the call, and its answer comes with the next one. Before, a question
//! is a request on the open stream of the call, which a client answers in its session.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};

use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ClientResult, ElicitationCapability, InputRequest, InputRequests,
    InputRequiredResult, InputResponses, RootsCapabilities, SamplingCapability, ServerRequest,
};
use rmcp::service::{Peer, PeerRequestOptions, RequestContext, RoleServer, ServiceError};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::logging::Logging;
use super::state::{Answers, Sealer};
use crate::report::panics;
use crate::tools::{Can, Client, Kept, Question, QuestionKind, ToClient};
use crate::util::BoxFuture;

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

/// A call whose function may ask its client.
pub(super) struct Conversation<'a> {
    client: Client,
    /// `None` if the function takes no client.
    messages: Option<mpsc::Receiver<Box<ToClient>>>,
    desk: Desk,
    kept: Kept,
    sealer: &'a Sealer,
    /// What the state of the call belongs to. `None` if no state is sealed in the revision of the client, or the function asks
    /// nothing.
    binding: Option<Vec<u8>>,
    logging: Logging<'a>,
}

/// The end of a function.
pub(super) enum Asked<T> {
    Done(T),
    /// It waits for answers that come with the next call.
    Waits,
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
        let desk = match way {
            Way::Rounds if !called.asks => Desk::None,
            Way::Rounds => {
                if let (Some(state), Some(binding)) = (state, &binding) {
                    earlier = sealer.open(&state, binding)?;
                }
                earlier.answers.extend(responses.unwrap_or_default());
                can = can_do(context);
                Desk::Rounds(Rounds::new(earlier.answers))
            }
            Way::Session(over) if called.asks => {
                can = can_do(context);
                Desk::Session(Session::new(context.peer.clone(), over))
            }
            Way::Session(_) | Way::None => Desk::None,
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
            desk,
            kept,
            sealer,
            binding,
            logging,
        })
    }

    /// The client that the function asks.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs `work` until it has ended or waits for answers.
    ///
    /// # Errors
    ///
    /// An answer of the client does not fit its question.
    pub(super) async fn drive<F: Future>(
        &mut self,
        mut work: Pin<&mut F>,
    ) -> Result<Asked<F::Output>, ErrorData> {
        let Some(messages) = &mut self.messages else {
            return Ok(Asked::Done(work.await));
        };
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    while let Ok(message) = messages.try_recv() {
                        hear(&mut self.desk, &self.logging, *message).await?;
                    }
                    return Ok(Asked::Done(done));
                }
                Some(message) = messages.recv() => {
                    hear(&mut self.desk, &self.logging, *message).await?;
                }
                () = self.desk.turn() => {}
                // The function waits, and all that it has asked until then has been heard.
                () = ready(()), if self.desk.waits() => return Ok(Asked::Waits),
            }
        }
    }

    /// The result that asks the client.
    ///
    /// # Errors
    ///
    /// The answers and values of the call are too large to travel with the client.
    pub(super) fn into_questions(self) -> Result<InputRequiredResult, ErrorData> {
        let (Desk::Rounds(rounds), Some(binding)) = (self.desk, self.binding) else {
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

async fn hear(desk: &mut Desk, logging: &Logging<'_>, message: ToClient) -> Result<(), ErrorData> {
    match message {
        ToClient::Question(question) => desk.take(question),
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
enum Desk {
    Rounds(Rounds),
    Session(Session),
    /// The client cannot be asked.
    None,
}

impl Desk {
    fn take(&mut self, question: Question) -> Result<(), ErrorData> {
        match self {
            Self::Rounds(rounds) => rounds.take(question),
            Self::Session(session) => {
                session.waiting.push_back(question);
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

/// Questions whose answers come with a call.
struct Rounds {
    /// The answers that the client has sent, with this call and before.
    answers: BTreeMap<String, Value>,
    /// Those of them that the function has asked for. The client keeps no others for the next call.
    used: BTreeMap<String, Value>,
    asked: InputRequests,
    /// The function waits as long as these exist.
    unanswered: Vec<Question>,
}

impl Rounds {
    fn new(answers: BTreeMap<String, Value>) -> Self {
        Self {
            answers,
            used: BTreeMap::new(),
            asked: InputRequests::new(),
            unanswered: Vec::new(),
        }
    }

    fn take(&mut self, question: Question) -> Result<(), ErrorData> {
        let key = question.key.clone();
        if let Some(answer) = self.answers.get(&key) {
            if let Some(why) = misfit(question.check, answer) {
                let message = format!("the answer to `{key}` does not fit: {why}");
                return Err(ErrorData::invalid_params(message, None));
            }
            self.used.insert(key, answer.clone());
            // The function may have stopped to wait.
            let _ = question.reply.send(Ok(answer.clone()));
            return Ok(());
        }
        self.forget_dropped();
        let request = match self.asked.contains_key(&key) {
            true => Err(format!("two questions have the key `{key}`")),
            false => request_of(&question),
        };
        match request {
            Ok(request) => {
                self.asked.insert(key, request);
                self.unanswered.push(question);
            }
            Err(why) => {
                let _ = question.reply.send(Err(why));
            }
        }
        Ok(())
    }

    fn waits(&mut self) -> bool {
        self.forget_dropped();
        !self.asked.is_empty()
    }

    /// Takes back the questions that the function does not wait for any more.
    fn forget_dropped(&mut self) {
        let asked = &mut self.asked;
        self.unanswered.retain(|question| {
            let waits = !question.reply.is_closed();
            if !waits {
                asked.remove(&question.key);
            }
            waits
        });
    }
}

/// Questions that are requests in the session of a client, one after the other.
struct Session {
    peer: Peer<RoleServer>,
    /// Nobody answers any more.
    over: CancellationToken,
    waiting: VecDeque<Question>,
    current: Option<Current>,
}

/// A question that the client has got.
struct Current {
    reply: oneshot::Sender<Result<Value, String>>,
    check: fn(&Value) -> Result<(), String>,
    /// Takes the question back.
    stop: CancellationToken,
    answer: BoxFuture<Result<ClientResult, ServiceError>>,
}

impl Current {
    /// The answer. The question is taken back once `over` is cancelled, or the function waits no more. Cancel safe.
    async fn answered(&mut self, over: &CancellationToken) -> Result<ClientResult, ServiceError> {
        let Self {
            reply,
            stop,
            answer,
            ..
        } = self;
        let mut over = pin!(over.cancelled());
        let mut dropped = pin!(reply.closed());
        loop {
            tokio::select! {
                answer = &mut *answer => return answer,
                () = &mut over, if !stop.is_cancelled() => stop.cancel(),
                () = &mut dropped, if !stop.is_cancelled() => stop.cancel(),
            }
        }
    }
}

impl Session {
    fn new(peer: Peer<RoleServer>, over: CancellationToken) -> Self {
        Self {
            peer,
            over,
            waiting: VecDeque::new(),
            current: None,
        }
    }

    async fn turn(&mut self) {
        if self.current.is_none() {
            match self.waiting.pop_front() {
                Some(question) => self.begin(question),
                None => pending().await,
            }
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let answer = current.answered(&self.over).await;
        let Some(Current { reply, check, .. }) = self.current.take() else {
            return;
        };
        let answer = match answer {
            Ok(answer) => serde_json::to_value(answer).map_err(|error| error.to_string()),
            Err(ServiceError::McpError(error)) => Err(error.message.into_owned()),
            Err(_) => Err("it has left, or its session or the agent has ended".to_owned()),
        };
        let _ = reply.send(answer.and_then(|answer| match misfit(check, &answer) {
            None => Ok(answer),
            Some(why) => Err(why),
        }));
    }

    fn begin(&mut self, question: Question) {
        match request_of(&question) {
            Ok(request) => {
                let (peer, request) = (self.peer.clone(), to_server_request(request));
                let stop = CancellationToken::new();
                self.current = Some(Current {
                    reply: question.reply,
                    check: question.check,
                    stop: stop.clone(),
                    // It is polled by the task that serves the call: from another one `rmcp` would not send it on the call's stream.
                    answer: Box::pin(ask(peer, request, stop)),
                });
            }
            Err(why) => {
                let _ = question.reply.send(Err(why));
            }
        }
    }
}

/// Sends a request to the client, and takes it back when `stop` is cancelled.
async fn ask(
    peer: Peer<RoleServer>,
    request: ServerRequest,
    stop: CancellationToken,
) -> Result<ClientResult, ServiceError> {
    let options = PeerRequestOptions::no_options();
    let mut asked = peer.send_cancellable_request(request, options).await?;
    tokio::select! {
        biased;
        answer = &mut asked.rx => answer.unwrap_or(Err(ServiceError::TransportClosed)),
        () = stop.cancelled() => {
            // A client that has left needs no message.
            let _ = asked.cancel(None).await;
            Err(ServiceError::TransportClosed)
        }
    }
}

fn to_server_request(request: InputRequest) -> ServerRequest {
    match request {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        _ => unreachable!("`rmcp` reads no others"),
    }
}
