//! [`PingReply`]: what a ping handler may return.

use crate::error::BoxError;
use crate::tracker::PingStatus;
use crate::util::sealed::Seal;

/// What a ping handler may return: a [`PingStatus`], a value that converts into one, or a `Result` of these and any error.
///
/// After an error, a panic or an answer that takes longer than 250 ms, the automatic status is reported. If it differs from the
/// last reported status, `time_of_last_update` changes once, as with every change. The trait is sealed.
///
/// ```
/// use agentcore::{BoxError, PingReply, PingStatus};
///
/// struct Queue(usize);
///
/// impl From<Queue> for PingStatus {
///     fn from(queue: Queue) -> Self {
///         if queue.0 > 0 { Self::HealthyBusy } else { Self::Healthy }
///     }
/// }
///
/// fn check<R: PingReply>(_: R) {}
/// check(PingStatus::Healthy);
/// check(Queue(3));
/// check(Err::<Queue, BoxError>("no answer".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "a ping handler returns `PingStatus` (or a value that converts into it); found `{Self}`",
    label = "not a status",
    note = "it may also return a `Result` of that and any error"
)]
pub trait PingReply {
    /// The status, or the error.
    #[doc(hidden)]
    fn into_status(self, seal: Seal) -> Result<PingStatus, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<T: Into<PingStatus>> PingReply for T {
    fn into_status(self, _: Seal) -> Result<PingStatus, BoxError> {
        Ok(self.into())
    }
}

impl<T: Into<PingStatus>, E: Into<BoxError>> PingReply for Result<T, E> {
    fn into_status(self, _: Seal) -> Result<PingStatus, BoxError> {
        self.map(Into::into).map_err(Into::into)
    }
}
