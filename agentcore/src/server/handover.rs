//! The way from the front to the workers.
//!
//! Requests that arrive together are handed over together: what the front has read during one round of its scheduler waits
//! in a queue of the front's own, and goes over in one piece at the end of the round. The workers are woken once for it,
//! and one of them starts everything from its own thread, where that is cheap; the others take their share from there.

use std::future::poll_fn;
use std::sync::Arc;

use http::Request;
use tokio::runtime::Handle;

use super::batch::Batches;
use crate::agent::Start;
use crate::body::Body;
use crate::boxed;
use crate::context::Activity;
use crate::invoke::{Job, ReplyTo};
use crate::layer::Endpoint;

/// So many requests do not wait for the end of the round: idle workers may as well begin.
const AT_MOST: usize = 32;

/// One request for the workers, and where its reply goes.
pub(super) struct Work {
    pub(super) what: What,
    pub(super) reply: ReplyTo,
}

pub(super) enum What {
    Invocation(Start, Job),
    /// And whether it ends when its client leaves.
    Layered(Endpoint, Box<Request<Body>>, Activity, bool),
}

impl Work {
    fn start(self, workers: &Handle) {
        match self.what {
            What::Invocation(start, job) => start(workers, job, self.reply),
            What::Layered(endpoint, request, activity, stop) => {
                endpoint.start(workers, *request, activity, stop, self.reply);
            }
        }
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Handover {
    /// On the front.
    collected: Batches<Work>,
    /// On their way to the workers.
    sent: Batches<Work>,
}

impl Handover {
    /// Has `front`'s runtime collect, which is the caller's, and `workers` start what has been collected, until
    /// [`close`](Self::close).
    pub(super) fn begin(self: &Arc<Self>, workers: &Handle) {
        boxed::spawn(Arc::clone(self).collect());
        boxed::spawn_on(workers, Arc::clone(self).start(workers.clone()));
    }

    pub(super) fn push(&self, work: Work) {
        if self.collected.push(work) >= AT_MOST {
            self.sent.append(&mut self.collected.take());
        }
    }

    /// Nothing comes any more. What is on its way to the workers is started.
    pub(super) fn close(&self) {
        self.collected.close();
        // The task that would pass the end on is gone when the front's runtime is.
        self.sent.close();
    }

    /// On the front, behind everything that is ready when the first request of a round comes.
    async fn collect(self: Arc<Self>) {
        let mut batch = Vec::new();
        while poll_fn(|cx| self.collected.poll_take(&mut batch, cx)).await {
            self.sent.append(&mut batch);
        }
        self.sent.close();
    }

    /// On the workers.
    async fn start(self: Arc<Self>, workers: Handle) {
        let mut batch = Vec::new();
        while poll_fn(|cx| self.sent.poll_take(&mut batch, cx)).await {
            batch.drain(..).for_each(|work| work.start(&workers));
        }
    }
}
