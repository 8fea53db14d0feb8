//! What belongs to one running app, and every request below it can reach.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::state::States;
use crate::tasks::TrackerHandle;

/// One app while it is served.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) tracker: TrackerHandle,
    /// There once the start hooks have run.
    pub(crate) states: OnceLock<States>,
    /// Cancelled when the server is told to stop.
    pub(crate) stopping: CancellationToken,
}

impl Instance {
    pub(crate) fn new(tracker: TrackerHandle) -> Self {
        Self {
            tracker,
            states: OnceLock::new(),
            stopping: CancellationToken::new(),
        }
    }
}
