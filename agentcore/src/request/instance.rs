//! What belongs to one running app, and every request below it can reach.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::Level;

use super::admission::Concurrency;
use super::scope::Scope;
use super::states::States;
use crate::metrics::{Gauges, Metrics};
use crate::tracker::{BusyTracker, Table};

/// One app while it is served.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) tracker: TrackerHandle,
    pub(crate) concurrency: Arc<Concurrency>,
    /// Invocations and sockets in flight.
    pub(crate) requests: Table<Arc<Scope>>,
    /// All there once the start hooks have run, until the server drops them at the end.
    pub(crate) states: States,
    /// Cancelled when the server is told to stop. Only tasks of the library's own wait for it: the front cancels it, and wakes
    /// what waits.
    pub(crate) stopping: CancellationToken,
    /// Cancelled behind that, but not by the front: the user's code waits for it.
    pub(crate) stop_told: CancellationToken,
    /// How many values and keys a payload may decode to.
    pub(crate) max_json_nodes: usize,
    /// Where they are switched on.
    pub(crate) metrics: Option<Box<Metrics>>,
    /// Of the line that says how an invocation or a socket has ended; `None` for none, unless it has failed.
    pub(crate) line_level: Option<Level>,
    cut_off: AtomicBool,
    /// Cancelled right behind it, for the code that waits for it.
    cut: CancellationToken,
}

impl Instance {
    pub(crate) fn new(tracker: TrackerHandle, concurrency: Arc<Concurrency>) -> Self {
        Self {
            tracker,
            concurrency,
            requests: Table::new(),
            states: States::default(),
            stopping: CancellationToken::new(),
            stop_told: CancellationToken::new(),
            max_json_nodes: usize::MAX,
            metrics: None,
            line_level: None,
            cut_off: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }
    }

    /// Counts what happens, if that is wanted.
    pub(crate) fn with_metrics(mut self, wanted: bool) -> Self {
        self.metrics = wanted.then(|| Box::new(Metrics::new()));
        self
    }

    /// The instance, with lines of this level at the end of invocations and sockets.
    pub(crate) fn with_lines(mut self, level: Option<Level>) -> Self {
        self.line_level = level;
        self
    }

    /// The instance, with a bound on what payloads decode to.
    pub(crate) fn with_max_json_nodes(mut self, most: usize) -> Self {
        self.max_json_nodes = most;
        self
    }

    /// What is in progress is cut off: from now on none of it is answered.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
    }

    /// Tells the code that waits for it that everything has been cut off. That code may be the user's, so this is not for
    /// the front.
    pub(crate) fn tell_cut_off(&self) {
        self.cut.cancel();
    }

    /// Completes when everything has been cut off.
    pub(crate) fn until_cut_off(&self) -> WaitForCancellationFutureOwned {
        self.cut.clone().cancelled_owned()
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }
}

/// The tracker that an activity belongs to.
///
/// A process that serves has one status, so it is a static and costs nothing to refer to. Apps that are tested
/// in-process bring their own.
#[derive(Clone, Debug, Default)]
pub(crate) enum TrackerHandle {
    #[default]
    Process,
    Own(Arc<BusyTracker<Scope>>),
}

static PROCESS: LazyLock<BusyTracker<Scope>> = LazyLock::new(BusyTracker::new);

impl Deref for TrackerHandle {
    type Target = BusyTracker<Scope>;

    fn deref(&self) -> &BusyTracker<Scope> {
        match self {
            Self::Process => &PROCESS,
            Self::Own(tracker) => tracker,
        }
    }
}

/// What the process's own tracker says, for telemetry.
pub(crate) const GAUGES: Gauges = Gauges {
    is_busy: || PROCESS.status().effective().is_busy(),
    tasks: || PROCESS.task_names(),
};
