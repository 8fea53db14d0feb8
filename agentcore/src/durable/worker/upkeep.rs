//! What the worker does beside claiming: it renews leases, listens to the store, removes old records, counts jobs, and hands jobs
//! back at a stop. Each of these runs for as long as the worker.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use super::Worker;
use crate::durable::backoff;
use crate::durable::client::HandBack;
use crate::durable::run::End;
use crate::engine::{Hold, Keep, Notice, Run};

/// The longest time before the end of a lease at which its job is given up.
const MARGIN: Duration = Duration::from_secs(5);

/// The most of the shutdown grace that is kept for handing jobs back.
const HAND_BACK: Duration = Duration::from_secs(1);

/// The most jobs that are handed back in one call.
const MOST_HANDED_BACK: usize = 1000;

/// How often old records are removed.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// How often waiting jobs are counted, if metrics are on.
const COUNT_EVERY: Duration = Duration::from_secs(10);

const KEEP: Keep = Keep {
    done: Duration::from_secs(24 * 3600),
    failed: Duration::from_secs(7 * 24 * 3600),
};

impl Worker {
    /// Until when this process may run a job whose lease was requested at `sent`.
    pub(super) fn until(&self, sent: Instant) -> Instant {
        let lease = self.client.settings().lease;
        sent + lease.saturating_sub(MARGIN.min(lease / 4))
    }

    /// Renews the leases of all jobs. Does not complete.
    pub(super) async fn renew(&self) {
        let lease = self.client.settings().lease;
        let every = lease / 3;
        let mut next = Instant::now() + every;
        loop {
            sleep_until(next).await;
            // A lease from before a snapshot must not be renewed after it.
            self.gate.notice_restore().await;
            self.forget_all_of_a_snapshot();
            let sent = Instant::now();
            let held = self.runs();
            let runs: Vec<Run> = held.iter().map(|held| held.run().clone()).collect();
            next = sent + every;
            if runs.is_empty() {
                continue;
            }
            match self.client.engine().renew(&runs, lease).await {
                Ok(holds) => {
                    for (held, hold) in held.iter().zip(holds) {
                        match hold {
                            Hold::Held => held.extend(self.until(sent)),
                            Hold::Cancelled => held.order(End::Cancelled),
                            Hold::Lost => held.order(End::Lost),
                        }
                    }
                }
                // No job is lost yet: each goes on until its own lease has ended.
                Err(_) => next = Instant::now() + (lease / 20).min(Duration::from_secs(1)),
            }
        }
    }

    /// Listens to the notices of the store. Does not complete.
    pub(super) async fn listen(&self) {
        let mut notices = self.client.engine().notices();
        loop {
            match notices.recv().await {
                Ok(Notice::Cancelled(id)) => {
                    for run in self.runs() {
                        if *run.id() == id {
                            run.order(End::Cancelled);
                        }
                    }
                    self.client.tell_ended(&id);
                }
                Ok(Notice::Due(_) | Notice::Reconnected) | Err(RecvError::Lagged(_)) => {
                    self.client.work.notify_one();
                }
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Removes old records. Does not complete.
    pub(super) async fn clean(&self) {
        loop {
            sleep(backoff::around(CLEAN_EVERY)).await;
            if !self.client.may_open() {
                continue;
            }
            // If it fails, another process or the next round removes them.
            let _ = self.client.engine().clean(self.client.names(), KEEP).await;
        }
    }

    /// Counts waiting jobs, if metrics are on. Does not complete.
    pub(super) async fn count(&self) {
        if self.instance.metrics.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            if self.client.may_open() {
                self.client.count_stored().await;
            }
            sleep(backoff::around(COUNT_EVERY)).await;
        }
    }

    /// Near the end of the grace, orders all attempts that still run to hand their jobs back. Does not complete.
    pub(super) async fn hand_back_in_time(&self) {
        self.instance.stopping.cancelled().await;
        self.client.set_working(false);
        let grace = self.shutdown_grace;
        sleep(grace.saturating_sub(HAND_BACK.min(grace / 4))).await;
        self.order_all(&End::HandBack);
        if let Some(mut handed_back) = self.client.handed_back() {
            let mut batch = Vec::new();
            // Jobs that come while a call is in progress go into the next call.
            while handed_back.recv_many(&mut batch, MOST_HANDED_BACK).await > 0 {
                self.hand_back(std::mem::take(&mut batch)).await;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn hand_back(&self, batch: Vec<HandBack>) {
        let (runs, answers): (Vec<Run>, Vec<_>) =
            batch.into_iter().map(|one| (one.run, one.answer)).unzip();
        let released = self.client.engine().release(&runs, Duration::ZERO).await;
        let released = released.map(drop);
        for answer in answers {
            // Nothing receives the answer if the attempt is over by now.
            let _ = answer.send(released.clone());
        }
    }

    /// Gives up the leases after each restore. Does not complete.
    pub(super) async fn forget(&self) {
        let mut restores = self.client.restores();
        loop {
            self.forget_all_of_a_snapshot();
            if restores.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
