//! What the worker does beside claiming: it renews leases, listens to the store, removes old records, counts jobs, and hands jobs
//! back at a stop. Each of these runs for as long as the worker.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use super::Worker;
use crate::durable::backoff;
use crate::durable::client::{Client, HandBack};
use crate::durable::run::End;
use crate::engine::{Hold, Keep, Notice, Run};

/// The longest time before the end of a lease at which its job is given up.
const MARGIN: Duration = Duration::from_secs(5);

/// The most of the shutdown grace that is kept for handing jobs back.
const HAND_BACK: Duration = Duration::from_secs(1);

/// How long jobs may go on at a stop that leaves only a few seconds.
const SHORT_GRACE: Duration = Duration::from_secs(1);

/// The most jobs that are handed back in one call.
const MOST_HANDED_BACK: usize = 1000;

/// How often old records are removed.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// The number of removed jobs from which there may be more old ones, and the pause before they are removed.
const MANY_REMOVED: usize = 1000;
const CLEAN_ON: Duration = Duration::from_millis(200);

/// How often the store is asked whether it can be used again.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How often waiting jobs are counted, if metrics are on.
const COUNT_EVERY: Duration = Duration::from_secs(10);

const KEEP: Keep = Keep {
    done: Duration::from_secs(24 * 3600),
    failed: Duration::from_secs(7 * 24 * 3600),
};

/// While the store cannot be used, asks it again and again. Without that, an agent that runs no jobs would stay unready until
/// a handler uses the store, and no request reaches an agent that is not ready. Does not complete.
pub(super) async fn keep_ready(client: &Client) {
    loop {
        sleep(backoff::around(CHECK_EVERY)).await;
        if !client.may_open() || client.is_ready() {
            continue;
        }
        if client.ready().await.is_ok() && !client.is_ready() {
            let _ = client.engine().check(client.names()).await;
        }
    }
}

impl Worker {
    /// The end of a lease that was requested at `sent`, for this process.
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
            // If it fails, another process or the next round removes them. Short calls with pauses: submits wait behind each.
            let clean = || self.client.engine().clean(self.client.names(), KEEP);
            while clean().await.is_ok_and(|removed| removed >= MANY_REMOVED) {
                sleep(CLEAN_ON).await;
            }
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

    /// Near the end of the grace, orders all attempts that still run to hand their jobs back. Where the platform leaves only a few seconds,
    /// it does so after one. Does not complete.
    pub(super) async fn hand_back_in_time(&self) {
        self.instance.stopping.cancelled().await;
        self.client.set_working(false);
        let grace = self.shutdown_grace;
        let mut running = grace.saturating_sub(HAND_BACK.min(grace / 4));
        if self.client.has_short_stop() {
            running = running.min(SHORT_GRACE);
        }
        sleep(running).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DurableSettings, Store, Work};
    use crate::request::TrackerHandle;

    #[tokio::test]
    async fn an_agent_that_runs_no_jobs_is_ready_again_after_the_store_is_back() {
        let name = format!("agentcore-ready-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let settings = DurableSettings {
            store: Store::file(&folder.join("jobs.db").display().to_string()),
            work: Work::None,
            lease: Duration::from_secs(30),
            concurrency: 1,
        };
        let client = Client::new(Vec::new(), settings, TrackerHandle::Process);
        assert!(client.ready().await.is_err() && !client.is_ready());
        std::fs::create_dir(&folder).unwrap();
        let until_ready = async {
            while !client.is_ready() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // Nothing calls the store but the upkeep.
        let is_ready = tokio::select! {
            () = keep_ready(&client) => false,
            () = sleep(Duration::from_secs(60)) => false,
            () = until_ready => true,
        };
        assert!(is_ready);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
