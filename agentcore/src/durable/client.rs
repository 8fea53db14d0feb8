//! [`Client`]: submits jobs to the store, reads their states and cancels them.

mod due;
mod questions;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken as Token;

use super::failure::JobError;
use super::run::CrashPoints;
use super::task::Task;
use crate::config::{DurableSettings, Environment};
use crate::engine::{
    self, About, Engine, EngineError, Headers, JobId, JobState, NewJob, Run, Status, Submitted,
};
use crate::headers;
use crate::metrics::{JobFigures, ShownJobs};
use crate::request::{self, Instance, TrackerHandle};
use crate::tracker::Origin as _;
use crate::util::sync::Mutex;
use due::Due;

/// How long a call of a handler may wait for the store.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The capacity of the channel of ended jobs. A waiting task that has missed some looks into the store.
const ENDED_KEPT: usize = 1024;

/// The header with the session that a job belongs to.
pub(crate) const SESSION: &str = "agentcore.session";
/// The header of a job that callers of every session may ask for.
const ANY_SESSION: &str = "agentcore.any_session";
/// The header with the id of the request that submitted the job.
pub(crate) const REQUEST: &str = "agentcore.request";

/// The state that handlers, jobs and the worker of one app share.
pub(crate) struct Client {
    settings: DurableSettings,
    tasks: Vec<Task>,
    names: Vec<Arc<str>>,
    figures: Vec<JobFigures>,
    /// Made by the first caller, which is never the front.
    engine: OnceLock<Arc<dyn Engine>>,
    about: OnceCell<About>,
    /// Why the store cannot be used although it answers, such as another version of its schema.
    problem: Mutex<Option<String>>,
    /// Ids of jobs that have ended in this process.
    ended: broadcast::Sender<JobId>,
    /// Wakes the worker, which then looks for jobs.
    pub(crate) work: Notify,
    due: Due,
    /// Jobs to hand back. The worker hands many back in one call.
    hand_backs: mpsc::UnboundedSender<HandBack>,
    handed_back: Mutex<Option<mpsc::UnboundedReceiver<HandBack>>>,
    /// Whether a claim may be in progress.
    is_claiming: AtomicBool,
    claimed: Notify,
    /// Whether the agent has been invoked. The storage of a session is mounted from then on.
    is_invoked: AtomicBool,
    /// Whether an invocation has named its session.
    has_session: AtomicBool,
    crash_points: OnceLock<Arc<dyn CrashPoints>>,
    /// How often the process has been restored from a snapshot.
    restores: watch::Sender<u64>,
    /// Cancelled when the app ends, even if jobs still run.
    ended_all: Token,
}

/// A job to hand back, and the channel for the answer.
pub(crate) struct HandBack {
    pub(crate) run: Run,
    pub(crate) answer: oneshot::Sender<Result<(), EngineError>>,
}

impl Client {
    pub(crate) fn new(tasks: Vec<Task>, settings: DurableSettings, tracker: TrackerHandle) -> Self {
        let (hand_backs, handed_back) = mpsc::unbounded_channel();
        Self {
            settings,
            hand_backs,
            handed_back: Mutex::new(Some(handed_back)),
            names: tasks.iter().map(|task| task.name.into()).collect(),
            figures: tasks.iter().map(|_| JobFigures::default()).collect(),
            tasks,
            engine: OnceLock::new(),
            about: OnceCell::new(),
            problem: Mutex::default(),
            ended: broadcast::Sender::new(ENDED_KEPT),
            work: Notify::new(),
            due: Due::new(tracker),
            is_claiming: AtomicBool::new(false),
            claimed: Notify::new(),
            is_invoked: AtomicBool::new(false),
            has_session: AtomicBool::new(false),
            crash_points: OnceLock::new(),
            restores: watch::Sender::new(0),
            ended_all: Token::new(),
        }
    }

    /// The client of the app that the caller works for.
    pub(crate) fn current() -> Result<Arc<Self>, JobError> {
        let client = request::with_scope(|_, scope| Self::of(scope?.instance()));
        client.ok_or_else(JobError::no_agent)
    }

    /// The client of an app, if it has durable tasks.
    pub(crate) fn of(instance: &Instance) -> Option<Arc<Self>> {
        let client = instance.durable.as_ref()?;
        Arc::clone(client).downcast().ok()
    }

    pub(crate) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub(crate) fn settings(&self) -> &DurableSettings {
        &self.settings
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        self.engine.get_or_init(|| {
            let engine = engine::engine(self.settings.store.address());
            engine.unwrap_or_else(|why| Arc::new(engine::Unusable::new(why)))
        })
    }

    /// Whether the store could be used at the last call. It neither waits nor calls the store, so the front may ask.
    pub(crate) fn is_ready(&self) -> bool {
        let is_reachable = |engine: &Arc<dyn Engine>| engine.is_reachable();
        self.engine.get().is_none_or(is_reachable) && self.problem.lock().is_none()
    }

    /// Connects, and makes what the tasks need in the store. Does so once, and again after a failure.
    pub(crate) async fn ready(&self) -> Result<&About, EngineError> {
        let check = || async { self.engine().check(&self.names).await };
        let checked = self.about.get_or_try_init(check).await;
        *self.problem.lock() = match &checked {
            Err(error) if !error.is_temporary() => Some(error.to_string()),
            _ => None,
        };
        checked
    }

    /// Hands a job back, together with others.
    pub(crate) async fn hand_back(&self, run: Run) -> Result<(), EngineError> {
        let (answer, answered) = oneshot::channel();
        let gone = || EngineError::Unreachable("the worker has ended".to_owned());
        if self.hand_backs.send(HandBack { run, answer }).is_err() {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The receiver of jobs to hand back. Only the first call returns it, and the worker makes that.
    pub(crate) fn handed_back(&self) -> Option<mpsc::UnboundedReceiver<HandBack>> {
        self.handed_back.lock().take()
    }

    pub(crate) fn set_claiming(&self, is_claiming: bool) {
        self.is_claiming.store(is_claiming, Ordering::Release);
        self.claimed.notify_waiters();
    }

    /// Completes when no claim is in progress and every claimed job has been started or handed back.
    pub(crate) async fn until_not_claiming(&self) {
        loop {
            let mut claimed = std::pin::pin!(self.claimed.notified());
            claimed.as_mut().enable();
            if !self.is_claiming.load(Ordering::Acquire) {
                return;
            }
            claimed.await;
        }
    }

    /// Notes that the agent is invoked.
    pub(crate) fn note_invoked(&self) {
        if !self.is_invoked.load(Ordering::Acquire) {
            self.is_invoked.store(true, Ordering::Release);
            self.work.notify_one();
        }
    }

    /// Notes that an invocation names its session.
    pub(crate) fn note_session(&self) {
        self.has_session.store(true, Ordering::Release);
    }

    /// Whether a stop leaves only a few seconds, as on Amazon Bedrock AgentCore Runtime.
    pub(crate) fn has_short_stop(&self) -> bool {
        let store = &self.settings.store;
        if store.is_in_memory() {
            return false;
        }
        store.is_of_a_session()
            || self.has_session.load(Ordering::Acquire)
                && Environment::of_process().may_be_of_a_session()
    }

    /// The process has been restored from a snapshot. Waits for nothing, because the front calls it.
    pub(crate) fn note_restored(&self) {
        self.restores.send_modify(|restores| *restores += 1);
    }

    pub(crate) fn restores(&self) -> watch::Receiver<u64> {
        self.restores.subscribe()
    }

    /// Whether the store may be opened. The storage of a session is mounted with the first invocation, and a file that is made
    /// before is elsewhere.
    pub(crate) fn may_open(&self) -> bool {
        !self.settings.store.is_of_a_session() || self.is_invoked.load(Ordering::Acquire)
    }

    /// Stores a job.
    pub(crate) async fn submit(&self, job: NewJob) -> Result<Submitted, JobError> {
        let (is_due, task) = (job.after.is_zero(), Arc::clone(&job.task));
        self.note_invoked();
        let submit = async {
            self.ready().await?;
            self.engine().submit(job).await
        };
        let submitted = within_patience(submit).await?;
        if submitted.created {
            if let Some(figures) = self.figures(&task) {
                figures.submitted();
            }
            if is_due {
                self.submitted();
            }
        }
        Ok(submitted)
    }

    /// Notes that a due job was submitted here.
    fn submitted(&self) {
        if self.due.is_working() {
            // Before the count: a look that sees the count sees the hold.
            self.hold_due();
            self.due.submitted();
            self.work.notify_one();
        }
    }

    /// Makes the agent busy until a look finds no due job, if only this process would run one.
    pub(crate) fn hold_due(&self) {
        if !self.engine().is_shared() {
            self.due.hold();
        }
    }

    /// Whether a due job that waits makes the agent busy. It is no work in progress, and no stop waits for it.
    pub(crate) fn holds_due(&self) -> bool {
        self.due.is_held()
    }

    /// How many due jobs have been submitted here.
    pub(crate) fn submits(&self) -> u64 {
        self.due.submits()
    }

    /// A look for jobs that began after so many `submits` has found nothing. Returns whether nothing has been submitted since.
    pub(crate) fn nothing_is_due(&self, submits: u64) -> bool {
        self.due.nothing_is_due(submits)
    }

    pub(crate) fn set_working(&self, is_working: bool) {
        self.due.set_working(is_working);
    }

    /// Tells those of this process that wait for the job.
    pub(crate) fn tell_ended(&self, id: &JobId) {
        let _ = self.ended.send(id.clone());
    }

    pub(crate) fn crash_points(&self) -> Option<&dyn CrashPoints> {
        self.crash_points.get().map(|points| &**points)
    }

    pub(crate) fn set_crash_points(&self, points: Arc<dyn CrashPoints>) {
        let _ = self.crash_points.set(points);
    }

    /// The counters of a task.
    pub(crate) fn figures(&self, task: &str) -> Option<&JobFigures> {
        let number = self.tasks.iter().position(|known| known.name == task)?;
        Some(&self.figures[number])
    }

    /// All counters, for the page of metrics.
    pub(crate) fn show_figures(&self) -> Vec<ShownJobs> {
        let tasks = self.tasks.iter().zip(&self.figures);
        tasks
            .map(|(task, figures)| figures.show(task.name))
            .collect()
    }

    /// Asks the store for the number of waiting jobs, and notes the answer.
    pub(crate) async fn count_stored(&self) {
        match self.engine().counts(&self.names).await {
            Ok(counts) => {
                for (figures, counts) in self.figures.iter().zip(counts) {
                    figures.stored(Some(counts));
                }
            }
            // An old number would be taken for the current one.
            Err(_) => self.figures.iter().for_each(|figures| figures.stored(None)),
        }
    }

    /// Ends the worker and the attempts that it runs.
    pub(crate) fn end_all(&self) {
        self.ended_all.cancel();
    }

    pub(crate) fn ended_all(&self) -> Token {
        self.ended_all.clone()
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

/// Waits for the answer of the store. After [`PATIENCE`] the error says that the store is out of reach.
async fn within_patience<T>(
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, JobError> {
    let answer = timeout(PATIENCE, call).await.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(EngineError::Unreachable(format!(
            "no answer within {seconds} s"
        )))
    });
    Ok(answer?)
}

/// The headers of a job that the caller submits: session, request id and trace, and no token.
pub(crate) fn headers_here(any_session: bool) -> Headers {
    let mut sent = Headers::new();
    let outbound = request::outbound_headers();
    for name in [headers::TRACEPARENT, headers::TRACESTATE] {
        if let Some(text) = outbound.get(&name).and_then(|value| value.to_str().ok()) {
            sent.insert(name.as_str().to_owned(), text.to_owned());
        }
    }
    if any_session {
        sent.insert(ANY_SESSION.to_owned(), "true".to_owned());
    }
    let Some(scope) = request::current() else {
        return sent;
    };
    if let Some(session) = scope.session_id() {
        sent.insert(SESSION.to_owned(), session.to_owned());
    }
    sent.insert(REQUEST.to_owned(), scope.request_id().to_owned());
    sent
}

/// The result of a job that has ended, or why it has none.
pub(crate) fn result<T: serde_core::de::DeserializeOwned>(state: JobState) -> Result<T, JobError> {
    match state.status {
        Status::Done(value) => value
            .read()
            .map_err(|error| JobError::result(state.id, error.to_string())),
        Status::Cancelled => Err(JobError::cancelled(state.id)),
        _ => {
            let why = super::status::failure_text(state.failure.as_ref());
            Err(JobError::failed(state.id, why))
        }
    }
}
