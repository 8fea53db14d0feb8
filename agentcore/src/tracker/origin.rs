//! [`Origin`]: what a task knows of its request.

use std::fmt;
use std::sync::Arc;

/// The request that a task was started in.
///
/// The tracker is generic over it, so that the tracker does not depend on requests.
pub(crate) trait Origin: fmt::Debug + Send + Sync + Sized + 'static {
    /// The session that the request belongs to.
    fn session_id(&self) -> Option<&str>;

    /// Does `work` as a part of the request: log lines name it.
    fn enter(self: &Arc<Self>, work: impl FnOnce());
}

/// Runs `work` as a part of `origin`, if there is one.
pub(crate) fn enter<O: Origin>(origin: Option<&Arc<O>>, work: impl FnOnce()) {
    match origin {
        Some(origin) => origin.enter(work),
        None => work(),
    }
}

/// In tests of the tracker, tasks belong to no request.
#[cfg(test)]
#[derive(Debug)]
pub(super) enum NoRequest {}

#[cfg(test)]
impl Origin for NoRequest {
    fn session_id(&self) -> Option<&str> {
        match *self {}
    }

    fn enter(self: &Arc<Self>, _: impl FnOnce()) {
        match **self {}
    }
}
