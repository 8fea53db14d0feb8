//! Time limits.

use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A task or a handler took longer than its `timeout`.
///
/// When it leaves the handler as its error, or as a cause of that, the reply is a 504, unless an [`HttpError`] comes first.
///
/// The error type of a function with `#[async_task(timeout = "..")]` has to be `From<TimedOut>`; [`BoxError`] is, and
/// so is `anyhow::Error`.
///
/// ```
/// use agentcore::{BoxError, TimedOut};
///
/// #[agentcore::async_task(timeout = "10ms")]
/// async fn hang() -> Result<(), BoxError> {
///     std::future::pending().await
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let error = hang().await.unwrap_err();
/// assert!(error.is::<TimedOut>());
/// assert_eq!(error.to_string(), "timed out after 10ms");
/// # });
/// ```
///
/// [`BoxError`]: crate::BoxError
/// [`HttpError`]: crate::HttpError
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    limit: Duration,
}

impl TimedOut {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit }
    }

    /// The limit that was exceeded.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "timed out after {}",
            humantime::format_duration(self.limit)
        )
    }
}

impl std::error::Error for TimedOut {}

/// Runs `future`, and drops it when `limit` is over.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| TimedOut { limit })
}
