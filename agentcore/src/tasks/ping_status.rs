//! The status that `/ping` reports, read and forced by the program.

use crate::request::with_scope;
use crate::tracker::PingStatus;

/// The status that `/ping` reports, from the caller's point of view: inside an invocation, that invocation itself does not
/// count.
///
/// This does not call a custom ping handler. If its last answer differed from the automatic status, that answer applies until
/// the handler is called again, by `GET /ping`, `GET /metrics` or the dev page. The handler itself sees the automatic status.
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

/// Makes `/ping` report `status`, whatever is running, until [`clear_forced_ping_status`] is called.
///
/// The stamp changes if the reported status changes. [`PingStatus::Healthy`] lets the platform end the session at any time,
/// even in the middle of work. [`PingStatus::HealthyBusy`] keeps it alive, and billed, to the end of its
/// lifetime: eight hours by default on Amazon Bedrock AgentCore Runtime.
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

/// Ends the effect of [`force_ping_status`]. Does nothing if no status is forced.
///
/// ```
/// agentcore::clear_forced_ping_status();
/// ```
pub fn clear_forced_ping_status() {
    with_scope(|tracker, _| tracker.force(None));
}
