//! The state machine of jobs, over a map. The time is an argument of each call.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::super::clock::later;
use super::super::error::EngineError;
use super::super::id::Uuid;
use crate::engine::{
    Cancel, Claim, Claimed, Counts, Failure, Hold, JobId, JobState, Json, Keep, NewJob, Outcome,
    Run, Status, Step, Submitted, Wanted,
};

/// All jobs, by id.
#[derive(Debug, Default)]
pub(super) struct Jobs(BTreeMap<JobId, Job>);

#[derive(Debug)]
struct Job {
    state: JobState,
    input: Json,
    steps: Vec<Step>,
    /// The attempt that waits, runs or was the last.
    run: u128,
    /// The holder of its run.
    holder: Option<Arc<str>>,
    /// How runs ended, so that a `finish` can be repeated.
    ended: Vec<(Run, Option<Failure>)>,
}

impl Job {
    fn hold(&self, run: &Run) -> Hold {
        if self.state.status == Status::Cancelled {
            return Hold::Cancelled;
        }
        if self.run == run.number && self.holder.as_ref() == Some(&run.holder) {
            Hold::Held
        } else {
            Hold::Lost
        }
    }

    /// Notes that the attempt failed, and makes the next one wait unless there is none.
    fn fail(&mut self, failure: Failure, next: SystemTime, now: SystemTime) {
        self.holder = None;
        self.state.failure = Some(failure);
        if self.state.attempt == self.state.max_attempts {
            self.end(Status::Failed, now);
            return;
        }
        self.state.attempt += 1;
        self.run = Uuid::draw(now).0;
        self.state.status = Status::Waiting { due: next };
    }

    fn end(&mut self, status: Status, now: SystemTime) {
        self.holder = None;
        self.state.status = status;
        self.state.ended = Some(now);
    }

    /// When a claim may take it, or take it over.
    fn due(&self) -> Option<SystemTime> {
        match self.state.status {
            Status::Waiting { due } => Some(due),
            Status::Running { until } => Some(until),
            _ => None,
        }
    }
}

impl Jobs {
    fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a Job> {
        self.0
            .values()
            .filter(move |job| job.state.id.task() == task)
    }

    fn of_task_mut<'a>(&'a mut self, task: &'a str) -> impl Iterator<Item = &'a mut Job> {
        self.0
            .values_mut()
            .filter(move |job| job.state.id.task() == task)
    }

    /// The job of a run, and whether the run still has it.
    fn held(&mut self, run: &Run) -> Result<&mut Job, Hold> {
        let job = self.0.get_mut(&run.id).ok_or(Hold::Lost)?;
        match job.hold(run) {
            Hold::Held => Ok(job),
            not => Err(not),
        }
    }

    pub(super) fn submit(
        &mut self,
        job: NewJob,
        now: SystemTime,
    ) -> Result<Submitted, EngineError> {
        if let Some(key) = &job.key {
            let mut others = self.of_task(&job.task);
            if let Some(earlier) = others.find(|other| other.state.key.as_ref() == Some(key)) {
                let id = earlier.state.id.clone();
                if earlier.input.is_the_value_of(job.input.text()) {
                    return Ok(Submitted { id, created: false });
                }
                return Err(EngineError::KeyConflict {
                    key: key.clone(),
                    earlier: id,
                });
            }
        }
        let id = JobId::new(job.task, Uuid::draw(now).0);
        let state = JobState {
            id: id.clone(),
            status: Status::Waiting {
                due: later(now, job.after),
            },
            attempt: 1,
            max_attempts: job.max_attempts,
            key: job.key,
            headers: job.headers,
            submitted: now,
            started: None,
            ended: None,
            failure: None,
        };
        let job = Job {
            state,
            input: job.input,
            steps: Vec::new(),
            run: Uuid::draw(now).0,
            holder: None,
            ended: Vec::new(),
        };
        self.0.insert(id.clone(), job);
        Ok(Submitted { id, created: true })
    }

    pub(super) fn state(&self, id: &JobId) -> Option<JobState> {
        self.0.get(id).map(|job| job.state.clone())
    }

    pub(super) fn list(&self, tasks: &[Arc<str>], most: usize) -> Vec<JobState> {
        let mut found: Vec<_> = tasks.iter().flat_map(|task| self.of_task(task)).collect();
        found.sort_by_key(|job| Reverse(job.state.id.number()));
        found.truncate(most);
        found.into_iter().map(|job| job.state.clone()).collect()
    }

    pub(super) fn cancel(&mut self, id: &JobId, now: SystemTime) -> Cancel {
        match self.0.get_mut(id) {
            None => Cancel::Unknown,
            Some(job) if job.state.status.is_final() => Cancel::Ended,
            Some(job) => {
                job.end(Status::Cancelled, now);
                Cancel::Cancelled
            }
        }
    }

    pub(super) fn claim(&mut self, wanted: &Wanted, holder: &Arc<str>, now: SystemTime) -> Claimed {
        let oldest = |jobs: &Self, task: &str| jobs.of_task(task).filter_map(Job::due).min();
        let mut due: Vec<_> = wanted
            .tasks
            .iter()
            .filter(|(_, most)| *most > 0)
            .filter_map(|(task, most)| Some((oldest(self, task)?, task, *most)))
            .collect();
        due.sort_by_key(|(oldest, ..)| *oldest);
        let mut claimed = Claimed::default();
        for (oldest, task, most) in &due {
            let free = (*most).min(wanted.free - claimed.claims.len());
            if *oldest <= now && free > 0 {
                self.end_leases(task, free, now);
                let until = later(now, wanted.lease);
                claimed
                    .claims
                    .extend(self.take(task, free, holder, until, now));
            }
        }
        if claimed.claims.is_empty() && wanted.free > 0 {
            let next = due
                .iter()
                .filter_map(|(_, task, _)| oldest(self, task))
                .min();
            claimed.next = next.map(|next| next.duration_since(now).unwrap_or_default());
        }
        claimed
    }

    /// Fails the attempts with ended leases, at most `most` of them, the earliest first.
    fn end_leases(&mut self, task: &str, most: usize, now: SystemTime) {
        let until = |job: &Job| match job.state.status {
            Status::Running { until } if until <= now => Some(until),
            _ => None,
        };
        let mut ended: Vec<_> = self
            .of_task_mut(task)
            .filter(|job| until(job).is_some())
            .collect();
        ended.sort_by_key(|job| (until(job), job.run));
        for job in ended.into_iter().take(most) {
            job.fail(lease_ended(), now, now);
        }
    }

    fn take(
        &mut self,
        task: &str,
        most: usize,
        holder: &Arc<str>,
        until: SystemTime,
        now: SystemTime,
    ) -> Vec<Claim> {
        let due = |job: &Job| match job.state.status {
            Status::Waiting { due } if due <= now => Some(due),
            _ => None,
        };
        let mut jobs: Vec<_> = self
            .of_task_mut(task)
            .filter(|job| due(job).is_some())
            .collect();
        jobs.sort_by_key(|job| (due(job), job.run));
        let take = |job: &mut Job| {
            let since = job
                .state
                .started
                .map(|s| now.duration_since(s).unwrap_or_default());
            job.state.started.get_or_insert(now);
            job.state.status = Status::Running { until };
            job.holder = Some(holder.clone());
            Claim {
                run: Run {
                    id: job.state.id.clone(),
                    number: job.run,
                    holder: holder.clone(),
                },
                attempt: job.state.attempt,
                max_attempts: job.state.max_attempts,
                input: job.input.clone(),
                headers: job.state.headers.clone(),
                key: job.state.key.clone(),
                since_first_start: since,
            }
        };
        jobs.into_iter().take(most).map(take).collect()
    }

    pub(super) fn renew(&mut self, run: &Run, until: SystemTime) -> Hold {
        match self.held(run) {
            Ok(job) => {
                job.state.status = Status::Running { until };
                Hold::Held
            }
            Err(not) => not,
        }
    }

    pub(super) fn record(&mut self, run: &Run, name: &str, value: Json) -> Hold {
        match self.held(run) {
            Ok(job) => {
                job.steps.retain(|step| step.name != name);
                job.steps.push(Step {
                    name: name.to_owned(),
                    value,
                });
                Hold::Held
            }
            Err(not) => not,
        }
    }

    pub(super) fn steps(&self, id: &JobId) -> Vec<Step> {
        self.0
            .get(id)
            .map_or_else(Vec::new, |job| job.steps.clone())
    }

    pub(super) fn finish(&mut self, run: &Run, outcome: Outcome, now: SystemTime) -> Hold {
        let failure = match &outcome {
            Outcome::Done(_) => None,
            Outcome::Retry { failure, .. } | Outcome::Failed(failure) => Some(failure.clone()),
        };
        let job = match self.held(run) {
            Ok(job) => job,
            Err(not) => {
                let repeated = (run.clone(), failure);
                let known = self.0.get(&run.id).map(|job| job.ended.contains(&repeated));
                return if known == Some(true) { Hold::Held } else { not };
            }
        };
        job.ended.push((run.clone(), failure));
        match outcome {
            Outcome::Done(value) => job.end(Status::Done(value), now),
            Outcome::Retry { failure, after } => job.fail(failure, later(now, after), now),
            Outcome::Failed(failure) => {
                job.state.max_attempts = job.state.attempt;
                job.fail(failure, now, now);
            }
        }
        Hold::Held
    }

    pub(super) fn release(&mut self, run: &Run, due: SystemTime) -> Hold {
        match self.held(run) {
            Ok(job) => {
                job.holder = None;
                job.state.status = Status::Waiting { due };
                Hold::Held
            }
            Err(not) => not,
        }
    }

    pub(super) fn counts(&self, task: &str, now: SystemTime) -> Counts {
        let mut counts = Counts::default();
        for job in self.of_task(task) {
            match job.state.status {
                Status::Waiting { due } => match now.duration_since(due) {
                    Ok(waits) => {
                        counts.due += 1;
                        counts.oldest = counts.oldest.max(Some(waits));
                    }
                    Err(_) => counts.delayed += 1,
                },
                Status::Running { .. } => counts.running += 1,
                _ => {}
            }
        }
        counts
    }

    pub(super) fn clean(&mut self, task: &str, keep: Keep, now: SystemTime) -> usize {
        let before = self.0.len();
        self.0.retain(|id, job| {
            let keep = match job.state.status {
                Status::Failed => keep.failed,
                _ => keep.done,
            };
            id.task() != task
                || job
                    .state
                    .ended
                    .is_none_or(|ended| later(ended, keep) >= now)
        });
        before - self.0.len()
    }
}

fn lease_ended() -> Failure {
    Failure {
        name: Failure::LEASE_ENDED.to_owned(),
        message: Failure::LEASE_ENDED_MESSAGE.to_owned(),
    }
}
