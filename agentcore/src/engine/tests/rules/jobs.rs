//! The rules of jobs: submissions, claims, cancellations, and what can be asked.

use std::time::Duration;

use super::super::world::{LEASE, World, done, failure, json};
use crate::engine::error::EngineError;
use crate::engine::json::{Json, MOST_BYTES};
use crate::engine::{Cancel, Counts, Hold, JobId, Keep, NewJob, Notice, Outcome, Status, Wanted};

const SECOND: Duration = Duration::from_secs(1);

pub(in crate::engine::tests) async fn a_job_is_stored_claimed_and_done(w: &mut World) {
    let id = w.submit(w.job()).await;
    let submitted = w.now();
    let state = w.state(&id).await;
    assert_eq!(state.id, id);
    assert_eq!(state.status, Status::Waiting { due: w.now() });
    assert_eq!((state.attempt, state.max_attempts), (1, 3));
    assert_eq!(state.headers, w.job().headers);
    assert_eq!(
        (state.submitted, state.started, state.ended),
        (submitted, None, None)
    );

    w.tick().await;
    let started = w.now();
    let claim = w.claim().await;
    assert_eq!(claim.run.id, id);
    assert_eq!((claim.attempt, claim.max_attempts), (1, 3));
    assert_eq!(claim.input.read::<String>().unwrap(), "input");
    assert_eq!(claim.headers, w.job().headers);
    assert_eq!(claim.since_first_start, None);
    assert_eq!(
        w.status(&id).await,
        Status::Running {
            until: w.now() + LEASE
        }
    );

    w.tick().await;
    assert_eq!(w.finish(&claim.run, done("result")).await, Hold::Held);
    let state = w.state(&id).await;
    assert_eq!(state.status, Status::Done(json("result")));
    assert_eq!((state.submitted, state.started), (submitted, Some(started)));
    assert_eq!(state.ended, Some(w.now()));
    assert!(w.claims(10).await.is_empty());
    assert_eq!(w.next().await, None);
}

pub(in crate::engine::tests) async fn a_key_finds_the_earlier_job(w: &mut World) {
    let keyed = NewJob {
        key: Some("k".to_owned()),
        input: Json::of(&serde_json::json!({"a": 1, "b": [2.5, "x"]}), "it").unwrap(),
        ..w.job()
    };
    let id = w.submit(keyed.clone()).await;
    let again = w.engine.submit(keyed.clone()).await.unwrap();
    assert_eq!((again.id, again.created), (id.clone(), false));
    assert_eq!(w.state(&id).await.key.as_deref(), Some("k"));
    assert_eq!(w.claim().await.key.as_deref(), Some("k"));
    // A key belongs to a task.
    let other = NewJob {
        task: w.other.clone(),
        ..keyed.clone()
    };
    assert_ne!(w.submit(other).await, id);
    assert!(w.engine.cancel(&id).await.is_ok());
    let again = w.engine.submit(keyed).await.unwrap();
    assert_eq!((again.id, again.created), (id, false), "after its end");
}

pub(in crate::engine::tests) async fn a_key_with_another_input_is_a_conflict(w: &mut World) {
    let keyed = NewJob {
        key: Some("k".to_owned()),
        ..w.job()
    };
    let id = w.submit(keyed.clone()).await;
    let other = NewJob {
        input: json("other"),
        ..keyed
    };
    assert_eq!(
        w.engine.submit(other).await,
        Err(EngineError::KeyConflict {
            key: "k".to_owned(),
            earlier: id
        })
    );
    assert_eq!(w.claims(10).await.len(), 1);
}

pub(in crate::engine::tests) async fn what_cannot_be_stored_is_refused(w: &mut World) {
    let input = |input: Json| NewJob { input, ..w.job() };
    let large = json(&"x".repeat(MOST_BYTES));
    let refused = w.engine.submit(input(large.clone())).await;
    assert!(
        matches!(refused, Err(EngineError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = w.engine.submit(input(json("a\0b"))).await;
    assert!(
        matches!(refused, Err(EngineError::NotStorable { .. })),
        "{refused:?}"
    );
    let refused = w
        .engine
        .submit(NewJob {
            task: "a b".into(),
            ..w.job()
        })
        .await;
    assert!(
        matches!(refused, Err(EngineError::Refused(_))),
        "{refused:?}"
    );
    let refused = w
        .engine
        .submit(NewJob {
            max_attempts: 0,
            ..w.job()
        })
        .await;
    assert!(
        matches!(refused, Err(EngineError::Refused(_))),
        "{refused:?}"
    );

    let id = w.submit(input(json(&"x".repeat(MOST_BYTES - 2)))).await;
    let claim = w.claim().await;
    let refused = w.engine.record(&claim.run, "step", large.clone()).await;
    assert!(
        matches!(refused, Err(EngineError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = w.engine.record(&claim.run, " ", json("")).await;
    assert!(
        matches!(refused, Err(EngineError::NotStorable { .. })),
        "{refused:?}"
    );
    let refused = w.engine.finish(&claim.run, Outcome::Done(large)).await;
    assert!(
        matches!(refused, Err(EngineError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(w.finish(&claim.run, done("small")).await, Hold::Held);
    assert!(w.steps(&id).await.is_empty());
}

pub(in crate::engine::tests) async fn a_delayed_job_is_not_due_before(w: &mut World) {
    let id = w
        .submit(NewJob {
            after: 5 * SECOND,
            ..w.job()
        })
        .await;
    let (submitted, due) = (w.now(), w.now() + 5 * SECOND);
    assert_eq!(w.next().await, Some(5 * SECOND));
    w.pass(4 * SECOND).await;
    assert_eq!(w.next().await, Some(SECOND));
    let state = w.state(&id).await;
    assert_eq!(
        (state.status, state.submitted),
        (Status::Waiting { due }, submitted)
    );
    w.tick().await;
    let claim = w.claim().await;
    assert_eq!(claim.run.id, id);
    assert_eq!(claim.since_first_start, None);
    assert_eq!(claim.headers, w.job().headers);
}

pub(in crate::engine::tests) async fn the_oldest_due_job_is_claimed_first(w: &mut World) {
    let late = w
        .submit(NewJob {
            after: 9 * SECOND,
            ..w.job()
        })
        .await;
    w.tick().await;
    let other = NewJob {
        task: w.other.clone(),
        ..w.job()
    };
    let other = w.submit(other).await;
    w.tick().await;
    let first = w.submit(w.job()).await;
    w.tick().await;
    let second = w.submit(w.job()).await;
    w.pass(9 * SECOND).await;
    let wanted = Wanted {
        tasks: vec![(w.task.clone(), 9), (w.other.clone(), 9)],
        ..w.wanted(1)
    };
    for id in [other, first, second, late] {
        let claims = w.engine.claim(&wanted).await.unwrap().claims;
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].run.id, id);
    }
}

pub(in crate::engine::tests) async fn a_claim_takes_no_more_than_is_wanted(w: &mut World) {
    for task in [&w.task, &w.other] {
        for _ in 0..4 {
            w.submit(NewJob {
                task: task.clone(),
                ..w.job()
            })
            .await;
        }
        w.tick().await;
    }
    let wanted = |task: usize, other: usize, free: usize| Wanted {
        tasks: vec![(w.task.clone(), task), (w.other.clone(), other)],
        free,
        lease: LEASE,
    };
    let take = async |wanted: Wanted| {
        let claims = w.engine.claim(&wanted).await.unwrap().claims;
        let of = |task| {
            claims
                .iter()
                .filter(|claim| claim.run.id.task() == task)
                .count()
        };
        (of(&*w.task), of(&*w.other))
    };
    assert_eq!(take(wanted(9, 9, 0)).await, (0, 0));
    assert_eq!(take(wanted(1, 2, 9)).await, (1, 2));
    assert_eq!(take(wanted(0, 1, 9)).await, (0, 1));
    assert_eq!(take(wanted(2, 2, 3)).await, (2, 1));
    assert_eq!(take(wanted(9, 9, 9)).await, (1, 0));
    assert_eq!(take(wanted(9, 9, 9)).await, (0, 0));
}

pub(in crate::engine::tests) async fn a_waiting_job_is_cancelled_at_once(w: &mut World) {
    let id = w.submit(w.job()).await;
    let later = w
        .submit(NewJob {
            after: SECOND,
            ..w.job()
        })
        .await;
    w.tick().await;
    for id in [id, later] {
        assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Cancelled));
        let state = w.state(&id).await;
        assert_eq!(
            (state.status, state.ended),
            (Status::Cancelled, Some(w.now()))
        );
        assert_eq!(state.started, None);
    }
    assert_eq!(w.next().await, None);
}

pub(in crate::engine::tests) async fn a_running_job_is_cancelled_at_its_next_call(w: &mut World) {
    let id = w.submit(w.job()).await;
    let run = w.claim().await.run;
    assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Cancelled));
    assert_eq!(w.renew(&run).await, Hold::Cancelled);
    assert_eq!(w.record(&run, "step", "").await, Hold::Cancelled);
    assert_eq!(w.finish(&run, done("")).await, Hold::Cancelled);
    assert_eq!(w.release(&run, Duration::ZERO).await, Hold::Cancelled);
    assert_eq!(w.status(&id).await, Status::Cancelled);
    assert_eq!(w.next().await, None);
    assert!(w.steps(&id).await.is_empty());
}

pub(in crate::engine::tests) async fn an_ended_job_cannot_be_cancelled(w: &mut World) {
    let id = w.submit(w.job()).await;
    let run = w.claim().await.run;
    w.finish(&run, done("result")).await;
    assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Ended));
    assert_eq!(w.status(&id).await, Status::Done(json("result")));
    let id = w.submit(w.job()).await;
    assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Cancelled));
    assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Ended));
}

pub(in crate::engine::tests) async fn jobs_are_counted(w: &mut World) {
    let tasks = [w.task.clone(), w.other.clone()];
    let count = async || w.engine.counts(&tasks).await.unwrap();
    assert_eq!(count().await, [Counts::default(), Counts::default()]);
    w.submit(w.job()).await;
    w.tick().await;
    w.submit(w.job()).await;
    w.tick().await;
    w.submit(w.job()).await;
    w.submit(NewJob {
        after: 60 * SECOND,
        ..w.job()
    })
    .await;
    w.claims(1).await;
    w.tick().await;
    let counts = Counts {
        due: 2,
        delayed: 1,
        running: 1,
        oldest: Some(2 * SECOND),
    };
    assert_eq!(count().await, [counts, Counts::default()]);
}

pub(in crate::engine::tests) async fn ended_jobs_are_kept_and_then_removed(w: &mut World) {
    let keyed = NewJob {
        key: Some("k".to_owned()),
        ..w.job()
    };
    let id = w.submit(keyed.clone()).await;
    let run = w.claim().await.run;
    w.record(&run, "step", "").await;
    w.finish(&run, done("")).await;
    let cancelled = w.submit(w.job()).await;
    w.engine.cancel(&cancelled).await.unwrap();
    let failed = w.submit(w.job()).await;
    let run = w.claim().await.run;
    w.finish(&run, Outcome::Failed(failure("no"))).await;
    let waiting = w.submit(w.job()).await;
    let keep = Keep {
        done: 60 * SECOND,
        failed: 90 * SECOND,
    };
    let tasks = [w.task.clone(), w.other.clone()];
    w.pass(60 * SECOND).await;
    assert_eq!(w.engine.clean(&tasks, keep).await, Ok(0));
    w.tick().await;
    assert_eq!(w.engine.clean(&tasks, keep).await, Ok(2));
    assert_eq!(w.engine.state(&id).await, Ok(None));
    assert_eq!(w.engine.state(&cancelled).await, Ok(None));
    assert!(w.engine.state(&failed).await.unwrap().is_some());
    w.pass(30 * SECOND).await;
    assert_eq!(w.engine.clean(&tasks, keep).await, Ok(1));
    assert_eq!(w.engine.state(&failed).await, Ok(None));
    assert!(w.steps(&id).await.is_empty());
    assert!(w.engine.state(&waiting).await.unwrap().is_some());
    assert_ne!(w.submit(keyed).await, id, "the key is free again");
}

pub(in crate::engine::tests) async fn jobs_are_listed(w: &mut World) {
    let first = w.submit(w.job()).await;
    w.tick().await;
    let other = NewJob {
        task: w.other.clone(),
        ..w.job()
    };
    let second = w.submit(other).await;
    w.tick().await;
    let third = w.submit(w.job()).await;
    let tasks = [w.task.clone(), w.other.clone()];
    let list = async |tasks: &[_], most| {
        let jobs = w.engine.list(tasks, most).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(
        list(&tasks, 9).await,
        [third.clone(), second.clone(), first.clone()]
    );
    assert_eq!(list(&tasks, 2).await, [third.clone(), second]);
    assert_eq!(list(&tasks[..1], 9).await, [third, first]);
    assert!(list(&[], 9).await.is_empty());
}

pub(in crate::engine::tests) async fn changes_are_noticed(w: &mut World) {
    let due = Notice::Due(w.task.clone());
    let id = w.submit(w.job()).await;
    w.noticed(&due).await;
    let run = w.claim().await.run;
    w.release(&run, Duration::ZERO).await;
    w.noticed(&due).await;
    w.engine.cancel(&id).await.unwrap();
    w.noticed(&Notice::Cancelled(id)).await;
}

pub(in crate::engine::tests) async fn what_is_asked_about_unknown_jobs(w: &mut World) {
    let known = w.submit(w.job()).await;
    for id in [
        JobId::new(w.task.clone(), known.number() ^ 1),
        JobId::new("never-heard-of".into(), known.number()),
    ] {
        assert_eq!(w.engine.state(&id).await, Ok(None));
        assert_eq!(w.engine.cancel(&id).await, Ok(Cancel::Unknown));
        assert!(w.steps(&id).await.is_empty());
    }
    let claim = w.claim().await;
    let mut run = claim.run.clone();
    run.id = JobId::new("never-heard-of".into(), known.number());
    assert_eq!(w.renew(&run).await, Hold::Lost);
    assert_eq!(w.finish(&run, done("")).await, Hold::Lost);
    let wanted = Wanted {
        tasks: vec![("never-heard-of".into(), 1)],
        ..w.wanted(1)
    };
    let claimed = w.engine.claim(&wanted).await.unwrap();
    assert!(claimed.claims.is_empty() && claimed.next.is_none());
    assert_eq!(w.renew(&claim.run).await, Hold::Held);
}
