//! The rules of attempts: failures, leases, releases and steps.

use std::time::Duration;

use super::super::world::{LEASE, World, done, failure, json};
use crate::engine::{Failure, Hold, Outcome, Status};

const SECOND: Duration = Duration::from_secs(1);

pub(in crate::engine::tests) async fn a_failure_uses_up_an_attempt_and_waits(w: &mut World) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await;
    let retry = |text: &str| Outcome::Retry {
        failure: failure(text),
        after: 2 * SECOND,
    };
    assert_eq!(w.finish(&first.run, retry("one")).await, Hold::Held);
    let state = w.state(&id).await;
    let due = w.now() + 2 * SECOND;
    assert_eq!((state.status, state.attempt), (Status::Waiting { due }, 2));
    assert_eq!(state.failure, Some(failure("one")));
    assert_eq!(w.next().await, Some(2 * SECOND));
    w.pass(2 * SECOND).await;
    let second = w.claim().await;
    assert_eq!(second.attempt, 2);
    assert_eq!(second.since_first_start, Some(2 * SECOND));
    assert_ne!(second.run, first.run);
    w.finish(&second.run, retry("two")).await;
    w.pass(2 * SECOND).await;
    let third = w.claim().await;
    assert_eq!(third.attempt, 3);
    assert_eq!(w.finish(&third.run, retry("three")).await, Hold::Held);
    let state = w.state(&id).await;
    assert_eq!((state.status, state.attempt), (Status::Failed, 3));
    assert_eq!(state.failure, Some(failure("three")));
    assert_eq!(state.ended, Some(w.now()));
    assert_eq!(w.next().await, None);
}

pub(in crate::engine::tests) async fn a_failure_for_good_leaves_no_attempt(w: &mut World) {
    let id = w.submit(w.job()).await;
    let claim = w.claim().await;
    let hold = w.finish(&claim.run, Outcome::Failed(failure("no"))).await;
    assert_eq!(hold, Hold::Held);
    let state = w.state(&id).await;
    assert_eq!(state.status, Status::Failed);
    assert_eq!((state.attempt, state.max_attempts), (1, 1));
    assert_eq!(
        (state.failure, state.ended),
        (Some(failure("no")), Some(w.now()))
    );
    assert_eq!(w.next().await, None);
}

pub(in crate::engine::tests) async fn a_lease_that_ended_uses_up_an_attempt(w: &mut World) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await;
    assert_eq!(w.next().await, Some(LEASE));
    w.pass(LEASE - SECOND).await;
    assert_eq!(w.next().await, Some(SECOND));
    w.tick().await;
    let second = w.claim().await;
    assert_eq!((second.attempt, &second.run.id), (2, &id));
    assert_eq!(second.since_first_start, Some(LEASE));
    assert_ne!(first.run, second.run);
    let reason = w.state(&id).await.failure.expect("a reason");
    assert_eq!(reason.name, Failure::LEASE_ENDED);
}

pub(in crate::engine::tests) async fn a_poison_job_ends_after_its_attempts(w: &mut World) {
    let id = w.submit(w.job()).await;
    for attempt in 1..=3 {
        assert_eq!(w.claim().await.attempt, attempt);
        w.pass(LEASE).await;
    }
    assert_eq!(w.next().await, None);
    let state = w.state(&id).await;
    assert_eq!((state.status, state.attempt), (Status::Failed, 3));
    assert_eq!(state.failure.expect("a reason").name, Failure::LEASE_ENDED);
    assert_eq!(state.ended, Some(w.now()));
}

pub(in crate::engine::tests) async fn a_renewed_lease_is_not_taken_over(w: &mut World) {
    let id = w.submit(w.job()).await;
    let other = w.submit(w.job()).await;
    let claims = w.claims(2).await;
    let run = &claims.iter().find(|claim| claim.run.id == id).unwrap().run;
    w.pass(LEASE - SECOND).await;
    assert_eq!(w.renew(run).await, Hold::Held);
    w.tick().await;
    assert_eq!(w.claim().await.run.id, other);
    w.pass(LEASE - 2 * SECOND).await;
    assert_eq!(w.next().await, Some(SECOND));
    w.tick().await;
    assert_eq!(w.claim().await.run.id, id);
}

pub(in crate::engine::tests) async fn an_ended_lease_may_be_renewed_until_a_takeover(
    w: &mut World,
) {
    let id = w.submit(w.job()).await;
    let claim = w.claim().await;
    w.pass(2 * LEASE).await;
    assert_eq!(w.renew(&claim.run).await, Hold::Held);
    assert_eq!(w.next().await, Some(LEASE));
    assert_eq!(w.finish(&claim.run, done("late")).await, Hold::Held);
    assert_eq!(w.status(&id).await, Status::Done(json("late")));
}

pub(in crate::engine::tests) async fn every_write_of_a_lost_run_is_refused(w: &mut World) {
    let id = w.submit(w.job()).await;
    let old = w.claim().await.run;
    w.pass(LEASE).await;
    let new = w.claim().await.run;
    w.record(&new, "step", "of the new one").await;
    let retry = Outcome::Retry {
        failure: failure("old"),
        after: SECOND,
    };
    assert_eq!(w.renew(&old).await, Hold::Lost);
    assert_eq!(w.record(&old, "step", "of the old one").await, Hold::Lost);
    assert_eq!(w.finish(&old, done("old")).await, Hold::Lost);
    assert_eq!(w.finish(&old, retry).await, Hold::Lost);
    assert_eq!(
        w.finish(&old, Outcome::Failed(failure("old"))).await,
        Hold::Lost
    );
    assert_eq!(w.release(&old, Duration::ZERO).await, Hold::Lost);
    let until = w.now() + LEASE;
    assert_eq!(w.status(&id).await, Status::Running { until });
    let kept = vec![("step".to_owned(), "of the new one".to_owned())];
    assert_eq!(w.steps(&id).await, kept);
    assert_eq!(w.finish(&new, done("new")).await, Hold::Held);
    assert_eq!(w.status(&id).await, Status::Done(json("new")));
    assert_eq!(w.finish(&old, done("old")).await, Hold::Lost);
    assert_eq!(w.renew(&new).await, Hold::Lost, "after its end");
    assert_eq!(w.record(&new, "step", "late").await, Hold::Lost);
    assert_eq!(w.steps(&id).await, kept);
}

pub(in crate::engine::tests) async fn a_released_job_keeps_its_attempt(w: &mut World) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await;
    w.record(&first.run, "step", "value").await;
    w.tick().await;
    assert_eq!(w.release(&first.run, Duration::ZERO).await, Hold::Held);
    assert_eq!(w.status(&id).await, Status::Waiting { due: w.now() });
    let second = w.claim().await;
    assert_eq!(
        (second.attempt, second.since_first_start),
        (1, Some(SECOND))
    );
    assert_eq!(w.steps(&id).await.len(), 1);
    assert_eq!(w.release(&second.run, 5 * SECOND).await, Hold::Held);
    assert_eq!(w.next().await, Some(5 * SECOND));
    w.pass(5 * SECOND).await;
    let third = w.claim().await;
    assert_eq!(third.attempt, 1);
    assert_eq!(w.state(&id).await.failure, None);
    assert_eq!(w.finish(&first.run, done("first")).await, Hold::Lost);
    assert_eq!(w.finish(&third.run, done("third")).await, Hold::Held);
    assert_eq!(w.status(&id).await, Status::Done(json("third")));
}

pub(in crate::engine::tests) async fn a_release_that_is_repeated_does_not_touch_the_next_holder(
    w: &mut World,
) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await.run;
    assert_eq!(w.release(&first, Duration::ZERO).await, Hold::Held);
    let second = w.claim().await.run;
    assert_eq!(first.number, second.number, "the attempt is one");
    assert_eq!(w.release(&first, Duration::ZERO).await, Hold::Lost);
    assert_eq!(w.record(&first, "step", "old").await, Hold::Lost);
    assert_eq!(w.renew(&first).await, Hold::Lost);
    let until = w.now() + LEASE;
    assert_eq!(w.status(&id).await, Status::Running { until });
    assert_eq!(w.renew(&second).await, Hold::Held);
    assert!(w.steps(&id).await.is_empty());
}

pub(in crate::engine::tests) async fn a_finish_that_is_repeated_is_accepted_again(w: &mut World) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await.run;
    let retry = Outcome::Retry {
        failure: failure("one"),
        after: Duration::ZERO,
    };
    assert_eq!(w.finish(&first, retry.clone()).await, Hold::Held);
    assert_eq!(w.finish(&first, retry.clone()).await, Hold::Held);
    assert_eq!(w.state(&id).await.attempt, 2);
    let second = w.claim().await.run;
    assert_eq!(w.finish(&first, retry.clone()).await, Hold::Held);
    assert_eq!(w.finish(&first, done("first")).await, Hold::Lost);
    assert_eq!(w.finish(&second, done("second")).await, Hold::Held);
    assert_eq!(w.finish(&second, done("second")).await, Hold::Held);
    assert_eq!(
        w.finish(&second, retry).await,
        Hold::Lost,
        "it is another end"
    );
    assert_eq!(w.status(&id).await, Status::Done(json("second")));
}

pub(in crate::engine::tests) async fn steps_survive_the_attempt(w: &mut World) {
    let id = w.submit(w.job()).await;
    let first = w.claim().await.run;
    assert_eq!(w.record(&first, "b", "1").await, Hold::Held);
    w.tick().await;
    assert_eq!(w.record(&first, "a", "2").await, Hold::Held);
    w.pass(LEASE).await;
    let second = w.claim().await.run;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(w.steps(&id).await, [pair("b", "1"), pair("a", "2")]);
    assert_eq!(w.record(&second, "b", "3").await, Hold::Held);
    assert_eq!(w.steps(&id).await, [pair("a", "2"), pair("b", "3")]);
    assert_eq!(w.engine.step_names(&id).await.unwrap(), ["a", "b"]);
    assert_eq!(w.engine.step(&id, "a").await, Ok(Some(json("2"))));
    assert_eq!(w.engine.step(&id, "c").await, Ok(None));
    w.finish(&second, done("")).await;
    assert_eq!(w.steps(&id).await.len(), 2, "the dev page shows them");
}
