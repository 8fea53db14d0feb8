//! [`Activity`]: the guard that keeps a request in flight, and the agent busy with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http::HeaderMap;

use super::detach;
use super::instance::Instance;
use super::scope::{Arrival, Scope};

/// Keeps an invocation in flight. It begins when the head has been read. It ends when the reply has been handed to the socket
/// and nothing of the handler runs any more.
#[derive(Debug)]
pub(crate) struct Activity {
    scope: Arc<Scope>,
}

impl Activity {
    pub(crate) fn begin(instance: Arc<Instance>, arrival: Arrival) -> Self {
        instance.tracker.begin_invocation(arrival.counts);
        let scope = Arc::new(Scope::new(instance, arrival));
        scope.flight().holds.store(1, Ordering::Release);
        let ticket = scope.instance.requests.insert(Arc::clone(&scope));
        scope.flight().ticket.get_or_init(|| ticket);
        Self { scope }
    }

    /// A further guard. The caller has counted it in `holds`.
    pub(super) fn held(scope: Arc<Scope>) -> Self {
        Self { scope }
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Completes when the handler may be called: at once, unless another invocation of the session comes first.
    pub(crate) async fn its_turn(&self) {
        std::future::poll_fn(|cx| match self.scope.permit().as_mut() {
            Some(permit) => permit.poll_turn(cx),
            None => Poll::Ready(()),
        })
        .await;
    }

    /// The invocation with `headers`, which a layer has changed.
    pub(crate) fn with_headers(self, mut headers: HeaderMap) -> Self {
        // Detached, because the front may drop the scope.
        detach::headers(&mut headers);
        // Counted before `self` is dropped, so that the count does not reach 0.
        self.scope.flight().holds.fetch_add(1, Ordering::AcqRel);
        Self {
            scope: Arc::new(self.scope.with_headers(headers)),
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let (instance, flight) = (&self.scope.instance, self.scope.flight());
        if flight.holds.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if let Some(ticket) = flight.ticket.get() {
            instance.requests.remove(*ticket);
        }
        drop(self.scope.permit().take());
        flight.observed.end(&self.scope);
        instance.tracker.end_invocation(flight.counts);
    }
}
