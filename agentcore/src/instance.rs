//! What belongs to one running app, and every request below it can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::concurrency::Concurrency;
use crate::context::Scope;
use crate::state::States;
use crate::tasks::{Table, TrackerHandle};
use crate::telemetry::Metrics;

/// One app while it is served.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) tracker: TrackerHandle,
    pub(crate) concurrency: Arc<Concurrency>,
    /// Invocations and sockets in flight.
    pub(crate) requests: Table<Arc<Scope>>,
    /// There once the start hooks have run.
    pub(crate) states: OnceLock<States>,
    /// Cancelled when the server is told to stop.
    pub(crate) stopping: CancellationToken,
    /// Where they are switched on.
    pub(crate) metrics: Option<Box<Metrics>>,
    cut_off: AtomicBool,
    /// Cancelled at the same moment, for those who wait for it.
    cut: CancellationToken,
}

impl Instance {
    pub(crate) fn new(tracker: TrackerHandle, concurrency: Arc<Concurrency>) -> Self {
        Self {
            tracker,
            concurrency,
            requests: Table::new(),
            states: OnceLock::new(),
            stopping: CancellationToken::new(),
            metrics: None,
            cut_off: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }
    }

    /// The same, counting what happens if it is wanted.
    pub(crate) fn with_metrics(mut self, wanted: bool) -> Self {
        self.metrics = wanted.then(|| Box::new(Metrics::new()));
        self
    }

    /// What is in progress has been named as cut off: from now on none of it is answered, and what can be stopped is.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
        self.cut.cancel();
        self.tracker.abort_all();
    }

    /// Completes when everything has been cut off.
    pub(crate) fn until_cut_off(&self) -> WaitForCancellationFutureOwned {
        self.cut.clone().cancelled_owned()
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }
}
