//! The worker of a process: it claims jobs, runs them on the caller's runtime, and renews their leases.
//!
//! It has a thread of its own, so that handlers that block all workers keep their leases. Only the code of jobs runs on the
//! workers. In tests it is a task of the test's runtime, whose time may be paused.
//!
//! ```text
//! claim  ── as many as there are free slots ──▶ start ──▶ Attempt::drive, a task of the workers
//! renew  ── all jobs, every third of a lease ──▶ JobRun::extend, or JobRun::order to end
//! listen ── hints of the store ──▶ look at once; cancel
//! stop   ── claims no more; near the end of the grace, orders what still runs to be handed back
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use super::attempt::Attempt;
use super::backoff;
use super::client::{Client, HandBack, REQUEST, SESSION};
use super::gate::Gate;
use super::run::{End, JobRun};
use super::task::Task;
use crate::engine::{Claim, Claimed, EngineError, Hold, Keep, Notice, Run, Wanted};
use crate::headers;
use crate::otel::Span;
use crate::report::stall::At;
use crate::request::{self, Instance, JobAttempt, Scope};
use crate::tasks::TaskGuard;
use crate::util::spawn;
use crate::util::sync::Mutex;

/// How often the store is asked for jobs while some run here, and while none do.
const POLL: Duration = Duration::from_millis(250);
const IDLE_POLL: Duration = Duration::from_millis(800);

/// How long before the end of a lease its job is given up, at most.
const MARGIN: Duration = Duration::from_secs(5);

/// How much of the shutdown grace is left for handing jobs back, at most.
const HAND_BACK: Duration = Duration::from_secs(1);

/// How many jobs are handed back in one call, at most.
const MOST_HANDED_BACK: usize = 1000;

/// The longest pause between two attempts to reach the store.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often records are removed that are older than they are kept.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// How often the jobs that wait are counted, where metrics are on.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// The pauses after a failure of the restore hooks: the first one, and the longest. The agent is busy while they run, and in the
/// long pauses a platform can see that it is idle.
const FIRST_CLOSED: Duration = Duration::from_secs(1);
const LONGEST_CLOSED: Duration = Duration::from_secs(30 * 60);

const KEEP: Keep = Keep {
    done: Duration::from_secs(24 * 3600),
    failed: Duration::from_secs(7 * 24 * 3600),
};

/// Runs jobs.
pub(crate) struct Worker {
    client: Arc<Client>,
    instance: Arc<Instance>,
    workers: Handle,
    tasks: Vec<Worked>,
    /// What runs, and has to be renewed.
    leases: Mutex<Leases>,
    shutdown_grace: Duration,
    gate: Arc<dyn Gate>,
    /// The number of restores after which the leases were given up.
    restores: AtomicU64,
}

/// A task that this process runs.
struct Worked {
    def: Task,
    name: Arc<str>,
    running: AtomicUsize,
    at: At,
}

#[derive(Default)]
struct Leases {
    runs: HashMap<u64, Arc<JobRun>>,
    next: u64,
}

/// Where an attempt is renewed, until this is dropped.
pub(super) struct Slot {
    worker: Arc<Worker>,
    number: u64,
    task: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.leases.lock().runs.remove(&self.number);
        let task = &self.worker.tasks[self.task];
        task.running.fetch_sub(1, Ordering::AcqRel);
        self.worker.client.work.notify_one();
    }
}

/// The worker takes jobs until this is dropped, also by a panic.
struct Working<'a>(&'a Client);

impl<'a> Working<'a> {
    fn begin(client: &'a Client) -> Self {
        client.set_working(true);
        client.set_claiming(true);
        Self(client)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.set_working(false);
        self.0.set_claiming(false);
    }
}

impl Worker {
    /// `None` where there is nothing to run.
    fn new(
        instance: &Arc<Instance>,
        workers: Handle,
        shutdown_grace: Duration,
        gate: Arc<dyn Gate>,
    ) -> Option<Self> {
        let client = Client::of(instance)?;
        let work = &client.settings().work;
        let tasks = client.tasks().iter().zip(client.names());
        let tasks: Vec<_> = tasks
            .filter(|(def, _)| work.has(def.name))
            .map(|(def, name)| Worked {
                def: *def,
                name: Arc::clone(name),
                running: AtomicUsize::new(0),
                at: At::hook(&format!("durable task `{}`", def.name)),
            })
            .collect();
        if tasks.is_empty() {
            return None;
        }
        let restores = *client.restores().borrow();
        Some(Self {
            client,
            instance: Arc::clone(instance),
            workers,
            tasks,
            leases: Mutex::default(),
            shutdown_grace,
            gate,
            restores: AtomicU64::new(restores),
        })
    }

    /// Begins on a thread of its own. Returns at once.
    pub(crate) fn begin(
        instance: &Arc<Instance>,
        workers: &Handle,
        shutdown_grace: Duration,
        gate: Arc<dyn Gate>,
    ) {
        let Some(worker) = Self::new(instance, workers.clone(), shutdown_grace, gate) else {
            return;
        };
        let worker = Arc::new(worker);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(worker.run()),
                Err(error) => {
                    tracing::error!(target: "agentcore", "durable tasks do not run: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("agentcore-durable".to_owned());
        if let Err(error) = thread.spawn(run) {
            crate::report::emit(move || {
                tracing::error!(
                    target: "agentcore",
                    "durable tasks do not run, since a thread cannot be started: {error}"
                );
            });
        }
    }

    /// Begins as a task of the caller's runtime, which runs the jobs too.
    pub(crate) fn begin_here(
        instance: &Arc<Instance>,
        shutdown_grace: Duration,
        gate: Arc<dyn Gate>,
    ) {
        if let Some(worker) = Self::new(instance, Handle::current(), shutdown_grace, gate) {
            spawn::boxed(Arc::new(worker).run());
        }
    }

    /// Until the process has stopped, and all that ran here has ended.
    async fn run(self: Arc<Self>) {
        let _working = Working::begin(&self.client);
        let life = async {
            self.claim().await;
            self.client.set_claiming(false);
            self.until_all_ended().await;
        };
        let ended = self.client.ended_all();
        tokio::select! {
            () = life => {}
            () = self.renew() => {}
            () = self.forget() => {}
            () = self.listen() => {}
            () = self.clean() => {}
            () = self.count() => {}
            () = self.hand_back_in_time() => {}
            () = ended.cancelled() => self.order_all(&End::Lost),
        }
    }

    fn runs(&self) -> Vec<Arc<JobRun>> {
        self.leases.lock().runs.values().cloned().collect()
    }

    fn order_all(&self, end: &End) {
        for run in self.runs() {
            run.order(end.clone());
        }
    }

    /// Claims jobs until the process is told to stop.
    async fn claim(self: &Arc<Self>) {
        let stopping = &self.instance.stopping;
        let mut trouble = Trouble::default();
        while !self.client.may_open() {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.client.work.notified() => {}
            }
        }
        loop {
            let restores = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                restores = self.pass() => restores,
            };
            let pause = match self.look(restores).await {
                Ok(pause) => {
                    trouble.is_over();
                    pause
                }
                Err(error) => trouble.pause(&error),
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = self.client.work.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Waits until jobs may be claimed: after a restore from a snapshot, until the restore hooks have run. Returns the number of
    /// restores for which this is true.
    async fn pass(&self) -> u64 {
        let mut pause = FIRST_CLOSED;
        loop {
            let restores = self.restores_so_far();
            if self.gate.pass().await {
                self.forget_all_of_a_snapshot();
                if self.restores_so_far() == restores {
                    return restores;
                }
                continue;
            }
            tracing::warn!(
                target: "agentcore",
                "durable jobs are not run: the restore hooks have failed; they run again with the next request, or in {}",
                humantime::format_duration(pause)
            );
            tokio::select! {
                () = self.gate.opened() => {}
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_CLOSED),
            }
        }
    }

    fn restores_so_far(&self) -> u64 {
        *self.client.restores().borrow()
    }

    /// Gives up the leases after each restore, for ever.
    async fn forget(&self) {
        let mut restores = self.client.restores();
        loop {
            self.forget_all_of_a_snapshot();
            if restores.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Gives up all leases if the process was restored from a snapshot, because another process may hold the jobs by now. Does it
    /// once for each restore.
    fn forget_all_of_a_snapshot(&self) {
        let restores = self.restores_so_far();
        if self.restores.swap(restores, Ordering::AcqRel) == restores {
            return;
        }
        tracing::info!(
            target: "agentcore",
            "restored from a snapshot: the leases of durable jobs are given up"
        );
        self.order_all(&End::Lost);
        self.client.engine().disconnect();
    }

    /// Claims what there is, and starts it if the process has not been restored again after so many `restores`. Returns how long to
    /// wait before the next look.
    async fn look(self: &Arc<Self>, restores: u64) -> Result<Duration, EngineError> {
        let client = &self.client;
        client.ready().await?;
        let submits = client.submits();
        let running = self.leases.lock().runs.len();
        let free = client.settings().concurrency.saturating_sub(running);
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let most = task
                .def
                .concurrency
                .map_or(usize::MAX, |most| most as usize);
            let free_for_it = most.saturating_sub(task.running.load(Ordering::Acquire));
            if free_for_it > 0 {
                tasks.push((Arc::clone(&task.name), free_for_it.min(free)));
            }
        }
        if free == 0 || tasks.is_empty() {
            // The end of a job wakes the loop.
            return Ok(backoff::around(IDLE_POLL));
        }
        let asks_for_all = tasks.len() == self.tasks.len();
        let wanted = Wanted {
            tasks,
            free,
            lease: client.settings().lease,
        };
        let sent = Instant::now();
        let Claimed { claims, next } = client.engine().claim(&wanted).await?;
        if self.instance.stopping.is_cancelled() {
            self.give_back(claims).await;
            return Ok(Duration::ZERO);
        }
        let found = claims.len();
        if found > 0 {
            self.gate.notice_restore().await;
            if self.restores_so_far() != restores {
                // Perhaps claimed before the snapshot was taken, and so claimed in every process that was restored from it.
                return Ok(Duration::ZERO);
            }
            // There may be more. If no other host would run them, they make this process busy.
            client.hold_due();
            for claim in claims {
                self.start(claim, sent);
            }
            return Ok(Duration::ZERO);
        }
        if asks_for_all && !client.nothing_is_due(submits) {
            return Ok(Duration::ZERO);
        }
        let poll = if running > 0 { POLL } else { IDLE_POLL };
        Ok(backoff::around(poll).min(next.unwrap_or(Duration::MAX)))
    }

    /// Gives back what was claimed while the process was told to stop.
    async fn give_back(&self, claims: Vec<Claim>) {
        let runs: Vec<Run> = claims.into_iter().map(|claim| claim.run).collect();
        if !runs.is_empty() {
            // If it fails, their leases end.
            let _ = self.client.engine().release(&runs, Duration::ZERO).await;
        }
    }

    /// Starts a job that was claimed with a call that was sent then. The process is busy from here.
    fn start(self: &Arc<Self>, claim: Claim, sent: Instant) {
        let name = claim.run.id.task();
        let Some(number) = self.tasks.iter().position(|task| &*task.name == name) else {
            return;
        };
        let task = &self.tasks[number];
        let run = Arc::new(JobRun::new(
            Arc::clone(&self.client),
            &claim,
            self.until(sent),
            self.instance.stop_told.clone(),
        ));
        let scope = Scope::of_job(
            Arc::clone(&self.instance),
            task.def.name,
            headers_of(&claim),
            task.at,
            JobAttempt {
                id: run.id().to_string(),
                number: run.attempt,
                session: run.session.clone(),
                run: Arc::clone(&run) as _,
            },
        );
        let tracker = &self.instance.tracker;
        let metadata = json!({ "job": claim.run.id, "attempt": claim.attempt });
        let span = Span::durable_run(
            task.def.name,
            &claim.run.id.to_string(),
            claim.attempt,
            scope.headers(),
        );
        let ticket = span
            .current()
            .within(|| tracker.begin_task(task.def.name.into(), Some(metadata), Some(&scope)));
        let guard = TaskGuard::of(tracker.clone(), ticket);
        task.running.fetch_add(1, Ordering::AcqRel);
        if claim.since_first_start.is_some() {
            if let Some(figures) = self.client.figures(name) {
                figures.taken_over();
            }
        }
        let slot = {
            let mut leases = self.leases.lock();
            leases.next += 1;
            let number = leases.next;
            leases.runs.insert(number, Arc::clone(&run));
            number
        };
        let slot = Slot {
            worker: Arc::clone(self),
            number: slot,
            task: number,
        };
        let attempt = Attempt {
            task: task.def,
            claim,
            run: Arc::clone(&run),
            scope: Arc::clone(&scope),
            slot,
            span,
            guard,
        };
        // It ends by an order alone: an abort would leave the job to its lease.
        request::spawn_boxed(&self.workers, scope, attempt.drive());
    }

    /// Until when this process runs a job whose lease was asked for then.
    fn until(&self, sent: Instant) -> Instant {
        let lease = self.client.settings().lease;
        sent + lease.saturating_sub(MARGIN.min(lease / 4))
    }

    /// Renews the leases of all jobs, for ever.
    async fn renew(&self) {
        let lease = self.client.settings().lease;
        let every = lease / 3;
        let mut next = Instant::now() + every;
        loop {
            sleep_until(next).await;
            // What was claimed before a snapshot is not renewed after it.
            self.gate.notice_restore().await;
            self.forget_all_of_a_snapshot();
            let sent = Instant::now();
            let held = self.runs();
            let runs: Vec<Run> = held.iter().map(|held| held.run().clone()).collect();
            next = sent + every;
            if runs.is_empty() {
                continue;
            }
            match self.client.engine().renew(&runs, lease).await {
                Ok(holds) => {
                    for (held, hold) in held.iter().zip(holds) {
                        match hold {
                            Hold::Held => held.extend(self.until(sent)),
                            Hold::Cancelled => held.order(End::Cancelled),
                            Hold::Lost => held.order(End::Lost),
                        }
                    }
                }
                // Nothing is lost yet: each job goes on until its own time is over.
                Err(_) => next = Instant::now() + (lease / 20).min(Duration::from_secs(1)),
            }
        }
    }

    /// Hears what the store has to say, for ever.
    async fn listen(&self) {
        let mut notices = self.client.engine().notices();
        loop {
            match notices.recv().await {
                Ok(Notice::Cancelled(id)) => {
                    for run in self.runs() {
                        if *run.id() == id {
                            run.order(End::Cancelled);
                        }
                    }
                    self.client.tell_ended(&id);
                }
                Ok(Notice::Due(_) | Notice::Reconnected) | Err(RecvError::Lagged(_)) => {
                    self.client.work.notify_one();
                }
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Removes old records, for ever.
    async fn clean(&self) {
        loop {
            sleep(backoff::around(CLEAN_EVERY)).await;
            if !self.client.may_open() {
                continue;
            }
            // Another process, or the next time, does what this one cannot.
            let _ = self.client.engine().clean(self.client.names(), KEEP).await;
        }
    }

    /// Counts what waits, for ever, where metrics are on.
    async fn count(&self) {
        if self.instance.metrics.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            if self.client.may_open() {
                self.client.count_stored().await;
            }
            sleep(backoff::around(COUNT_EVERY)).await;
        }
    }

    /// Near the end of the grace, has everything handed back that still runs. Does not complete.
    async fn hand_back_in_time(&self) {
        self.instance.stopping.cancelled().await;
        self.client.set_working(false);
        let grace = self.shutdown_grace;
        sleep(grace.saturating_sub(HAND_BACK.min(grace / 4))).await;
        self.order_all(&End::HandBack);
        if let Some(mut handed_back) = self.client.handed_back() {
            let mut batch = Vec::new();
            // What comes while a call is under way goes into the next one.
            while handed_back.recv_many(&mut batch, MOST_HANDED_BACK).await > 0 {
                self.hand_back(std::mem::take(&mut batch)).await;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn hand_back(&self, batch: Vec<HandBack>) {
        let (runs, answers): (Vec<Run>, Vec<_>) =
            batch.into_iter().map(|one| (one.run, one.answer)).unzip();
        let released = self.client.engine().release(&runs, Duration::ZERO).await;
        let released = released.map(drop);
        for answer in answers {
            // An attempt that is over by now does not wait for it.
            let _ = answer.send(released.clone());
        }
    }

    async fn until_all_ended(&self) {
        while !self.leases.lock().runs.is_empty() {
            self.client.work.notified().await;
        }
    }
}

/// The headers of the request that submitted the job, as far as they were stored.
fn headers_of(claim: &Claim) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, header) in [
        (SESSION, headers::SESSION_ID),
        (REQUEST, headers::REQUEST_IDS[0].clone()),
        (headers::TRACEPARENT.as_str(), headers::TRACEPARENT),
        (headers::TRACESTATE.as_str(), headers::TRACESTATE),
    ] {
        let value = claim.headers.get(name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            map.insert(header, value);
        }
    }
    map
}

/// The store cannot be used, since when, and what was said of it.
#[derive(Default)]
struct Trouble {
    failures: u32,
    said: Option<String>,
}

impl Trouble {
    /// The pause before the next call. Each trouble is said once.
    fn pause(&mut self, error: &EngineError) -> Duration {
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            tracing::warn!(target: "agentcore", "durable jobs are not run: {text}");
            self.said = Some(text);
        }
        self.failures = self.failures.saturating_add(1);
        let pause = POLL * 2_u32.pow(self.failures.min(6) - 1);
        backoff::around(pause.min(LONGEST_PAUSE))
    }

    fn is_over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(target: "agentcore", "durable jobs are run again");
        }
        self.failures = 0;
    }
}
