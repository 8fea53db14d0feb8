//! Starting a job that has been claimed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Worker;
use crate::durable::attempt::Attempt;
use crate::durable::client::{REQUEST, SESSION};
use crate::durable::run::{End, JobRun};
use crate::engine::Claim;
use crate::headers;
use crate::otel::Span;
use crate::request::{self, JobAttempt, Scope};
use crate::tasks::TaskGuard;

/// An attempt's place in the table of leases, which the worker renews. Dropping it removes the attempt from the table.
pub(in crate::durable) struct Slot {
    worker: Arc<Worker>,
    number: u64,
    task: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.leases.lock().runs.remove(&self.number);
        let task = &self.worker.tasks[self.task];
        task.running.fetch_sub(1, Ordering::AcqRel);
        self.worker.client.work.notify_one();
    }
}

impl Worker {
    /// Starts a claimed job. `sent` is when the claim was sent. The agent is busy from here.
    pub(super) fn start(self: &Arc<Self>, claim: Claim, sent: Instant) {
        let name = claim.run.id.task();
        let Some(number) = self.tasks.iter().position(|task| &*task.name == name) else {
            return;
        };
        let task = &self.tasks[number];
        let run = Arc::new(JobRun::new(
            Arc::clone(&self.client),
            &claim,
            self.until(sent),
            self.instance.stop_told.clone(),
        ));
        let scope = Scope::of_job(
            Arc::clone(&self.instance),
            task.def.name,
            headers_of(&claim),
            task.at,
            JobAttempt {
                id: run.id().to_string(),
                number: run.attempt,
                session: run.session.clone(),
                run: Arc::clone(&run) as _,
            },
        );
        let tracker = &self.instance.tracker;
        let metadata = json!({ "job": claim.run.id, "attempt": claim.attempt });
        let span = Span::durable_run(
            task.def.name,
            &claim.run.id.to_string(),
            claim.attempt,
            scope.headers(),
        );
        let ticket = span
            .current()
            .within(|| tracker.begin_task(task.def.name.into(), Some(metadata), Some(&scope)));
        let guard = TaskGuard::of(tracker.clone(), ticket);
        task.running.fetch_add(1, Ordering::AcqRel);
        let (slot, older) = {
            let mut leases = self.leases.lock();
            let older = leases
                .runs
                .iter()
                .filter(|(_, older)| older.id() == run.id());
            let older: Vec<_> = older
                .map(|(number, older)| (*number, Arc::clone(older)))
                .collect();
            leases.next += 1;
            let number = leases.next;
            leases.runs.insert(number, Arc::clone(&run));
            (number, older)
        };
        let older: Vec<_> = older
            .into_iter()
            .map(|(number, older)| {
                older.order(End::Lost);
                number
            })
            .collect();
        let slot = Slot {
            worker: Arc::clone(self),
            number: slot,
            task: number,
        };
        let attempt = Attempt {
            task: task.def,
            claim,
            run: Arc::clone(&run),
            scope: Arc::clone(&scope),
            slot,
            span,
            guard,
        };
        // It is never aborted, only ordered to end: an aborted attempt could not hand its job back.
        let worker = Arc::clone(self);
        request::spawn_boxed(&self.workers, scope, async move {
            worker.until_ended(&older, &run).await;
            drop(worker);
            attempt.drive().await;
        });
    }

    /// Waits until earlier attempts of a job that ran here have ended, or the new one is told to end. There are some after a jump of
    /// the clock by which the store goes: it then takes a lease for ended that this process still has.
    async fn until_ended(&self, older: &[u64], new: &JobRun) {
        let run_here = || {
            let leases = self.leases.lock();
            older.iter().any(|number| leases.runs.contains_key(number))
        };
        while run_here() && new.orders().borrow().end.is_none() {
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// How often a new attempt looks whether an earlier one has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The stored headers of the request that submitted the job.
fn headers_of(claim: &Claim) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, header) in [
        (SESSION, headers::SESSION_ID),
        (REQUEST, headers::REQUEST_IDS[0].clone()),
        (headers::TRACEPARENT.as_str(), headers::TRACEPARENT),
        (headers::TRACESTATE.as_str(), headers::TRACESTATE),
    ] {
        let value = claim.headers.get(name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            map.insert(header, value);
        }
    }
    map
}
