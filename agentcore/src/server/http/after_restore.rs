//! What follows a restore from a snapshot: the restore hooks run, and requests wait for them.
//!
//! Each detected restore causes one run. Requests that would reach user code wait until a run has succeeded. If the run fails,
//! they are refused, and the next request begins another run: user code never works with what a snapshot has cloned. Pings do
//! not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hooks::{Hooks, Limit};
use super::single_flight::{Run, Runner, SingleFlight};
use crate::app::parts::PlatformHook;
use crate::report;
use crate::request::Instance;
use crate::util::BoxFuture;
use crate::util::spawn;

/// How long a restore hook may take without a `timeout` of its own.
const LIMIT: Duration = Duration::from_secs(10);

/// The refusal of a request that has waited for a run that failed. The log has the reason.
pub(crate) const NOT_RESTORED: &str = "The agent has not been restored from its snapshot";

/// The restore hooks, and the gate before user code.
pub(crate) struct AfterRestore(Arc<Shared>);

struct Shared {
    hooks: Hooks,
    /// The number of restores so far.
    restores: AtomicU64,
    /// The number of restores that the hooks have run for. While it is smaller than `restores`, the gate is closed.
    handled: AtomicU64,
    /// Notified when the gate opens.
    opened: Notify,
    /// The runs of the hooks. The result of one says whether it has succeeded; a hook may still have to end then.
    runs: SingleFlight<bool>,
}

impl AfterRestore {
    pub(crate) fn new(hooks: Vec<PlatformHook>, instance: Arc<Instance>, workers: Handle) -> Self {
        Self(Arc::new(Shared {
            hooks: Hooks::new(hooks, "restore hook", instance, workers),
            restores: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            opened: Notify::new(),
            runs: SingleFlight::default(),
        }))
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.0.hooks.is_empty()
    }

    /// Closes the gate and begins a run. Has to be called on the front's runtime.
    pub(crate) fn begin(&self) {
        if !self.has_hooks() {
            return;
        }
        self.0.restores.fetch_add(1, Ordering::AcqRel);
        self.0.join_or_begin();
    }

    /// Waits for the gate, and returns whether user code may run; `None` if it is open. If no run is in progress, one begins. Has
    /// to be called on the front's runtime.
    pub(crate) fn wait(&self) -> Option<BoxFuture<bool>> {
        if self.0.is_open() {
            return None;
        }
        let mut run = self.0.join_or_begin();
        let shared = Arc::clone(&self.0);
        Some(Box::pin(async move {
            while run.result().await == Some(true) {
                if shared.is_open() {
                    return true;
                }
                // Restored again when the run was over.
                run = shared.join_or_begin();
            }
            false
        }))
    }

    /// Completes when the gate is open. Begins no run.
    #[cfg(feature = "durable")]
    pub(crate) fn opened(&self) -> BoxFuture<()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            loop {
                // Made before the check, so that an opening between the two is not missed.
                let opened = shared.opened.notified();
                if shared.is_open() {
                    return;
                }
                opened.await;
            }
        })
    }
}

impl Shared {
    /// Whether requests may reach user code.
    fn is_open(&self) -> bool {
        self.handled.load(Ordering::Acquire) == self.restores.load(Ordering::Acquire)
    }

    fn join_or_begin(self: &Arc<Self>) -> Run<bool> {
        self.runs.join_or_begin(
            |_| false,
            |runner| drop(spawn::boxed(Arc::clone(self).run(runner))),
        )
    }

    async fn run(self: Arc<Self>, runner: Runner<bool>) {
        // A restore during the hooks needs them once more.
        while !self.is_open() {
            let restores = self.restores.load(Ordering::Acquire);
            let began = Instant::now();
            if let Err(failure) = self.hooks.run(Limit::Each(LIMIT)).await {
                return failure.settle(runner, false).await;
            }
            self.handled.store(restores, Ordering::Release);
            let took = began.elapsed().as_secs_f64() * 1e3;
            report::emit(move || tracing::info!("restore hooks ran for {took:.1} ms"));
        }
        self.opened.notify_waiters();
        runner.end(true);
    }
}
