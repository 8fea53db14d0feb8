//! What every engine does, tried on each.

#[cfg(feature = "durable-postgres")]
mod database;
mod figures;
mod file;
mod model;
#[cfg(feature = "durable-postgres")]
#[path = "../../../tests/not_tested.rs"]
mod not_tested;
#[cfg(feature = "durable-postgres")]
mod outages;
mod rules;
#[cfg(feature = "durable-postgres")]
mod server;
mod world;

use world::World;

/// One test of each rule, for one engine. `$world` is an expression of type `Option<World>`.
macro_rules! rules {
    ($engine:ident, $world:expr; $($rule:ident)*) => {
        mod $engine {
            use super::*;

            $(
                #[tokio::test]
                async fn $rule() {
                    if let Some(mut world) = $world {
                        rules::$rule(&mut world).await;
                    }
                }
            )*
        }
    };
}

/// The list of rules stands once.
macro_rules! all_rules {
    ($engine:ident, $world:expr) => {
        rules! {
            $engine, $world;
            a_job_is_stored_claimed_and_done
            a_key_finds_the_earlier_job
            a_key_with_another_input_is_a_conflict
            what_cannot_be_stored_is_refused
            a_delayed_job_is_not_due_before
            the_oldest_due_job_is_claimed_first
            a_claim_takes_no_more_than_is_wanted
            a_failure_uses_up_an_attempt_and_waits
            a_failure_for_good_leaves_no_attempt
            a_lease_that_ended_uses_up_an_attempt
            a_poison_job_ends_after_its_attempts
            a_renewed_lease_is_not_taken_over
            an_ended_lease_may_be_renewed_until_a_takeover
            every_write_of_a_lost_run_is_refused
            a_released_job_keeps_its_attempt
            a_release_that_is_repeated_does_not_touch_the_next_holder
            a_finish_that_is_repeated_is_accepted_again
            steps_survive_the_attempt
            a_waiting_job_is_cancelled_at_once
            a_running_job_is_cancelled_at_its_next_call
            an_ended_job_cannot_be_cancelled
            jobs_are_counted
            ended_jobs_are_kept_and_then_removed
            jobs_are_listed
            changes_are_noticed
            what_is_asked_about_unknown_jobs
        }
    };
}

all_rules!(memory, Some(World::memory()));
all_rules!(sqlite, Some(World::sqlite()));
#[cfg(feature = "durable-postgres")]
all_rules!(postgres, World::postgres().await);
