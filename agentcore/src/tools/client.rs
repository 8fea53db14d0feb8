//! [`Client`]: the program that has called a tool over the Model Context Protocol, as far as the tool can ask it.
//!
//! A question goes through a channel to the task that serves the call, because only that task knows how a client of its revision is
//! asked: by a request on the call's open stream, by a result that the client answers with the next call, or by a task's status.

mod error;
mod form;
mod question;
mod sampling;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

pub use self::error::ClientError;
use self::form::{Answered, of_type};
pub(crate) use self::question::{Can, Kept, LogLevel, Question, QuestionKind, ToClient};
pub use self::sampling::{Sampled, Sampling};
use crate::error::BoxError;
use crate::handler::extract::{FromInvocation, Invocation, Requirements};

/// How many questions wait until the task that serves the call takes them.
const MOST_WAITING: usize = 16;

/// The longest message to a client in bytes. Some wait for a client that does not read.
const LONGEST_MESSAGE: usize = 4 << 10;

tokio::task_local! {
    static CLIENT: Client;
}

/// The client that has called a tool, a resource or a prompt over the Model Context Protocol: an argument that asks it for input.
///
/// ```
/// use agentcore::tool::{Client, Elicited};
/// use agentcore::{BoxError, tool};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Approval {
///     /// Whether the table is to be booked.
///     book: bool,
/// }
///
/// /// Books a table.
/// #[tool]
/// async fn book(restaurant: String, client: Client) -> Result<String, BoxError> {
///     let question = format!("Book a table at {restaurant}?");
///     match client.elicit("approval", question).await? {
///         Elicited::Accepted(Approval { book: true }) => Ok(format!("a table at {restaurant}")),
///         _ => Ok("nothing has been booked".to_owned()),
///     }
/// }
/// ```
///
/// Each question has a key: a short text that no other question of the function has.
///
/// # How often the function runs
///
/// - **Since revision 2026-07-28** no connection stays open while a person thinks. A question without an answer ends the call: the
///   function is dropped where it waits, the client gets the questions, and repeats the call with the answers. Then the function
///   **runs again from its top**, and questions that have been answered return at once. Questions that are asked together, as by
///   `tokio::join!`, take one round. What has an effect belongs behind the last question; what takes long or may come out
///   differently, into [`once`](Self::once).
/// - **Before**, and in a task, the function waits for the answer, and runs once. A client of these revisions can be asked only in a
///   session of the protocol, which it gets at `initialize`. [`begin_task`](Self::begin_task) makes a call a task.
///
/// While a call waits for its client, the agent is busy in the second case, and not in the first. There a question fails when its client
/// has left, when its session ends, and when the agent is told to stop.
///
/// An extractor of your own that takes a client calls `Client::requires` in its `requires`.
///
/// # Outside of a call of the protocol
///
/// There is no client for [`tools().call`](crate::tool::Tools::call): each question is an error, and each `can_..` is `false`.
#[derive(Clone, Default)]
pub struct Client {
    channel: Option<Channel>,
}

#[derive(Clone)]
struct Channel {
    /// Boxed, because the channel makes room for several at once.
    messages: mpsc::Sender<Box<ToClient>>,
    can: Can,
    kept: Kept,
    /// Whether the call has become a task.
    is_task: Arc<AtomicBool>,
}

/// The decision of a person about a question.
///
/// ```
/// use agentcore::tool::Elicited;
///
/// assert_eq!(Elicited::Accepted(3).accepted(), Some(3));
/// assert_eq!(Elicited::<u8>::Declined.accepted(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elicited<T> {
    /// The person has answered.
    Accepted(T),
    /// The person has said no.
    Declined,
    /// The person has closed the question without a decision.
    Cancelled,
}

impl<T> Elicited<T> {
    /// The answer, if there is one.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(answer) => Some(answer),
            Self::Declined | Self::Cancelled => None,
        }
    }
}

/// A place that the client lets a server work in, such as a folder.
///
/// ```
/// use agentcore::tool::{Client, ClientError};
///
/// async fn first(client: &Client) -> Result<Option<String>, ClientError> {
///     let roots = client.roots("roots").await?;
///     Ok(roots.first().map(|root| root.uri().to_owned()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    uri: String,
    name: Option<String>,
}

impl Root {
    /// Its URI, such as `file:///home/ada/project`.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Client {
    /// A client that can be asked, and the messages to it.
    pub(crate) fn new(can: Can, kept: Kept) -> (Self, mpsc::Receiver<Box<ToClient>>) {
        let (messages, receiver) = mpsc::channel(MOST_WAITING);
        let channel = Channel {
            messages,
            can,
            kept,
            is_task: Arc::default(),
        };
        (
            Self {
                channel: Some(channel),
            },
            receiver,
        )
    }

    /// The client of a call that is a task from its beginning on.
    pub(crate) fn of_task(can: Can) -> (Self, mpsc::Receiver<Box<ToClient>>) {
        let (client, messages) = Self::new(can, Kept::default());
        if let Some(channel) = &client.channel {
            channel.is_task.store(true, Ordering::Relaxed);
        }
        (client, messages)
    }

    /// Runs `work` on behalf of this client: functions in it get it as an argument.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CLIENT.scope(self, work)
    }

    fn can(&self) -> Can {
        self.channel
            .as_ref()
            .map(|channel| channel.can)
            .unwrap_or_default()
    }

    /// Whether the client shows forms to its user.
    #[must_use]
    pub fn can_elicit(&self) -> bool {
        self.can().elicit
    }

    /// Whether the client opens web pages for its user.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.can().open
    }

    /// Whether the client lets servers ask its model.
    #[must_use]
    pub fn can_sample(&self) -> bool {
        self.can().sample
    }

    /// Whether the client says which places a server may work in.
    #[must_use]
    pub fn can_list_roots(&self) -> bool {
        self.can().list_roots
    }

    /// Asks the user of the client to fill in a form (`elicitation/create`).
    ///
    /// The form is made from `T`: a struct whose fields are texts, numbers, `bool`s, enums without data, or lists of such enums.
    /// Doc comments are the descriptions of its fields, `Option` makes a field optional, and a default of serde is filled in.
    ///
    /// # Errors
    ///
    /// There is no client that shows forms, the type is no form, or the client has answered with an error. Since 2026-07-28 an
    /// answer that does not fit is the client's mistake, and never comes here: its call gets an error of the protocol.
    ///
    /// # Cancel safety
    ///
    /// The answer to a question whose future has been dropped is lost; where the function runs again, it is asked again.
    pub async fn elicit<T>(
        &self,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<Elicited<T>, ClientError>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let form = of_type::<T>().map_err(ClientError::no_form)?;
        let answer = self.form(key, message, form, Answered::<T>::check).await?;
        Answered::read(answer).map_err(ClientError::misfit)
    }

    /// As [`elicit`](Self::elicit), with the schema of the form as JSON: an object whose properties are texts, numbers, booleans, or
    /// choices.
    ///
    /// # Errors
    ///
    /// Those of [`elicit`](Self::elicit). The answer is not checked against the schema.
    pub async fn elicit_with(
        &self,
        key: impl Into<String>,
        message: impl Into<String>,
        schema: Value,
    ) -> Result<Elicited<Map<String, Value>>, ClientError> {
        let check = Answered::<Map<String, Value>>::check;
        let answer = self.form(key, message, schema, check).await?;
        Answered::read(answer).map_err(ClientError::misfit)
    }

    async fn form(
        &self,
        key: impl Into<String>,
        message: impl Into<String>,
        schema: Value,
        check: fn(&Value) -> Result<(), String>,
    ) -> Result<Value, ClientError> {
        let params =
            json!({ "mode": "form", "message": message.into(), "requestedSchema": schema });
        self.ask(key, QuestionKind::Elicit, params, check).await
    }

    /// Asks the user of the client to open a web page, for what no client may see, such as a password or a payment
    /// (`elicitation/create` with a URL). Accepted means that the user agrees, and not that they have finished.
    ///
    /// # Errors
    ///
    /// There is no client that opens pages, or it has answered with an error.
    pub async fn open(
        &self,
        key: impl Into<String>,
        message: impl Into<String>,
        url: impl Into<String>,
    ) -> Result<Elicited<()>, ClientError> {
        let key = key.into();
        let params = json!({
            "mode": "url",
            "message": message.into(),
            "url": url.into(),
            "elicitationId": key,
        });
        let check = Answered::<()>::check_decision;
        let answer = self.ask(key, QuestionKind::Open, params, check).await?;
        Answered::<()>::read_decision(&answer).map_err(ClientError::misfit)
    }

    /// Asks the model of the client (`sampling/createMessage`). The protocol advises against it since revision 2026-07-28.
    ///
    /// # Errors
    ///
    /// There is no client that lets servers ask its model, or it has answered with an error.
    pub async fn sample(
        &self,
        key: impl Into<String>,
        sampling: Sampling,
    ) -> Result<Sampled, ClientError> {
        let params = sampling.into_params();
        let answer = self
            .ask(key, QuestionKind::Sample, params, Sampled::check)
            .await?;
        Sampled::read(&answer).map_err(ClientError::misfit)
    }

    /// Asks which places a server may work in (`roots/list`). The protocol advises against it since revision 2026-07-28.
    ///
    /// # Errors
    ///
    /// There is no client that says so, or it has answered with an error.
    pub async fn roots(&self, key: impl Into<String>) -> Result<Vec<Root>, ClientError> {
        let check = |answer: &Value| roots(answer).map(|_| ());
        let answer = self
            .ask(key, QuestionKind::ListRoots, json!({}), check)
            .await?;
        roots(&answer).map_err(ClientError::misfit)
    }

    /// Runs `work` once in a call, however often the function runs because its questions are answered one after the other.
    ///
    /// The value of the first run is kept with the client, as JSON that the client can read and cannot change. A call keeps up to
    /// 1 MiB with all its answers. In a function that runs once, `work` just runs. An error is not kept.
    ///
    /// ```
    /// use agentcore::tool::Client;
    /// use agentcore::{BoxError, tool};
    /// # use schemars::JsonSchema;
    /// # use serde::Deserialize;
    /// # #[derive(Deserialize, JsonSchema)]
    /// # struct Approval { run: bool }
    /// # async fn ask_the_model(_: &str) -> Result<String, BoxError> { Ok(String::new()) }
    ///
    /// /// Makes a plan, and runs it if the user likes it.
    /// #[tool]
    /// async fn plan(goal: String, client: Client) -> Result<String, BoxError> {
    ///     // The user sees the plan that is run.
    ///     let plan = client.once("plan", || ask_the_model(&goal)).await?;
    ///     match client.elicit("approval", format!("Run this plan?\n{plan}")).await?.accepted() {
    ///         Some(Approval { run: true }) => Ok(format!("done: {plan}")),
    ///         _ => Ok("nothing has been done".to_owned()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `work`, a value that is no JSON, and one of an earlier version of the program that is not a `T`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work`, and nothing is kept.
    pub async fn once<T, E, F>(
        &self,
        key: impl Into<String>,
        work: impl FnOnce() -> F,
    ) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
        F: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        let Some(channel) = &self.channel else {
            return work().await.map_err(Into::into);
        };
        let kept = channel.kept.0.lock().get(&key).cloned();
        if let Some(kept) = kept {
            return Ok(T::deserialize(kept)?);
        }
        let value = work().await.map_err(Into::into)?;
        let json = serde_json::to_value(&value)?;
        channel.kept.0.lock().insert(key, json);
        Ok(value)
    }

    /// Makes the rest of the call a task that the client polls, in a tool with `#[tool(task = "on_demand")]`. Returns whether the call
    /// is a task.
    ///
    /// Questions before it are answered by the next call, and the agent is idle until then. Questions after it are asked by the
    /// status of the task, and the function goes on where it waits. A client that leaves does not end the task. The tool's `timeout`
    /// goes on, and counts from the beginning of the last call.
    ///
    /// The call goes on as a call if the client does not poll tasks or speaks a revision before 2026-07-28, if the agent has been
    /// told to stop, or if the tool is never a task. A tool that is a task from its beginning on stays one. A task sends no progress
    /// and no messages to its client.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use agentcore::tool::{Client, Elicited};
    /// use agentcore::{BoxError, tool};
    /// # use schemars::JsonSchema;
    /// # use serde::Deserialize;
    /// # #[derive(Deserialize, JsonSchema)]
    /// # struct Approval { run: bool }
    ///
    /// /// Trains a model, if the user agrees to the price.
    /// #[tool(task = "on_demand")]
    /// async fn train(client: Client) -> Result<&'static str, BoxError> {
    ///     let answer = client.elicit("price", "That costs 300 dollars. Train it?").await?;
    ///     let Elicited::Accepted(Approval { run: true }) = answer else {
    ///         return Ok("nothing has been trained");
    ///     };
    ///     client.begin_task().await;
    ///     // The work of hours.
    ///     tokio::time::sleep(Duration::from_secs(3600)).await;
    ///     Ok("the model is ready")
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task may have begun.
    pub async fn begin_task(&self) -> bool {
        let Some(channel) = &self.channel else {
            return false;
        };
        if !channel.is_task.load(Ordering::Relaxed) {
            let (begun, is_task) = oneshot::channel();
            let message = Box::new(ToClient::BeginTask(begun));
            // After the call nobody hears it.
            let is_task =
                channel.messages.send(message).await.is_ok() && is_task.await.unwrap_or(false);
            channel.is_task.fetch_or(is_task, Ordering::Relaxed);
        }
        channel.is_task.load(Ordering::Relaxed)
    }

    /// Sends a message to the client at the level `debug`, if the client wants it. The protocol advises against such messages
    /// since revision 2026-07-28; `tracing` writes into the agent's own log. A message is cut after 4 KiB.
    pub async fn debug(&self, message: impl Into<String>) {
        self.log(LogLevel::Debug, message.into()).await;
    }

    /// As [`debug`](Self::debug), at the level `info`.
    pub async fn info(&self, message: impl Into<String>) {
        self.log(LogLevel::Info, message.into()).await;
    }

    /// As [`debug`](Self::debug), at the level `warning`.
    pub async fn warning(&self, message: impl Into<String>) {
        self.log(LogLevel::Warning, message.into()).await;
    }

    /// As [`debug`](Self::debug), at the level `error`.
    pub async fn error(&self, message: impl Into<String>) {
        self.log(LogLevel::Error, message.into()).await;
    }

    async fn log(&self, level: LogLevel, message: String) {
        if let Some(channel) = &self.channel {
            let message = cut(message);
            // After the call nobody reads it.
            let _ = channel
                .messages
                .send(Box::new(ToClient::Log { level, message }))
                .await;
        }
    }

    async fn ask(
        &self,
        key: impl Into<String>,
        kind: QuestionKind,
        params: Value,
        check: fn(&Value) -> Result<(), String>,
    ) -> Result<Value, ClientError> {
        let channel = self.channel.as_ref().ok_or_else(ClientError::nobody)?;
        if !channel.can.has(kind) {
            return Err(ClientError::lacks(kind));
        }
        let (reply, answer) = oneshot::channel();
        let question = Question {
            key: key.into(),
            request: json!({ "method": kind.method(), "params": params }),
            check,
            reply,
        };
        let sent = channel
            .messages
            .send(Box::new(ToClient::Question(question)))
            .await;
        sent.map_err(|_| ClientError::over())?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(ClientError::refused(why)),
            Err(_) => Err(ClientError::over()),
        }
    }
}

fn roots(answer: &Value) -> Result<Vec<Root>, String> {
    let list = answer.get("roots").and_then(Value::as_array);
    let list = list.ok_or("`roots` is no list")?;
    let root = |root: &Value| {
        let text = |key: &str| root.get(key)?.as_str().map(ToOwned::to_owned);
        Some(Root {
            uri: text("uri")?,
            name: text("name"),
        })
    };
    let read: Option<_> = list.iter().map(root).collect();
    read.ok_or_else(|| "a root has no `uri`".to_owned())
}

/// A message, as far as a client gets it.
fn cut(message: String) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message;
    }
    let end = (0..=LONGEST_MESSAGE)
        .rev()
        .find(|&at| message.is_char_boundary(at));
    // A copy, which does not keep the memory of the whole.
    message[..end.unwrap_or_default()].to_owned()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.can().fmt(f)
    }
}

impl FromInvocation for Client {
    type Rejection = Infallible;

    fn from_invocation(_: &mut Invocation) -> Result<Self, Infallible> {
        Ok(CLIENT.try_with(Self::clone).unwrap_or_default())
    }

    fn requires(requirements: &mut Requirements) {
        requirements.client();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_two_letters() {
        let whole = "x".repeat(LONGEST_MESSAGE);
        assert_eq!(cut(whole.clone()), whole);
        assert_eq!(cut(format!("{whole}y")), whole);
        let wide = cut(format!("x{}", "ä".repeat(LONGEST_MESSAGE)));
        assert_eq!(wide.len(), LONGEST_MESSAGE - 1);
        assert!(wide.ends_with('ä'));
    }
}
