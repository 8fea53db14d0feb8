//! [`Durable`]: the call of a durable task. [`Job`]: a job that has been submitted.

use std::any::type_name;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_core::de::DeserializeOwned;

use super::client::{Client, headers_here, result};
use super::failure::JobError;
use super::status::JobStatus;
use super::task::{Arguments, Task};
use crate::engine::{JobId, NewJob};
use crate::otel::Span;
use crate::report::Outcome;

/// A call of a [durable task](macro@crate::async_task), with its arguments. It does nothing until it is submitted or awaited.
///
/// Awaiting it submits the job and waits for its result, whichever process runs it. [`submit`](Self::submit) returns as soon as
/// the job is stored.
///
/// ```
/// use agentcore::{BoxError, async_task};
/// use serde_json::{Value, json};
///
/// #[async_task(durable)]
/// async fn transcribe(url: String) -> Result<usize, BoxError> {
///     Ok(url.len())
/// }
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(url: String) -> Result<Value, BoxError> {
///     let job = transcribe(url).key("talk-7").submit().await?;
///     Ok(json!({ "job": job.id() }))
/// }
/// ```
#[must_use = "a durable task is not submitted until its call is awaited, or `submit` is"]
pub struct Durable<T> {
    task: Task,
    arguments: Arguments,
    key: Option<String>,
    after: Duration,
    any_session: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> Durable<T> {
    /// A call with the default options.
    pub(crate) fn new(task: Task, arguments: Arguments) -> Self {
        Self {
            task,
            arguments,
            key: None,
            after: Duration::ZERO,
            any_session: false,
            value: PhantomData,
        }
    }

    /// Makes this the only job of its task with this key, for as long as its record is kept. A second call with the key gets the job of
    /// the first one; with other arguments it is [an error](JobError::is_key_conflict).
    ///
    /// The key is a text of up to 512 bytes, such as the id of the event that is worked on. It is compared across sessions: a second
    /// caller of another session gets the id, and may not ask for the job.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Starts the job no sooner than `delay` from now. By default it is due at once.
    ///
    /// While it waits, it makes no agent busy. A platform that ends idle agents may have ended this one by then; another process
    /// that uses the store, or the next start, runs the job.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// Lets callers of every session ask for the job, and cancel it. By default it belongs to the session that submits it.
    ///
    /// Its id is then all that a caller needs, and ids can be guessed: use it for what every caller may know.
    pub fn any_session(mut self) -> Self {
        self.any_session = true;
        self
    }

    /// Stores the job. When this returns, the job is committed, and is finished whatever dies.
    ///
    /// The session, the id and the trace of the caller's request are stored with it. Access tokens and other headers are not.
    ///
    /// # Errors
    ///
    /// - The store does not answer within five seconds; a reply has status 503 then ([`JobError::is_unavailable`]).
    /// - There is a job with this [key](Self::key) and other arguments ([`JobError::is_key_conflict`]).
    /// - The arguments have more than 1 MiB of JSON ([`JobError::is_too_large`]), or no JSON at all.
    /// - The caller is no part of an agent's work.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, the job has been stored or not. With a [key](Self::key) it can be submitted again.
    pub async fn submit(self) -> Result<Job<T>, JobError> {
        let client = Client::current()?;
        let submitted = {
            let span = Span::durable_submit(self.task.name);
            let headers = span.current().within(|| headers_here(self.any_session));
            let job = NewJob {
                task: self.task.name.into(),
                input: self.arguments.encode()?,
                key: self.key,
                after: self.after,
                max_attempts: self.task.attempts,
                headers,
            };
            let submitted = client.submit(job).await;
            submitted.inspect_err(|_| span.note(Outcome::Error))?
        };
        Ok(Job {
            id: submitted.id,
            is_new: submitted.created,
            client,
            value: PhantomData,
        })
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for Durable<T> {
    type Output = Result<T, JobError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.submit().await?.wait().await })
    }
}

impl<T> fmt::Debug for Durable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable")
            .field("task", &self.task.name)
            .field("key", &self.key)
            .field("after", &self.after)
            .field("value", &type_name::<T>())
            .finish_non_exhaustive()
    }
}

/// A job of a [durable task](macro@crate::async_task) that has been stored. Dropping it changes nothing.
///
/// ```
/// use agentcore::{BoxError, async_task};
///
/// #[async_task(durable)]
/// async fn transcribe(url: String) -> Result<usize, BoxError> {
///     Ok(url.len())
/// }
///
/// # async fn example() -> Result<(), BoxError> {
/// let job = transcribe("https://example.com/talk.wav".to_owned()).submit().await?;
/// println!("{} waits", job.id());
/// let words: usize = job.wait().await?;
/// # let _ = words;
/// # Ok(())
/// # }
/// ```
pub struct Job<T> {
    id: JobId,
    is_new: bool,
    client: Arc<Client>,
    value: PhantomData<fn() -> T>,
}

impl<T> Job<T> {
    /// Its id, for [`job_status`](crate::job_status()) and [`cancel_job`](crate::cancel_job()) in any process that uses the store.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Whether this call has made it; `false` if an earlier one with its [key](Durable::key) had.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// How it is doing.
    ///
    /// # Errors
    ///
    /// As [`job_status`](crate::job_status()).
    pub async fn status(&self) -> Result<JobStatus, JobError> {
        self.client.status(&self.id).await
    }

    /// Cancels it; as [`cancel_job`](crate::cancel_job()).
    ///
    /// # Errors
    ///
    /// As [`cancel_job`](crate::cancel_job()).
    pub async fn cancel(&self) -> Result<bool, JobError> {
        self.client.cancel(&self.id).await
    }

    /// Waits for its result, for as long as it takes, whichever process runs it.
    ///
    /// A job that runs in this process is noticed at once, one of another process within a second. While the store is out of reach
    /// the wait goes on.
    ///
    /// # Errors
    ///
    /// It has failed or was cancelled, it belongs to another session, or its result is not of this type.
    ///
    /// # Cancel safety
    ///
    /// Safe: the job goes on, and can be waited for again.
    pub async fn wait(&self) -> Result<T, JobError>
    where
        T: DeserializeOwned,
    {
        result(self.client.wait(&self.id).await?)
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("is_new", &self.is_new)
            .field("value", &type_name::<T>())
            .finish_non_exhaustive()
    }
}
