//! [`JobRun`]: one attempt of a job, as the code of the job sees it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken as Token;

use super::client::Client;
use super::context::PROGRESS;
use super::refusals::{Refusals, is_of_the_value};
use super::task::RunFailure;
use crate::engine::{Claim, EngineError, Hold, JobId, Json, Run};
use crate::request;
use crate::util::sync::Mutex;

/// The most bytes of all steps of a job. An attempt begins by reading them, and keeps them in memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What an attempt is told by the worker and by its steps.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Until when this process may run it, by the monotonic clock.
    pub(crate) until: Instant,
    /// Why it has to end. The first reason stays.
    pub(crate) end: Option<End>,
}

/// Why an attempt ends before its code has.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// A step cannot be recorded or read.
    Failed(RunFailure),
    Cancelled,
    /// Another process may have the job.
    Lost,
    /// The process stops, and gives the job back.
    HandBack,
    /// A test wants the process to die here.
    Crash,
}

/// The places at which a test lets attempts end as if the process had died.
pub(crate) trait CrashPoints: Send + Sync {
    /// Whether the attempt dies before the code of the step runs, or, with `is_recorded`, after the record of its value.
    fn is_here(&self, step: &str, is_recorded: bool) -> bool;
}

/// One attempt of a job. Its scope has it, so that code below the scope can record steps.
pub(crate) struct JobRun {
    client: Arc<Client>,
    run: Run,
    pub(crate) attempt: u32,
    pub(crate) is_recovery: bool,
    pub(crate) session: Option<Box<str>>,
    pub(crate) key: Option<String>,
    /// The steps that earlier attempts have recorded.
    recorded: Mutex<HashMap<String, Json>>,
    /// The bytes of all recorded steps. The progress is none of them.
    bytes: AtomicUsize,
    /// The numbers that are taken of each step's name.
    names: Mutex<HashMap<String, Vec<bool>>>,
    orders: watch::Sender<Order>,
    /// Cancelled when the code of the attempt has ended. Work that it left behind records nothing from then on.
    closed: Token,
    /// Cancelled when the job is cancelled or lost.
    pub(crate) cancelled: Token,
    /// Cancelled when the process is told to stop.
    pub(crate) stopping: Token,
}

impl JobRun {
    pub(crate) fn new(client: Arc<Client>, claim: &Claim, until: Instant, stopping: Token) -> Self {
        let session = claim.headers.get(super::client::SESSION);
        Self {
            client,
            run: claim.run.clone(),
            attempt: claim.attempt,
            is_recovery: claim.since_first_start.is_some(),
            session: session.map(|session| session.as_str().into()),
            key: claim.key.clone(),
            recorded: Mutex::default(),
            bytes: AtomicUsize::new(0),
            names: Mutex::default(),
            orders: watch::Sender::new(Order { until, end: None }),
            closed: Token::new(),
            cancelled: Token::new(),
            stopping,
        }
    }

    /// The attempt that the caller runs for.
    pub(crate) fn current() -> Option<Arc<Self>> {
        let scope = request::current()?;
        Arc::clone(&scope.job()?.run).downcast().ok()
    }

    pub(crate) fn id(&self) -> &JobId {
        &self.run.id
    }

    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    /// Takes over what earlier attempts have recorded.
    pub(crate) fn recall(&self, steps: impl IntoIterator<Item = (String, Json)>) {
        let mut recorded = self.recorded.lock();
        recorded.extend(steps);
        let bytes = recorded.iter().map(|(name, value)| weight(name, value));
        self.bytes.store(bytes.sum(), Ordering::Relaxed);
    }

    /// What an earlier attempt has recorded under this name.
    pub(crate) fn recorded(&self, name: &str) -> Option<Json> {
        self.recorded.lock().get(name).cloned()
    }

    /// A name for a step: `name`, `name#2` and so on. No other step of this attempt that runs or has succeeded has it.
    pub(crate) fn take_name(self: &Arc<Self>, name: String) -> StepName {
        let mut names = self.names.lock();
        let taken = names.entry(name.clone()).or_default();
        let number = taken.iter().position(|taken| !taken);
        let number = number.unwrap_or_else(|| {
            taken.push(true);
            taken.len() - 1
        });
        taken[number] = true;
        drop(names);
        let text = match number {
            0 => name.clone(),
            _ => format!("{name}#{}", number + 1),
        };
        StepName {
            run: Arc::clone(self),
            name,
            number,
            text,
            is_kept: false,
        }
    }

    /// Stores the value of a step. If the value cannot be stored, the attempt is told to end, and the future does not complete before
    /// its end. After the end nothing is stored.
    pub(crate) async fn record(&self, name: &str, value: Json) {
        let weight = weight(name, &value);
        let bytes = weight + self.bytes.load(Ordering::Relaxed);
        if weight > 0 && bytes > MOST_BYTES && !self.closed.is_cancelled() {
            let error = EngineError::TooLarge {
                what: "all that the steps of a job have recorded",
                bytes,
                limit: MOST_BYTES,
            };
            let why = format!("step `{name}` cannot be recorded: {error}");
            return self.fail(RunFailure::new("step", why).permanent()).await;
        }
        let mut refusals = Refusals::new(self.client.settings().lease);
        while !self.closed.is_cancelled() {
            let engine = self.client.engine();
            let error = match engine.record(&self.run, name, value.clone()).await {
                Ok(Hold::Held) => {
                    self.bytes.fetch_add(weight, Ordering::Relaxed);
                    return;
                }
                Ok(Hold::Cancelled) => return self.end(End::Cancelled).await,
                Ok(Hold::Lost) => return self.end(End::Lost).await,
                Err(error) => error,
            };
            if let Err(error) = refusals.pause(error).await {
                let why = format!("step `{name}` cannot be recorded: {error}");
                let mut failure = RunFailure::new("step", why);
                failure.is_permanent = is_of_the_value(&error);
                return self.fail(failure).await;
            }
        }
    }

    /// Ends the attempt as failed. Completes after its end, and so never for the attempt's own code.
    pub(crate) async fn fail(&self, failure: RunFailure) {
        self.end(End::Failed(failure)).await;
    }

    /// Ends the attempt if a test wants its process to die here. Otherwise completes at once.
    pub(crate) async fn crash_point(&self, step: &str, is_recorded: bool) {
        let points = self.client.crash_points();
        if !self.closed.is_cancelled()
            && points.is_some_and(|points| points.is_here(step, is_recorded))
        {
            self.order(End::Crash);
            // What the attempt left behind has died with its process.
            std::future::pending::<()>().await;
        }
    }

    async fn end(&self, end: End) {
        self.order(end);
        self.closed.cancelled().await;
    }

    /// Notes that the code of the attempt has ended. What it left behind, such as spawned tasks, goes on without the job.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Tells the attempt to end.
    pub(crate) fn order(&self, end: End) {
        self.orders.send_if_modified(|order| {
            let is_first = order.end.is_none();
            if is_first {
                order.end = Some(end);
            }
            is_first
        });
    }

    /// Lets the attempt go on until then.
    pub(crate) fn extend(&self, until: Instant) {
        self.orders.send_modify(|order| order.until = until);
    }

    pub(crate) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.subscribe()
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

/// The bytes of a step. A progress has none: each one replaces the last.
fn weight(name: &str, value: &Json) -> usize {
    if name == PROGRESS {
        return 0;
    }
    name.len() + value.text().len()
}

impl fmt::Debug for JobRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRun")
            .field("id", self.id())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The name of a step. If it is dropped without [`keep`](Self::keep), as after an error, the name is free again.
pub(crate) struct StepName {
    run: Arc<JobRun>,
    name: String,
    number: usize,
    text: String,
    is_kept: bool,
}

impl StepName {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Keeps the name for this step, which has succeeded.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for StepName {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Some(taken) = self.run.names.lock().get_mut(&self.name) {
            taken[self.number] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{DurableSettings, Store, Work};
    use crate::engine::{NewJob, Wanted};
    use crate::request::TrackerHandle;

    const LEASE: Duration = Duration::from_secs(30);

    /// An attempt of a job in memory.
    async fn attempt() -> JobRun {
        let settings = DurableSettings {
            store: Store::memory(),
            work: Work::All,
            lease: LEASE,
            concurrency: 1,
        };
        let client = Client::new(Vec::new(), settings, TrackerHandle::Process);
        let job = NewJob {
            task: "task".into(),
            input: Json::of(&(), "the input").unwrap(),
            key: None,
            after: Duration::ZERO,
            max_attempts: 3,
            headers: Default::default(),
        };
        client.engine().submit(job).await.unwrap();
        let wanted = Wanted {
            tasks: vec![("task".into(), 1)],
            free: 1,
            lease: LEASE,
        };
        let claimed = client.engine().claim(&wanted).await.unwrap();
        let claim = &claimed.claims[0];
        JobRun::new(
            Arc::new(client),
            claim,
            Instant::now() + LEASE,
            Token::new(),
        )
    }

    async fn completes(call: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(LEASE, call).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn all_steps_together_have_a_limit() {
        let run = attempt().await;
        let value = |bytes: usize| Json::of(&"x".repeat(bytes), "a value").unwrap();
        run.recall([("earlier".to_owned(), value(MOST_BYTES - 2000))]);
        assert!(completes(run.record("one", value(1000))).await);
        let is_shown = completes(run.record(PROGRESS, value(1000))).await;
        assert!(is_shown, "each progress replaces the last");
        assert!(!completes(run.record("other", value(1000))).await);
        let Some(End::Failed(failure)) = run.orders().borrow().end.clone() else {
            panic!("it goes on");
        };
        assert!(failure.is_permanent);
        assert!(
            failure.message.contains("at most 67108864"),
            "{}",
            failure.message
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlives_the_attempt_does_not_wait_for_it() {
        let run = attempt().await;
        let gone = Json::of(&1, "a value").unwrap();
        run.order(End::Lost);
        let fail = run.fail(RunFailure::new("step", "it does not fit"));
        let mut fail = std::pin::pin!(fail);
        assert!(!completes(fail.as_mut()).await, "the code has not ended");
        run.close();
        assert!(completes(fail).await);
        assert!(completes(run.record("late", gone)).await);
        let steps = run.client.engine().steps(run.id()).await.unwrap();
        assert!(steps.is_empty(), "{steps:?}");
    }
}
