//! Running one attempt of a job, from its claim to its end in the store.

mod recall;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::backoff;
use super::refusals::{Refusals, is_of_the_value};
use super::run::{End, JobRun};
use super::task::{DurableRun, Encoded, RunFailure, Task};
use super::worker::Slot;
use crate::engine::{Claim, Failure, Hold, Json, Outcome};
use crate::metrics::Finished;
use crate::otel::Span;
use crate::report::panics::{self, Panic};
use crate::report::{self, Outcome as Finding};
use crate::request::Scope;
use crate::tasks::TaskGuard;
use crate::tracker::{self, TaskEnd};

/// How long the code of a cancelled job may go on.
const GRACE: Duration = Duration::from_secs(5);

/// An attempt that has been claimed.
pub(super) struct Attempt {
    pub(super) task: Task,
    pub(super) claim: Claim,
    pub(super) run: Arc<JobRun>,
    pub(super) scope: Arc<Scope>,
    /// Where the attempt is renewed. Dropped before the guard.
    pub(super) slot: Slot,
    /// The attempt's span. It ends when the outcome is stored.
    pub(super) span: Span,
    pub(super) guard: TaskGuard,
}

/// What the store did with the end of an attempt.
#[derive(Clone, Copy)]
enum Stored {
    /// It was stored as it was, or needs no record.
    AsItWas,
    /// The result cannot be stored, so the job has failed.
    AsFailure,
    /// The job had been cancelled.
    Cancelled,
    /// It was not stored: another attempt may run the job.
    Not,
}

/// How the code of an attempt ended.
enum Ended {
    Done(Json),
    Failed(RunFailure),
    Panicked(Panic),
    /// It took longer than this.
    TimedOut(Duration),
    Told(End),
}

impl Attempt {
    /// Runs it, and stores how it ended.
    pub(super) async fn drive(self) {
        let ended = match self.execute().await {
            Ok(ended) | Err(ended) => ended,
        };
        self.run.close();
        self.settle(ended).await;
        let Self {
            slot, span, guard, ..
        } = self;
        drop((slot, span));
        drop(guard);
    }

    /// Runs the code, and returns how it ended. The error is an end before the code has begun.
    async fn execute(&self) -> Result<Ended, Ended> {
        let spent = self.claim.since_first_start.unwrap_or_default();
        let left = self
            .task
            .deadline
            .map(|deadline| deadline.saturating_sub(spent));
        if let (Some(Duration::ZERO), Some(deadline)) = (left, self.task.deadline) {
            return Err(Ended::Failed(past_deadline(deadline)));
        }
        let max_age = self.guard.tracker().max_age();
        let limit = self.task.timeout.into_iter().chain(max_age).min();
        let is_deadline = left.is_some_and(|left| limit.is_none_or(|limit| left <= limit));
        let most = limit.into_iter().chain(left).min();
        let until = most.map(|most| Instant::now() + most);
        let late = || match (is_deadline, self.task.deadline, limit) {
            (true, Some(deadline), _) => Ended::Failed(past_deadline(deadline)),
            (_, _, limit) => Ended::TimedOut(limit.unwrap_or_default()),
        };
        if self.run.is_recovery {
            tokio::select! {
                biased;
                recalled = self.recall() => recalled?,
                () = until_reached(until) => return Err(late()),
            }
        }
        let arguments = DurableRun::new(
            Arc::clone(&self.run),
            Arc::clone(&self.scope),
            &self.claim.input,
        );
        let arguments = arguments.map_err(Ended::Failed)?;
        let current = self.guard.current().unwrap_or_else(|| self.span.current());
        let body = current.wrap((self.task.run)(arguments));
        let mut body = std::pin::pin!(panics::catch(body));
        let ended = tokio::select! {
            // First the orders: an attempt that was lost while its process stood still must do no more.
            biased;
            end = self.told() => Ended::Told(end),
            () = until_reached(until) => late(),
            returned = body.as_mut() => ended(returned),
        };
        if let Ended::Told(end) = &ended {
            if matches!(end, End::Cancelled | End::Lost) {
                self.run.cancelled.cancel();
                self.scope.cancel();
            }
            if matches!(end, End::Cancelled) {
                // Its result is ignored.
                let _ = timeout_at(Instant::now() + GRACE, body.as_mut()).await;
            }
        }
        body.as_mut().give_up(&self.called());
        Ok(ended)
    }

    /// Completes when the attempt has to end: it is told so, or its time in this process is over.
    async fn told(&self) -> End {
        let mut orders = self.run.orders();
        loop {
            let order = orders.borrow_and_update().clone();
            if let Some(end) = order.end {
                return end;
            }
            tokio::select! {
                biased;
                () = sleep_until(order.until) => {
                    // It may have been renewed while this thread was busy.
                    if orders.borrow().until <= Instant::now() {
                        return End::Lost;
                    }
                }
                changed = orders.changed() => if changed.is_err() {
                    return End::Lost;
                },
            }
        }
    }

    /// Stores how it ended, notes it for the log, counts it, and tells those that wait for the job.
    async fn settle(&self, ended: Ended) {
        let counted = counted(&ended);
        let (finding, finished) = match self.store(ended).await {
            Stored::AsItWas => counted,
            Stored::AsFailure => (Finding::Error, Finished::Failed),
            Stored::Cancelled => (Finding::Cancelled, Finished::Cancelled),
            Stored::Not => (Finding::Cancelled, Finished::Lost),
        };
        self.span.note(finding);
        if let Some(figures) = self.run.client().figures(self.task.name) {
            figures.finished(finished);
        }
    }

    async fn store(&self, ended: Ended) -> Stored {
        let outcome = match ended {
            Ended::Done(result) => Outcome::Done(result),
            Ended::Failed(failure) | Ended::Told(End::Failed(failure)) => self.failed(failure),
            Ended::Panicked(panic) => {
                let message = format!("panicked: {}", panic.message());
                self.guard.note_end(TaskEnd::Panicked);
                self.guard
                    .note_failure(report::Failure::panic(self.called(), panic));
                self.retry("panic", message)
            }
            Ended::TimedOut(limit) => {
                let late = format!("took longer than {}", humantime::format_duration(limit));
                self.guard.note_end(TaskEnd::TimedOut);
                self.guard
                    .note_failure(report::Failure::stopped(self.called(), late.clone()));
                self.retry("timeout", late)
            }
            Ended::Told(End::Cancelled) => {
                self.guard.note_end(TaskEnd::Cancelled);
                self.run.client().tell_ended(self.run.id());
                return Stored::Cancelled;
            }
            Ended::Told(End::Lost) => return self.note_lost(),
            Ended::Told(End::Crash) => {
                self.guard.note_end(TaskEnd::Cancelled);
                return Stored::Not;
            }
            Ended::Told(End::HandBack) => return self.hand_back().await,
        };
        self.finish(outcome).await
    }

    /// Logs the failure of the attempt, and returns its outcome.
    fn failed(&self, failure: RunFailure) -> Outcome {
        let RunFailure {
            name,
            message,
            is_permanent,
        } = failure;
        let outcome = if is_permanent {
            Outcome::Failed(Failure {
                name: name.to_owned(),
                message: message.clone(),
            })
        } else {
            self.retry(name, message.clone())
        };
        let (attempt, most) = (self.claim.attempt, self.claim.max_attempts);
        let next = match &outcome {
            Outcome::Retry { after, .. } if attempt < most => {
                let after =
                    Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                format!(
                    "the next one begins in {}",
                    humantime::format_duration(after)
                )
            }
            _ => "it was the last one".to_owned(),
        };
        let text = format!("{message} (attempt {attempt} of {most}; {next})");
        let failure = tracker::Failure::new(text, false);
        self.guard.note_end(TaskEnd::Failed(failure));
        outcome
    }

    fn retry(&self, name: &str, message: String) -> Outcome {
        Outcome::Retry {
            failure: Failure {
                name: name.to_owned(),
                message,
            },
            after: backoff::after_attempt(self.claim.attempt),
        }
    }

    fn refusals(&self) -> Refusals {
        Refusals::new(self.run.client().settings().lease)
    }

    /// Stores the outcome. Repeats the call while the store is out of reach or refuses it, until the lease of the attempt has ended.
    async fn finish(&self, mut outcome: Outcome) -> Stored {
        let client = self.run.client();
        let engine = client.engine();
        let mut refusals = self.refusals();
        let mut stored = Stored::AsItWas;
        loop {
            let answer = tokio::select! {
                biased;
                () = self.until_over() => return self.note_lost(),
                answer = engine.finish(self.run.run(), outcome.clone()) => answer,
            };
            let error = match answer {
                Ok(Hold::Held) => {
                    client.tell_ended(self.run.id());
                    return stored;
                }
                Ok(Hold::Cancelled) => {
                    self.guard.note_end(TaskEnd::Cancelled);
                    client.tell_ended(self.run.id());
                    return Stored::Cancelled;
                }
                Ok(Hold::Lost) => return self.note_lost(),
                Err(error) => error,
            };
            if is_of_the_value(&error) && matches!(outcome, Outcome::Done(_)) {
                // Another attempt would return this result too, so there is none.
                let failure = RunFailure::new("result", error.to_string());
                outcome = self.failed(failure.permanent());
                stored = Stored::AsFailure;
            } else if let Err(error) = refusals.pause(error).await {
                // It is renewed no more. Another attempt begins when the lease has ended, if there is one left.
                let why = format!("cannot be ended in the store: {error}");
                let failure = report::Failure::stopped(self.called(), why);
                self.guard.note_failure(failure);
                return Stored::Not;
            }
        }
    }

    /// Hands the job back, because the process stops first. The attempt is not counted.
    async fn hand_back(&self) -> Stored {
        let client = self.run.client();
        let mut refusals = self.refusals();
        self.guard.note_end(TaskEnd::Cancelled);
        loop {
            let answer = tokio::select! {
                biased;
                () = self.until_over() => return self.note_lost(),
                answer = client.hand_back(self.run.run().clone()) => answer,
            };
            let Err(error) = answer else {
                self.scope.instance().note_handed_back();
                tracing::info!(
                    target: "agentcore",
                    "{} was handed back: the process stops before it has ended",
                    self.called()
                );
                return Stored::AsItWas;
            };
            if let Err(error) = refusals.pause(error).await {
                let why = format!("cannot be handed back: {error}");
                let failure = report::Failure::stopped(self.called(), why);
                self.guard.note_failure(failure);
                return Stored::Not;
            }
        }
    }

    /// Completes when this process may no longer run the attempt.
    async fn until_over(&self) {
        let mut orders = self.run.orders();
        loop {
            let order = orders.borrow_and_update().clone();
            if matches!(order.end, Some(End::Lost)) {
                return;
            }
            tokio::select! {
                biased;
                () = sleep_until(order.until) => {
                    if orders.borrow().until <= Instant::now() {
                        return;
                    }
                }
                changed = orders.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    fn note_lost(&self) -> Stored {
        self.guard.note_end(TaskEnd::Cancelled);
        let why = "was lost: its lease ended before it was renewed, and another process may run it";
        self.guard
            .note_failure(report::Failure::stopped(self.called(), why));
        Stored::Not
    }

    fn called(&self) -> String {
        format!("durable task `{}`", self.task.name)
    }
}

async fn until_reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// What the span and the metrics say of an end that is stored.
fn counted(ended: &Ended) -> (Finding, Finished) {
    match ended {
        Ended::Done(_) => (Finding::Success, Finished::Completed),
        Ended::Failed(_) | Ended::Told(End::Failed(_)) => (Finding::Error, Finished::Failed),
        Ended::Panicked(_) => (Finding::Panic, Finished::Panicked),
        Ended::TimedOut(_) => (Finding::Timeout, Finished::TimedOut),
        Ended::Told(End::Cancelled) => (Finding::Cancelled, Finished::Cancelled),
        Ended::Told(End::Lost | End::Crash) => (Finding::Cancelled, Finished::Lost),
        Ended::Told(End::HandBack) => (Finding::Cancelled, Finished::HandedBack),
    }
}

fn ended(returned: Result<Result<Encoded, RunFailure>, Panic>) -> Ended {
    match returned {
        Ok(Ok(Encoded(json))) => Ended::Done(json),
        Ok(Err(failure)) => Ended::Failed(failure),
        Err(panic) => Ended::Panicked(panic),
    }
}

fn past_deadline(deadline: Duration) -> RunFailure {
    let deadline = humantime::format_duration(deadline);
    let why = format!("its attempts took longer than {deadline} together, which is its deadline");
    RunFailure::new("deadline", why).permanent()
}
