//! Whether an attempt makes a call again that the store has not carried out.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::EngineError;

/// The pause before a call is made again.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// The failures of one call. A value that no store takes is refused at once. Any other refusal may be over soon, as that of a lock, of
/// lost rights or of a schema that is being changed, so the call is repeated for the length of a lease. A store that is out of reach
/// is asked for as long as the attempt may run.
pub(super) struct Refusals {
    lease: Duration,
    until: Option<Instant>,
}

impl Refusals {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, until: None }
    }

    /// Waits, and returns that the call should be made again; or returns the error at once.
    pub(super) async fn pause(&mut self, error: EngineError) -> Result<(), EngineError> {
        if is_of_the_value(&error) {
            return Err(error);
        }
        if !error.is_temporary() {
            let now = Instant::now();
            match self.until {
                None => {
                    self.until = Some(now + self.lease);
                    tracing::warn!(target: "agentcore", "a durable job tries again to write to its store: {error}");
                }
                Some(until) if until <= now => return Err(error),
                Some(_) => {}
            }
        }
        sleep(TRY_AGAIN).await;
        Ok(())
    }
}

/// Whether the store cannot keep the value: each further attempt would fail with it as well.
pub(super) fn is_of_the_value(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::TooLarge { .. } | EngineError::NotStorable { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn refused() -> EngineError {
        EngineError::Refused("55P03: a lock is taken".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_tried_again_for_a_lease() {
        let mut refusals = Refusals::new(LEASE);
        let began = Instant::now();
        while refusals.pause(refused()).await.is_ok() {}
        assert_eq!(began.elapsed(), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_out_of_reach_is_asked_without_end() {
        let mut refusals = Refusals::new(LEASE);
        for _ in 0..1000 {
            let error = EngineError::Unreachable("no route".to_owned());
            assert_eq!(refusals.pause(error).await, Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_no_store_takes_is_not_tried_again() {
        let mut refusals = Refusals::new(LEASE);
        let error = EngineError::TooLarge {
            what: "the result of a job",
            bytes: 2,
            limit: 1,
        };
        assert_eq!(refusals.pause(error.clone()).await, Err(error));
    }
}
