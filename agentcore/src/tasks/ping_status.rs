//! The status that `/ping` reports, read and forced by the program.

use crate::request::with_scope;
use crate::tracker::PingStatus;

/// The status that `/ping` reports, as far as the caller is concerned: asked from inside an invocation it does not
/// count that invocation itself.
///
/// A custom ping handler is not called for this: where its last answer was another one than the automatic status, that answer
/// stands until the handler is asked again, by `GET /ping`, `GET /metrics` or the dev page. The handler itself sees the
/// automatic status.
///
/// ```
/// use agentcore::{PingStatus, current_ping_status, track};
///
/// assert_eq!(current_ping_status(), PingStatus::Healthy);
/// let guard = track("index the archive");
/// assert_eq!(current_ping_status(), PingStatus::HealthyBusy);
/// drop(guard);
/// assert_eq!(current_ping_status(), PingStatus::Healthy);
/// ```
#[must_use]
pub fn current_ping_status() -> PingStatus {
    with_scope(|tracker, scope| {
        let mut view = tracker.status();
        if scope.is_some_and(|scope| scope.is_ping()) {
            view.custom = None;
        }
        if scope.is_some_and(|scope| scope.is_counted()) {
            view.count = view.count.saturating_sub(1);
        }
        view.effective()
    })
}

/// Makes `/ping` report `status` whatever runs, until [`clear_forced_ping_status`].
///
/// The stamp moves if this changes what is reported. [`PingStatus::Healthy`] says: end this session when you like,
/// even in the middle of work. [`PingStatus::HealthyBusy`] keeps it alive, and billed, for up to eight hours.
///
/// ```
/// use agentcore::{PingStatus, clear_forced_ping_status, current_ping_status, force_ping_status};
///
/// force_ping_status(PingStatus::HealthyBusy);
/// assert_eq!(current_ping_status(), PingStatus::HealthyBusy);
/// clear_forced_ping_status();
/// assert_eq!(current_ping_status(), PingStatus::Healthy);
/// ```
pub fn force_ping_status(status: PingStatus) {
    with_scope(|tracker, _| tracker.force(Some(status)));
}

/// Ends what [`force_ping_status`] began; nothing happens if nothing is forced.
///
/// ```
/// agentcore::clear_forced_ping_status();
/// ```
pub fn clear_forced_ping_status() {
    with_scope(|tracker, _| tracker.force(None));
}
