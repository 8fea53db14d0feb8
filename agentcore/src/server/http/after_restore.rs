//! What follows a restore from a snapshot: the restore hooks run, and requests wait for them.
//!
//! Each detected restore causes one run. Requests that would reach user code wait until a run has succeeded. If the run fails,
//! they are refused, and the next request begins another run: user code never works with what a snapshot has cloned. Pings do
//! not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::hooks::Hooks;
use crate::app::parts::PlatformHook;
use crate::report;
use crate::request::Instance;
use crate::util::BoxFuture;
use crate::util::spawn;
use crate::util::sync::Mutex;

/// How long a restore hook may take without a `timeout` of its own.
const LIMIT: Duration = Duration::from_secs(10);

/// The refusal of a request that has waited for a run that failed. The log has the reason.
pub(crate) const NOT_RESTORED: &str = "The agent has not been restored from its snapshot";

/// The restore hooks, and the gate before user code.
pub(crate) struct AfterRestore(Arc<Shared>);

struct Shared {
    hooks: Hooks,
    /// Whether requests may reach user code.
    is_open: AtomicBool,
    opened: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of restores so far.
    restores: u64,
    /// The run in progress. Its result is there as soon as it is known; after that, a hook may still have to end.
    run: Option<watch::Receiver<Option<bool>>>,
}

impl AfterRestore {
    pub(crate) fn new(hooks: Vec<PlatformHook>, instance: Arc<Instance>, workers: Handle) -> Self {
        Self(Arc::new(Shared {
            hooks: Hooks::new(hooks, "restore hook", instance, workers),
            is_open: AtomicBool::new(true),
            opened: Notify::new(),
            state: Mutex::default(),
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
        let mut state = self.0.state.lock();
        state.restores += 1;
        self.0.is_open.store(false, Ordering::Release);
        self.0.join_or_begin(&mut state);
    }

    /// Waits for the gate, and returns whether user code may run; `None` if it is open. If no run is in progress, one begins. Has
    /// to be called on the front's runtime.
    pub(crate) fn wait(&self) -> Option<BoxFuture<bool>> {
        if self.0.is_open.load(Ordering::Acquire) {
            return None;
        }
        let mut run = self.0.join_or_begin(&mut self.0.state.lock());
        Some(Box::pin(async move {
            let result = run.wait_for(Option::is_some).await;
            result.is_ok_and(|result| *result == Some(true))
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
                if shared.is_open.load(Ordering::Acquire) {
                    return;
                }
                opened.await;
            }
        })
    }
}

impl Shared {
    fn join_or_begin(self: &Arc<Self>, state: &mut State) -> watch::Receiver<Option<bool>> {
        if let Some(run) = &state.run {
            return run.clone();
        }
        let (sender, run) = watch::channel(None);
        spawn::boxed(Arc::clone(self).run(sender));
        state.run.insert(run).clone()
    }

    async fn run(self: Arc<Self>, sender: watch::Sender<Option<bool>>) {
        loop {
            let restores = self.state.lock().restores;
            let began = Instant::now();
            match self.hooks.run(LIMIT, None).await {
                Ok(_) => {
                    let mut state = self.state.lock();
                    // Restored again during the run.
                    if state.restores != restores {
                        continue;
                    }
                    state.run = None;
                    self.is_open.store(true, Ordering::Release);
                    self.opened.notify_waiters();
                }
                Err(failure) => {
                    let next = || self.state.lock().run = None;
                    failure.settle(sender, false, Duration::ZERO, next).await;
                    return;
                }
            }
            let took = began.elapsed().as_secs_f64() * 1e3;
            report::emit(move || tracing::info!("restore hooks ran for {took:.1} ms"));
            sender.send_replace(Some(true));
            return;
        }
    }
}
