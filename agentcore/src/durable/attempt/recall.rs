//! What an attempt reads before its code begins.

use super::{Attempt, Ended};
use crate::durable::task::RunFailure;
use crate::engine::Failure;

impl Attempt {
    /// Reads the steps that earlier attempts have recorded, and counts a takeover if the last one lost its lease.
    pub(super) async fn recall(&self) -> Result<(), Ended> {
        let engine = self.run.client().engine();
        let mut refusals = self.refusals();
        loop {
            let steps = tokio::select! {
                biased;
                end = self.told() => return Err(Ended::Told(end)),
                steps = engine.steps(self.run.id()) => steps,
            };
            let error = match steps {
                Ok(steps) => {
                    let steps = steps.into_iter().map(|step| (step.name, step.value));
                    self.run.recall(steps);
                    break;
                }
                Err(error) => error,
            };
            if let Err(error) = refusals.pause(error).await {
                let why = format!("its steps cannot be read: {error}");
                return Err(Ended::Failed(RunFailure::new("steps", why)));
            }
        }
        // Without an answer it is not counted.
        let state = tokio::select! {
            biased;
            end = self.told() => return Err(Ended::Told(end)),
            state = engine.state(self.run.id()) => state.ok().flatten(),
        };
        let failure = state.and_then(|state| state.failure);
        if failure.is_some_and(|failure| failure.name == Failure::LEASE_ENDED) {
            if let Some(figures) = self.run.client().figures(self.task.name) {
                figures.taken_over();
            }
            let name = self.task.name;
            tracing::info!(
                target: "agentcore",
                "durable task `{name}` was taken over: the process of the attempt before has lost its lease"
            );
        }
        Ok(())
    }
}
