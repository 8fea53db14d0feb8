//! What engines cost. It is a measurement, and asserts nothing about time:
//!
//! ```sh
//! CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo test --release -p agentcore \
//!     --features durable-postgres --lib engine::tests::figures -- --ignored --nocapture --test-threads 1
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::world::{Folder, done, json};
use crate::engine::sqlite::{Locks, Sqlite};
use crate::engine::{Claim, Engine, Hold, NewJob, Wanted};
use crate::platform;

const LEASE: Duration = Duration::from_secs(300);

/// An engine with a task of its own, and what fills its queue quickly.
struct Bench {
    name: &'static str,
    engine: Arc<dyn Engine>,
    task: Arc<str>,
    /// The processes that work for the engine.
    processes: fn() -> Vec<String>,
}

impl Bench {
    fn new(name: &'static str, engine: Arc<dyn Engine>) -> Self {
        let task = format!("bench-{:x}", platform::random_number()).into();
        Self {
            name,
            engine,
            task,
            processes: || vec!["self".to_owned()],
        }
    }

    /// An engine of this kind with an empty queue.
    fn next(&self) -> Self {
        Self {
            processes: self.processes,
            ..Self::new(self.name, self.engine.clone())
        }
    }

    fn say(&self, what: &str, figure: &str) {
        println!("{:9} {what:52} {figure}", self.name);
    }

    fn job(&self) -> NewJob {
        NewJob {
            task: self.task.clone(),
            input: json("input of some length, as small jobs have it"),
            key: None,
            after: Duration::ZERO,
            max_attempts: 3,
            headers: [("session".to_owned(), "0123456789".to_owned())].into(),
        }
    }

    async fn submit(&self, count: usize, at_once: usize) {
        let each = (0..at_once).map(|_| {
            let (engine, job) = (self.engine.clone(), self.job());
            tokio::spawn(async move {
                for _ in 0..count / at_once {
                    engine.submit(job.clone()).await.unwrap();
                }
            })
        });
        for one in each.collect::<Vec<_>>() {
            one.await.unwrap();
        }
    }

    async fn claim(&self, free: usize) -> Vec<Claim> {
        let wanted = Wanted {
            tasks: vec![(self.task.clone(), free)],
            free,
            lease: LEASE,
        };
        self.engine.claim(&wanted).await.unwrap().claims
    }

    /// Claims so many jobs at a time, and finishes each, so many at once.
    async fn work(&self, count: usize, free: usize) -> f64 {
        let begun = Instant::now();
        let mut ended = 0;
        while ended < count {
            let claims = self.claim(free).await;
            ended += claims.len();
            let ends = claims.into_iter().map(|claim| {
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    let hold = engine.finish(&claim.run, done("result")).await;
                    assert_eq!(hold, Ok(Hold::Held));
                })
            });
            for end in ends.collect::<Vec<_>>() {
                end.await.unwrap();
            }
        }
        ended as f64 / begun.elapsed().as_secs_f64()
    }
}

/// How many jobs wait in the long queue: 50 000, or what AGENTCORE_TEST_PENDING says.
fn backlog_size() -> usize {
    std::env::var("AGENTCORE_TEST_PENDING").map_or(50_000, |size| size.parse().unwrap())
}

/// The middle and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

/// The time of a processor that these processes have had, in milliseconds. Linux counts it in hundredths of a second.
fn processor_ms(processes: &[String]) -> f64 {
    let spent = |process: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let ticks = fields.skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<f64>().unwrap() * 10.0)
            .sum::<f64>()
    };
    processes.iter().map(spent).sum()
}

async fn figures(bench: &Bench) {
    let tasks = std::slice::from_ref(&bench.task);
    bench.engine.check(tasks).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        bench.engine.submit(bench.job()).await.unwrap();
        times.push(begun.elapsed());
    }
    bench.say("submit, one at a time", &percentiles(times));
    let begun = Instant::now();
    bench.submit(4000, 8).await;
    let rate = 4000.0 / begun.elapsed().as_secs_f64();
    bench.say("submit, 8 at a time", &format!("{rate:.0}/s"));

    let pending = bench.next();
    pending.submit(1024, 64).await;
    let rate = pending.work(400, 1).await;
    bench.say(
        "claim 1 and finish it, 1 000 pending",
        &format!("{rate:.0} jobs/s"),
    );
    let rate = pending.work(600, 32).await;
    bench.say(
        "claim 32 and finish them, 600 pending",
        &format!("{rate:.0} jobs/s"),
    );

    let backlog = bench.next();
    let begun = Instant::now();
    let backlog_size = backlog_size();
    backlog.submit(backlog_size, 200).await;
    let rate = backlog_size as f64 / begun.elapsed().as_secs_f64();
    bench.say("submit, 200 at a time", &format!("{rate:.0}/s"));
    for batch in [64, 256] {
        let rate = backlog.work(3200, batch).await;
        bench.say(
            &format!("claim {batch} and finish them, {backlog_size} pending"),
            &format!("{rate:.0} jobs/s"),
        );
    }
    let rate = backlog.work(100, 1).await;
    bench.say(
        "claim 1 and finish it, of those that are left",
        &format!("{rate:.0} jobs/s"),
    );

    let run = backlog.claim(1).await.remove(0).run;
    let mut times = Vec::new();
    for step in 0..1000 {
        let begun = Instant::now();
        let name = format!("step {step}");
        bench
            .engine
            .record(&run, &name, json("value"))
            .await
            .unwrap();
        times.push(begun.elapsed());
    }
    bench.say("record a step", &percentiles(times));
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(bench.engine.steps(&run.id).await.unwrap().len(), 1000);
        times.push(begun.elapsed());
    }
    bench.say("load 1 000 steps", &percentiles(times));
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        bench.engine.state(&run.id).await.unwrap();
        times.push(begun.elapsed());
    }
    bench.say("state of a job", &percentiles(times));

    let runs: Vec<_> = backlog
        .claim(1000)
        .await
        .into_iter()
        .map(|claim| claim.run)
        .collect();
    assert_eq!(runs.len(), 1000);
    let mut times = Vec::new();
    let before = processor_ms(&(bench.processes)());
    for _ in 0..50 {
        let begun = Instant::now();
        bench.engine.renew(&runs, LEASE).await.unwrap();
        times.push(begun.elapsed());
    }
    let spent = (processor_ms(&(bench.processes)()) - before) / times.len() as f64;
    bench.say(
        "renew 1 000 running jobs",
        &format!(
            "{}; {spent:.0} ms of a processor, here and in the server",
            percentiles(times)
        ),
    );
    let idle = bench.next();
    idle.claim(1).await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        idle.claim(8).await;
        times.push(begun.elapsed());
    }
    bench.say("claim nothing", &percentiles(times));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn of_a_file() {
    let folder = Folder::new();
    let engine = Sqlite::new(folder.path("jobs.db"), Locks::File).unwrap();
    figures(&Bench::new("sqlite", Arc::new(engine))).await;
}

#[cfg(feature = "durable-postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn of_a_database() {
    use crate::engine::Notice;
    use crate::engine::postgres::Postgres;

    let Some(server) = super::server::server() else {
        return;
    };
    let engine = || Arc::new(Postgres::new(&server.url()).unwrap());
    let mut bench = Bench::new("postgres", engine());
    bench.processes = || {
        let server = super::server::server().unwrap();
        let pids = "SELECT pid FROM pg_stat_activity
             WHERE backend_type <> 'autovacuum worker' AND pid <> pg_backend_pid()";
        let pids = server.psql("jobs", pids).unwrap();
        let servers = pids.lines().map(str::to_owned);
        servers.chain(["self".to_owned()]).collect()
    };
    figures(&bench).await;

    // From the call of `submit` to the claim in another process, which is woken up.
    let (submitter, worker) = (bench.next(), engine());
    let worker = Bench {
        engine: worker,
        task: submitter.task.clone(),
        ..submitter.next()
    };
    worker.claim(1).await;
    let mut notices = worker.engine.notices();
    let mut times = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        let submitting = tokio::spawn({
            let (engine, job) = (submitter.engine.clone(), submitter.job());
            async move { engine.submit(job).await.unwrap() }
        });
        while notices.recv().await != Ok(Notice::Due(worker.task.clone())) {}
        let claim = worker.claim(1).await.remove(0);
        times.push(begun.elapsed());
        submitting.await.unwrap();
        worker.engine.finish(&claim.run, done("")).await.unwrap();
    }
    bench.say("submit to claim by another connection", &percentiles(times));
}
