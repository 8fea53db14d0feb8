//! One sequence of calls, made to every engine: the answers are equal.
//!
//! The engine in memory is the model. Numbers and holders differ between engines, so jobs and runs stand for the place at
//! which they came up.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::world::{LEASE, World, done, failure, json};
use crate::engine::{JobId, Keep, NewJob, Outcome, Run, Status, Wanted};

/// A call. Jobs and runs are given by their places in the lists of the test.
#[derive(Debug, Clone)]
enum Call {
    Pass(u64),
    Submit {
        is_other: bool,
        key: Option<u8>,
        input: u8,
        after: u64,
        max_attempts: u32,
    },
    /// At most one job of each task: among jobs whose leases ended in one claim, the order is open.
    Claim {
        task: usize,
        other: usize,
        free: usize,
    },
    Renew(usize),
    Record(usize, u8, u8),
    Done(usize),
    Retry(usize, u64),
    Fail(usize),
    Release(usize, u64),
    Cancel(usize),
    Clean,
}

fn call() -> impl Strategy<Value = Call> {
    let place = 0..5usize;
    let keys = prop::option::weighted(0.3, 0..3u8);
    let submit = (any::<bool>(), keys, 0..2u8, 0..3u64, 1..4u32);
    prop_oneof![
        4 => prop_oneof![Just(1), Just(5), Just(LEASE.as_secs()), 1..60u64].prop_map(Call::Pass),
        3 => submit.prop_map(|(is_other, key, input, after, max_attempts)| Call::Submit {
            is_other, key, input, after: after * 7, max_attempts,
        }),
        6 => (0..2usize, 0..2usize, 0..3usize).prop_map(|(task, other, free)| Call::Claim { task, other, free }),
        2 => place.clone().prop_map(Call::Renew),
        3 => (place.clone(), 0..3u8, 0..9u8).prop_map(|(run, name, value)| Call::Record(run, name, value)),
        3 => place.clone().prop_map(Call::Done),
        3 => (place.clone(), 0..3u64).prop_map(|(run, after)| Call::Retry(run, after * 10)),
        1 => place.clone().prop_map(Call::Fail),
        3 => (place.clone(), 0..2u64).prop_map(|(run, after)| Call::Release(run, after * 10)),
        2 => place.prop_map(Call::Cancel),
        1 => Just(Call::Clean),
    ]
}

/// An engine in the course of a sequence.
struct Played {
    world: World,
    jobs: Vec<JobId>,
    runs: Vec<Run>,
}

impl Played {
    fn new(world: World) -> Self {
        Self {
            world,
            jobs: Vec::new(),
            runs: Vec::new(),
        }
    }

    fn place(&self, id: &JobId) -> Option<usize> {
        self.jobs.iter().position(|job| job == id)
    }

    /// The run that a place stands for. Late ones come up more often, because they may still have their jobs.
    fn run(&self, place: usize) -> Option<&Run> {
        self.runs.iter().rev().nth(place)
    }

    /// Makes a call. Returns its answer and the state of all jobs after it.
    async fn make(&mut self, call: &Call) -> String {
        // No two things happen at one time, because their order would be open then.
        self.world.pass(Duration::from_millis(1)).await;
        let answer = self.answer(call).await;
        let mut text = format!("{answer}\n");
        for (place, id) in self.jobs.iter().enumerate() {
            let Some(state) = self.world.engine.state(id).await.unwrap() else {
                text += &format!("{place} is gone\n");
                continue;
            };
            let since =
                |time: std::time::SystemTime| time.duration_since(self.world.start).unwrap();
            let status = match &state.status {
                Status::Waiting { due } => format!("waits until {:?}", since(*due)),
                Status::Running { until } => format!("runs until {:?}", since(*until)),
                Status::Done(value) => format!("is done: {}", value.text()),
                other => format!("{other:?}"),
            };
            text += &format!(
                "{place} {status}, {}/{}, {:?}, {:?}, {:?}, {:?}, {:?}, {:?}\n",
                state.attempt,
                state.max_attempts,
                state.key,
                since(state.submitted),
                state.started.map(since),
                state.ended.map(since),
                state.failure,
                self.world.steps(id).await,
            );
        }
        let tasks = [self.world.task.clone(), self.world.other.clone()];
        let counts = self.world.engine.counts(&tasks).await;
        text + &format!("{counts:?}")
    }

    async fn answer(&mut self, call: &Call) -> String {
        let world = &self.world;
        let seconds = Duration::from_secs;
        match *call {
            Call::Pass(time) => {
                world.pass(seconds(time)).await;
                String::new()
            }
            Call::Submit {
                is_other,
                key,
                input,
                after,
                max_attempts,
            } => {
                let task = if is_other { &world.other } else { &world.task };
                let job = NewJob {
                    task: task.clone(),
                    input: json(&input.to_string()),
                    key: key.map(|key| key.to_string()),
                    after: seconds(after),
                    max_attempts,
                    ..world.job()
                };
                match world.engine.submit(job).await {
                    Ok(submitted) => {
                        if submitted.created {
                            self.jobs.push(submitted.id.clone());
                        }
                        format!("{:?} {}", self.place(&submitted.id), submitted.created)
                    }
                    Err(crate::engine::error::EngineError::KeyConflict { earlier, .. }) => {
                        format!("conflict with {:?}", self.place(&earlier))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Call::Claim { task, other, free } => {
                let wanted = Wanted {
                    tasks: vec![(world.task.clone(), task), (world.other.clone(), other)],
                    free,
                    lease: LEASE,
                };
                let claimed = world.engine.claim(&wanted).await.unwrap();
                let mut claims = claimed.claims;
                claims.sort_by_key(|claim| self.place(&claim.run.id));
                let mut text = format!("next {:?}", claimed.next);
                for claim in claims {
                    text += &format!(
                        ", {:?} {} {} {:?} {:?} {:?}",
                        self.place(&claim.run.id),
                        claim.attempt,
                        claim.input.text(),
                        claim.headers,
                        claim.key,
                        claim.since_first_start
                    );
                    self.runs.push(claim.run);
                }
                text
            }
            Call::Cancel(place) => match self.jobs.get(place) {
                Some(id) => format!("{:?}", world.engine.cancel(id).await),
                None => String::new(),
            },
            Call::Clean => {
                let keep = Keep {
                    done: seconds(50),
                    failed: seconds(50),
                };
                let tasks = [world.task.clone(), world.other.clone()];
                format!("{:?}", world.engine.clean(&tasks, keep).await)
            }
            Call::Renew(place)
            | Call::Record(place, ..)
            | Call::Done(place)
            | Call::Retry(place, _)
            | Call::Fail(place)
            | Call::Release(place, _) => match self.run(place) {
                Some(run) => format!("{:?}", self.write(run, call).await),
                None => String::new(),
            },
        }
    }

    async fn write(&self, run: &Run, call: &Call) -> crate::engine::Hold {
        let world = &self.world;
        match *call {
            Call::Record(_, name, value) => {
                world
                    .record(run, &format!("step {name}"), &value.to_string())
                    .await
            }
            Call::Done(place) => world.finish(run, done(&place.to_string())).await,
            Call::Retry(_, after) => {
                let after = Duration::from_secs(after);
                let failure = failure("again");
                world.finish(run, Outcome::Retry { failure, after }).await
            }
            Call::Fail(_) => world.finish(run, Outcome::Failed(failure("no"))).await,
            Call::Release(_, after) => world.release(run, Duration::from_secs(after)).await,
            _ => world.renew(run).await,
        }
    }
}

/// Makes the sequences to the model and to the engines that `worlds` gives.
async fn compare(cases: u32, worlds: impl AsyncFn() -> Option<World>) {
    // The sequences are those of every run. AGENTCORE_TEST_SEED asks for others.
    let seed = std::env::var("AGENTCORE_TEST_SEED").map_or(21, |seed| seed.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    for case in 0..cases {
        let Some(world) = worlds().await else { return };
        let calls = prop::collection::vec(call(), 40..100);
        let calls = calls.new_tree(&mut runner).unwrap().current();
        let mut model = Played::new(World::memory());
        let mut engine = Played::new(world);
        for (at, call) in calls.iter().enumerate() {
            let (expected, found) = (model.make(call).await, engine.make(call).await);
            assert_eq!(
                expected,
                found,
                "case {case} of seed {seed}, after {:#?}",
                &calls[..=at]
            );
        }
    }
}

#[tokio::test]
async fn a_file_answers_like_memory() {
    compare(40, async || Some(World::sqlite())).await;
}

#[cfg(feature = "durable-postgres")]
#[tokio::test]
async fn a_database_answers_like_memory() {
    compare(15, World::postgres).await;
}
