//! The handover of requests from the front to the workers.
//!
//! Requests that arrive together are handed over together. What the front has read during one round of its scheduler waits
//! in a queue that only the front uses, and goes to the workers as one batch at the end of the round. The workers are woken
//! once for it. One of them starts all requests from its own thread, where that is cheap, and the others steal from it.
//!
//! Both queues are Tokio channels, which hold no lock that a worker and the front share. The collecting task owns the only
//! sender of the second queue. So the starting task ends when the [`Handover`] or the front's runtime is dropped.

use std::sync::Arc;

use http::Request;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::handler::body::Body;
use crate::handler::invoke::{Client, Job, Run, RunIn};
use crate::handler::layer::Endpoint;
use crate::handler::routes::Routed;
use crate::request::{Activity, Scope};
use crate::util::spawn;

/// The most requests in one batch.
const AT_A_TIME: usize = 32;

/// One request for the workers, and the client that waits for its reply.
pub(crate) struct Work {
    pub(crate) what: What,
    pub(crate) client: Client,
}

pub(crate) enum What {
    Invocation(Run, Job),
    /// A request that passes through the layers.
    Layered(Endpoint, Box<Request<Body>>, Activity),
    /// A request for a route, through the layers if there are any.
    Routed(Box<Routed>),
}

impl What {
    /// The scope of the request.
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        match self {
            Self::Invocation(_, job) => job.activity.scope(),
            Self::Layered(_, _, activity) => activity.scope(),
            Self::Routed(routed) => routed.activity.scope(),
        }
    }
}

impl Work {
    fn start(self, workers: &Handle) {
        match self.what {
            What::Invocation(run, job) => {
                run(job, RunIn::Task(workers, self.client));
            }
            What::Layered(endpoint, request, activity) => {
                endpoint.start(workers, *request, activity, self.client);
            }
            What::Routed(routed) => routed.start(workers, self.client),
        }
    }
}

/// See the [module](self).
pub(crate) struct Handover(UnboundedSender<Work>);

/// The receiving end of a [`Handover`], until [`begin`](Self::begin) starts it.
pub(crate) struct Collected(UnboundedReceiver<Work>);

impl Handover {
    pub(crate) fn new() -> (Self, Collected) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Collected(receiver))
    }

    /// Queues `work`, which goes to the workers at the end of the round.
    pub(crate) fn push(&self, work: Work) {
        // Without the collecting task the front is ending. The drop of the reply's sender then cuts the reply off.
        let _ = self.0.send(work);
    }
}

impl Collected {
    /// Starts the collecting task on the caller's runtime, which is the front's, and the starting task on `workers`.
    pub(crate) fn begin(self, workers: &Handle) {
        let (sender, receiver) = unbounded_channel();
        spawn::boxed(self.collect(sender));
        spawn::boxed_on(workers, start(receiver, workers.clone()));
    }

    /// The collecting task, on the front. It runs after everything that was ready when the first request of a round came.
    async fn collect(mut self, workers: UnboundedSender<Vec<Work>>) {
        loop {
            let mut batch = Vec::with_capacity(AT_A_TIME);
            if self.0.recv_many(&mut batch, AT_A_TIME).await == 0 {
                return;
            }
            let _ = workers.send(batch);
        }
    }
}

/// The starting task, on the workers.
async fn start(mut collected: UnboundedReceiver<Vec<Work>>, workers: Handle) {
    while let Some(batch) = collected.recv().await {
        for work in batch {
            work.start(&workers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap()
    }

    /// A program that starts and stops servers would otherwise collect one such task for each.
    #[test]
    fn no_task_is_left_on_the_workers_when_the_front_has_gone() {
        let workers = runtime();
        for runtime_goes_first in [false, true] {
            let front = Builder::new_current_thread().build().unwrap();
            let (handover, collected) = Handover::new();
            front.block_on(async { collected.begin(workers.handle()) });
            assert_eq!(workers.metrics().num_alive_tasks(), 1);
            if runtime_goes_first {
                drop(front);
                drop(handover);
            } else {
                drop(handover);
                front.block_on(tokio::task::yield_now());
            }
            workers.block_on(async {
                let ended = async {
                    while workers.metrics().num_alive_tasks() > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(60), ended)
                    .await
                    .expect("an end in time");
            });
        }
    }
}
