//! What callers ask about jobs: their status, their end, and to cancel them.

use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

use super::{ANY_SESSION, Client, SESSION, within_patience};
use crate::durable::context::PROGRESS;
use crate::durable::failure::JobError;
use crate::durable::status::JobStatus;
use crate::engine::{Cancel, Headers, JobId, JobState};
use crate::request;
use crate::tracker::{Origin as _, Owner};

/// The pauses between two looks for a result: the first one, and the longest.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// The state of a job; `None` if there is none that the caller may ask for.
    async fn state(&self, id: &JobId) -> Result<Option<JobState>, JobError> {
        let state = async {
            self.ready().await?;
            self.engine().state(id).await
        };
        let state = within_patience(state).await?;
        let caller = request::current();
        let session = caller.as_deref().and_then(|scope| scope.session_id());
        Ok(state.filter(|state| admits(&state.headers, session)))
    }

    pub(crate) async fn status(&self, id: &JobId) -> Result<JobStatus, JobError> {
        let Some(state) = self.state(id).await? else {
            return Ok(JobStatus::Unknown);
        };
        let progress = if state.started.is_some() && !state.status.is_final() {
            self.progress(id).await?
        } else {
            None
        };
        JobStatus::of(state, progress)
    }

    async fn progress(&self, id: &JobId) -> Result<Option<Value>, JobError> {
        let progress = within_patience(self.engine().step(id, PROGRESS)).await?;
        Ok(progress.and_then(|value| value.read().ok()))
    }

    pub(crate) async fn cancel(&self, id: &JobId) -> Result<bool, JobError> {
        if self.state(id).await?.is_none() {
            return Ok(false);
        }
        let cancelled = within_patience(self.engine().cancel(id)).await?;
        if cancelled == Cancel::Cancelled {
            self.tell_ended(id);
        }
        Ok(cancelled == Cancel::Cancelled)
    }

    /// Waits until a job has ended, in any process. Goes on waiting while the store is out of reach.
    pub(crate) async fn wait(&self, id: &JobId) -> Result<JobState, JobError> {
        let mut ended = self.ended.subscribe();
        let mut pause = FIRST_LOOK;
        loop {
            match self.state(id).await {
                Ok(Some(state)) if state.status.is_final() => return Ok(state),
                Ok(Some(_)) => {}
                Ok(None) => return Err(JobError::unknown(id.clone())),
                Err(error) if error.is_unavailable() => {}
                Err(error) => return Err(error),
            }
            let here = async {
                loop {
                    match ended.recv().await {
                        Ok(other) if other != *id => {}
                        // It is this job, or this one may be among those that were missed.
                        _ => return,
                    }
                }
            };
            tokio::select! {
                () = here => {}
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }
}

/// Whether a caller in this session may ask for a job with these headers.
fn admits(headers: &Headers, session: Option<&str>) -> bool {
    let owner = if headers.contains_key(ANY_SESSION) {
        Owner::Anyone
    } else {
        Owner::Session(headers.get(SESSION).map(|session| session.as_str().into()))
    };
    owner.admits(session)
}
