//! The gate before user code, for the worker of durable jobs. The worker has a thread of its own, and the gate is the front's, so
//! each question is a task of the front.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;

use super::front::Front;
use crate::durable::Gate;
use crate::server::threads::AbortOnDrop;
use crate::util::{BoxFuture, spawn};

/// The gate of one front.
pub(crate) struct JobsGate {
    /// Weak, because the worker has this longer than the front lives.
    front: Weak<Front>,
    runtime: Handle,
}

impl JobsGate {
    /// Has to be called on the front's runtime.
    pub(crate) fn new(front: &Arc<Front>) -> Arc<Self> {
        Arc::new(Self {
            front: Arc::downgrade(front),
            runtime: Handle::current(),
        })
    }

    /// Asks the front, and waits for what it answers. The future does not complete once the front has ended.
    fn on_front<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Front) -> BoxFuture<T> + Send + 'static,
    ) -> BoxFuture<T> {
        let front = self.front.clone();
        let asked = AbortOnDrop(spawn::boxed_on(&self.runtime, async move {
            // Not kept while the answer is awaited, so that the front can end.
            let answer = front.upgrade().map(|front| ask(&front));
            match answer {
                Some(answer) => Some(answer.await),
                None => None,
            }
        }));
        Box::pin(async move {
            match asked.await {
                Ok(Some(answer)) => answer,
                Ok(None) | Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Gate for JobsGate {
    fn notice_restore(&self) -> BoxFuture<()> {
        self.on_front(|front| {
            front.notice_restore();
            Box::pin(std::future::ready(()))
        })
    }

    fn pass(&self) -> BoxFuture<bool> {
        self.on_front(|front| {
            // Without restore hooks, the gate does not check for a restore.
            front.time_of_arrival();
            let open = || Box::pin(std::future::ready(true)) as _;
            front.until_restored().unwrap_or_else(open)
        })
    }

    fn opened(&self) -> BoxFuture<()> {
        self.on_front(|front| front.after_restore.opened())
    }
}
