//! [`JobAttempt`]: the attempt of a durable job that a scope belongs to.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The attempt of a durable job, for log lines and for the code that runs in its scope.
pub(crate) struct JobAttempt {
    /// The job's id.
    pub(crate) id: String,
    /// The number of the attempt, from 1.
    pub(crate) number: u32,
    /// The session of the request that submitted the job.
    pub(crate) session: Option<Box<str>>,
    /// The state of the attempt. The layer above knows its type.
    pub(crate) run: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for JobAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobAttempt")
            .field("id", &self.id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
