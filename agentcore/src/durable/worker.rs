//! The worker of a process: it claims jobs, runs them on the caller's runtime, and renews their leases.
//!
//! It has a thread of its own, so that handlers that block all workers keep their leases. Only the code of jobs runs on the
//! workers. In tests it is a task of the test's runtime, where time may be paused.
//!
//! ```text
//! claim  ── as many as there are free slots ──▶ start ──▶ Attempt::drive, a task of the workers
//! renew  ── all jobs, every third of a lease ──▶ JobRun::extend, or JobRun::order to end
//! listen ── hints of the store ──▶ look at once; cancel
//! stop   ── claims no more; near the end of the grace, orders what still runs to be handed back
//! ```

mod start;
mod upkeep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::backoff;
use super::client::Client;
use super::gate::Gate;
use super::run::{End, JobRun};
use super::task::Task;
use crate::engine::{Claim, Claimed, EngineError, Run, Wanted};
use crate::platform;
use crate::report::stall::At;
use crate::request::Instance;
use crate::util::spawn;
use crate::util::sync::Mutex;

pub(super) use start::Slot;

/// How often the worker looks for jobs: while some run here, and while none do.
const POLL: Duration = Duration::from_millis(250);
const IDLE_POLL: Duration = Duration::from_millis(800);

/// The longest pause between two attempts to reach the store.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a claim in progress may go on when the process is told to stop.
const LAST_CLAIM: Duration = Duration::from_secs(1);

/// The pauses after a failure of the restore hooks: the first one, and the longest. The agent is busy while they run, and in the
/// long pauses a platform can see that it is idle.
const FIRST_CLOSED: Duration = Duration::from_secs(1);
const LONGEST_CLOSED: Duration = Duration::from_secs(30 * 60);

/// Runs jobs.
pub(crate) struct Worker {
    client: Arc<Client>,
    instance: Arc<Instance>,
    workers: Handle,
    tasks: Vec<Worked>,
    /// The attempts that run here. Their leases are renewed.
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

/// Notes that the worker takes jobs. Its drop, also in a panic, notes the end.
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

    /// Starts the worker on a thread of its own. Returns at once.
    pub(crate) fn begin(
        instance: &Arc<Instance>,
        workers: &Handle,
        shutdown_grace: Duration,
        gate: Arc<dyn Gate>,
    ) {
        let Some(worker) = Self::new(instance, workers.clone(), shutdown_grace, gate) else {
            if let Some(client) = Client::of(instance) {
                workers.spawn(async move {
                    let store = &client.settings().store;
                    tracing::info!(
                        target: "agentcore",
                        "durable jobs are stored in {store}; none of them runs here"
                    );
                    let ended = client.ended_all();
                    ended.run_until_cancelled(upkeep::keep_ready(&client)).await;
                });
            }
            return;
        };
        let worker = Arc::new(worker);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            platform::step_back();
            let store = &worker.client.settings().store;
            tracing::info!(target: "agentcore", "durable jobs are stored in {store}");
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

    /// Starts the worker as a task of the caller's runtime, which runs the jobs too.
    pub(crate) fn begin_here(
        instance: &Arc<Instance>,
        shutdown_grace: Duration,
        gate: Arc<dyn Gate>,
    ) {
        if let Some(worker) = Self::new(instance, Handle::current(), shutdown_grace, gate) {
            spawn::boxed(Arc::new(worker).run());
        }
    }

    /// Runs until the process stops and all attempts have ended.
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
            () = upkeep::keep_ready(&self.client) => {}
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

    /// Claims due jobs, and starts them if the process has not been restored again after so many `restores`. Returns how long to
    /// wait before the next look.
    async fn look(self: &Arc<Self>, restores: u64) -> Result<Duration, EngineError> {
        let client = &self.client;
        let stopping = &self.instance.stopping;
        tokio::select! {
            biased;
            ready = client.ready() => ready?,
            () = stopping.cancelled() => return Ok(Duration::ZERO),
        };
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
        let claimed = tokio::select! {
            biased;
            claimed = client.engine().claim(&wanted) => claimed?,
            // What a claim takes nevertheless goes to another process when the leases end.
            () = async { stopping.cancelled().await; sleep(LAST_CLAIM).await } => return Ok(Duration::ZERO),
        };
        let Claimed { claims, next } = claimed;
        // The store may have been locked for so long that an attempt would be over before it has begun.
        if stopping.is_cancelled() || Instant::now() >= self.until(sent) {
            self.give_back(claims).await;
            return Ok(Duration::ZERO);
        }
        let found = claims.len();
        if found > 0 {
            self.gate.notice_restore().await;
            if self.restores_so_far() != restores {
                // The claim may be from before the snapshot. Then every process that was restored from it has it.
                return Ok(Duration::ZERO);
            }
            // There may be more due jobs. In an embedded store they make this process busy.
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

    /// Hands back jobs that were claimed while the process was told to stop, or too slowly. That uses up no attempt.
    async fn give_back(&self, claims: Vec<Claim>) {
        let runs: Vec<Run> = claims.into_iter().map(|claim| claim.run).collect();
        if !runs.is_empty() {
            // If it fails, another process has them when their leases end.
            let _ = self.client.engine().release(&runs, Duration::ZERO).await;
        }
    }

    async fn until_all_ended(&self) {
        while !self.leases.lock().runs.is_empty() {
            self.client.work.notified().await;
        }
    }
}

/// Trouble with the store: how many calls have failed, and the text that was logged.
#[derive(Default)]
struct Trouble {
    failures: u32,
    said: Option<String>,
}

impl Trouble {
    /// Returns the pause before the next call. Each text is logged once.
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
