//! [`Instance`]: the state of one running app, which its requests share.

#[cfg(feature = "durable")]
use std::any::Any;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::Level;

use super::admission::Concurrency;
use super::scope::Scope;
use super::states::States;
use crate::config::UrlPath;
use crate::metrics::{Gauges, Metrics};
use crate::tracker::{BusyTracker, Table};

/// One app while it is served.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) tracker: TrackerHandle,
    pub(crate) concurrency: Arc<Concurrency>,
    /// The invocations and sockets in flight.
    pub(crate) requests: Table<Arc<Scope>>,
    /// The values of the start hooks: complete once the hooks have run, until the server drops them at the end.
    pub(crate) states: States,
    /// Cancelled when the server is told to stop. The front cancels it and so wakes what waits, which is why only tasks of the
    /// library may wait for it.
    pub(crate) stopping: CancellationToken,
    /// Cancelled after `stopping`, and not by the front, because user code waits for it.
    pub(crate) stop_told: CancellationToken,
    /// The path of invocations, for their spans.
    pub(crate) invocations_path: UrlPath,
    /// The path of the Model Context Protocol.
    #[cfg(feature = "mcp")]
    pub(crate) mcp_path: UrlPath,
    /// The maximum number of values and keys that a payload may decode to.
    pub(crate) max_json_nodes: usize,
    /// `None` if metrics are off.
    pub(crate) metrics: Option<Box<Metrics>>,
    /// The level of the line that says how an invocation or a socket has ended. With `None` only failures have a line.
    pub(crate) line_level: Option<Level>,
    /// The client of the store of durable jobs, if the app has durable tasks. The layer above knows its type.
    #[cfg(feature = "durable")]
    pub(crate) durable: Option<Arc<dyn Any + Send + Sync>>,
    /// How many durable jobs have been handed back to their store, because the server stops.
    handed_back: AtomicUsize,
    cut_off: AtomicBool,
    /// Cancelled after `cut_off` is set, for the code that waits for it.
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
            invocations_path: UrlPath::default(),
            #[cfg(feature = "mcp")]
            mcp_path: UrlPath::default(),
            max_json_nodes: usize::MAX,
            metrics: None,
            line_level: None,
            handed_back: AtomicUsize::new(0),
            #[cfg(feature = "durable")]
            durable: None,
            cut_off: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }
    }

    /// Switches metrics on if `wanted`.
    pub(crate) fn with_metrics(mut self, wanted: bool) -> Self {
        self.metrics = wanted.then(|| Box::new(Metrics::new()));
        self
    }

    /// Sets the level of the lines at the end of invocations and sockets.
    pub(crate) fn with_lines(mut self, level: Option<Level>) -> Self {
        self.line_level = level;
        self
    }

    /// Sets the path of invocations.
    pub(crate) fn with_invocations_path(mut self, path: UrlPath) -> Self {
        self.invocations_path = path;
        self
    }

    /// Sets the bound on what payloads decode to.
    pub(crate) fn with_max_json_nodes(mut self, most: usize) -> Self {
        self.max_json_nodes = most;
        self
    }

    /// Cuts off what is in progress: from now on none of it is answered.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
    }

    /// Wakes the code that waits for the cut-off. That may be user code, so this is not for the front.
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

    /// Counts a job that has been handed back.
    #[cfg(feature = "durable")]
    pub(crate) fn note_handed_back(&self) {
        self.handed_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handed_back(&self) -> usize {
        self.handed_back.load(Ordering::Relaxed)
    }
}

/// The tracker that an activity belongs to.
///
/// A process that serves has one status, so its tracker is a static, and costs nothing to refer to. Apps that are tested
/// in-process have their own.
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

/// The readings of the process's own tracker, for telemetry.
pub(crate) const GAUGES: Gauges = Gauges {
    is_busy: || PROCESS.status().effective().is_busy(),
    tasks: || PROCESS.task_names(),
};
