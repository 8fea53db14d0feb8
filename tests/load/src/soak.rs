//! Mixed traffic with every kind of fault, where every ping is compared with what is known to run.
//!
//! Traffic comes in waves: many clients, where something always runs, and single clients, where each ping depends on one
//! operation alone. After every wave there is a quiet time, in which everything has to be as before: idle, no tasks, the
//! same descriptors and the same memory.

mod operation;

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::{Agent, Launch};
use crate::client::{DEADLINE, invoke};
use crate::clock::{self, Nanos};
use crate::knowledge::{Possible, Span, Timeline, Verdict};
use crate::ping::Pinger;
use crate::random::Random;
use crate::report::{Distribution, Memory, Report};
use operation::{End, Mood, Operation, Performed};

/// The options of a soak.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The agent.
    pub program: PathBuf,
    /// Additional environment variables of the agent.
    pub environment: Vec<(&'static str, &'static str)>,
    /// The total time. The current wave is finished.
    pub time: Duration,
    /// The number of clients in a large wave.
    pub clients: usize,
    /// The seed of the random operations and faults.
    pub seed: u64,
    /// How long a wave lasts.
    pub wave: Duration,
    /// The quiet time after a wave.
    pub quiet: Duration,
    /// The time for which an operation may keep the agent busy after its client has left and its code has ended. An
    /// operation whose reply was read has no grace.
    pub grace: Duration,
    /// The minimum number of pings of each certain state.
    pub enough: u64,
    /// The limit for the growth of memory after everything has been done once.
    pub growth: Memory,
}

impl Soak {
    /// The default options.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            environment: Vec::new(),
            time: Duration::from_secs(600),
            clients: 200,
            seed: 1,
            wave: Duration::from_secs(3),
            quiet: Duration::from_secs(1),
            grace: Duration::from_millis(500),
            enough: 500,
            growth: Memory(8 << 20),
        }
    }

    /// Runs it and reports the result.
    ///
    /// # Errors
    ///
    /// The agent cannot be started or does not answer at all. All other failures are in the report.
    pub async fn run(&self) -> Result<Report> {
        let mut report = Report::new("soak");
        report.figure("seed", self.seed);
        let mut launch = Launch::new(&self.program);
        for (name, value) in &self.environment {
            launch = launch.with(name, value);
        }
        let (agent, address) = launch.start()?;
        let pinger = Pinger::start(address, Duration::from_millis(2))?;
        let mut run = Run {
            soak: self,
            agent,
            address,
            pinger,
            random: Random::new(self.seed),
            ids: Arc::new(AtomicU64::new(1)),
            judged_to: clock::now(),
            verdict: Verdict::default(),
            tally: Tally::default(),
            descriptors: 0,
        };
        if let Err(error) = run.all_waves().await {
            return Err(Error::other(format!("{error}\n{}", run.agent.log())));
        }
        run.tell(&mut report);
        Ok(report)
    }

    /// The number of clients in each wave of a round, and how they behave.
    fn round(&self) -> [(usize, Mood); 5] {
        [
            (self.clients, Mood::Faulty),
            (1, Mood::Clean),
            (self.clients.div_ceil(10), Mood::Faulty),
            (1, Mood::Faulty),
            (2, Mood::Clean),
        ]
    }
}

/// A soak in progress.
struct Run<'a> {
    soak: &'a Soak,
    agent: Agent,
    address: SocketAddr,
    pinger: Pinger,
    random: Random,
    /// The source of the operations' numbers.
    ids: Arc<AtomicU64>,
    /// The time up to which the pings have been compared with the timeline.
    judged_to: Nanos,
    verdict: Verdict,
    tally: Tally,
    /// The number of descriptors while only the pinger is connected.
    descriptors: usize,
}

/// The counts so far.
#[derive(Default)]
struct Tally {
    operations: BTreeMap<String, u64>,
    waves: u64,
    right_replies: u64,
    problems: Vec<String>,
    latencies: Vec<Nanos>,
    /// The memory in the quiet time after each wave.
    memory: Vec<Memory>,
    most_descriptors: usize,
    most_tasks: u64,
}

/// The operations of one wave, and what the agent's journal says of them.
#[derive(Default)]
struct Wave {
    performed: Vec<Performed>,
    /// Begin and end of each piece that ran, by operation.
    runs: BTreeMap<u64, Vec<Span>>,
    /// The spans of the harness's own questions.
    questions: Vec<Span>,
}

impl Run<'_> {
    async fn all_waves(&mut self) -> Result<()> {
        self.first_ping().await?;
        self.descriptors = self.agent.descriptors()?;
        let began = Instant::now();
        for (clients, mood) in self.soak.round().into_iter().cycle() {
            let mut wave = self.wave(clients, mood).await;
            self.settle(&mut wave).await?;
            self.look(&mut wave).await?;
            self.judge(wave);
            if began.elapsed() >= self.soak.time {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn first_ping(&self) -> Result<()> {
        let began = Instant::now();
        while self.pinger.take().pings.is_empty() {
            if began.elapsed() > DEADLINE {
                return Err(Error::other("no ping was answered"));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Runs all clients at once, until the wave's time is over and each has finished its operation.
    async fn wave(&mut self, clients: usize, mood: Mood) -> Wave {
        let until = Instant::now() + self.soak.wave;
        let mut all = JoinSet::new();
        for _ in 0..clients {
            all.spawn(client(
                self.address,
                Arc::clone(&self.ids),
                self.random.fork(),
                mood,
                until,
                // A single client that has left waits for the end of everything before its next operation.
                (clients == 1).then_some(self.soak.grace),
            ));
        }
        Wave {
            performed: all.join_all().await.into_iter().flatten().collect(),
            ..Wave::default()
        }
    }

    /// Waits until nothing of the wave can run any more.
    async fn settle(&mut self, wave: &mut Wave) -> Result<()> {
        let began = Instant::now();
        let grace = self.soak.grace.as_nanos() as Nanos;
        let left = wave.performed.iter().filter_map(|one| match one.end {
            End::Left(at) => Some(at),
            End::Seen(_) | End::Nothing => None,
        });
        let last_left = left.max().unwrap_or_default();
        while self.read_journal(wave).await? > 0 || clock::now() < last_left + grace {
            if began.elapsed() > DEADLINE {
                return Err(Error::other("something does not end"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Pings for a while without other traffic. Then everything has to be as at first.
    async fn look(&mut self, wave: &mut Wave) -> Result<()> {
        sleep(self.soak.quiet).await;
        let began = Instant::now();
        loop {
            let open = self.agent.descriptors()?;
            if open <= self.descriptors || began.elapsed() > Duration::from_secs(5) {
                self.tally.most_descriptors = self.tally.most_descriptors.max(open);
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.tally.memory.push(self.agent.memory()?);
        let status = self.ask(wave, &json!({ "action": "status" })).await?;
        let tasks = status["active_count"].as_u64().unwrap_or(u64::MAX);
        self.tally.most_tasks = self.tally.most_tasks.max(tasks);
        if status["ping_status"] != "Healthy" || status["running_jobs"] != json!([]) {
            self.tally.problems.push(format!("in the quiet: {status}"));
        }
        // This catches what began later than expected.
        self.read_journal(wave).await.map(drop)
    }

    /// Invokes the agent, and records the span.
    async fn ask(&self, wave: &mut Wave, event: &Value) -> Result<Value> {
        let from = clock::now();
        let reply = invoke(self.address, event).await?;
        wave.questions.push(Span {
            from,
            to: clock::now(),
        });
        reply.json()
    }

    /// Adds to the wave what has ended. Returns the number of pieces that still run.
    async fn read_journal(&self, wave: &mut Wave) -> Result<u64> {
        let journal = self.ask(wave, &json!({ "action": "journal" })).await?;
        let runs: Vec<(u64, Nanos, Nanos)> = serde_json::from_value(journal["runs"].clone())?;
        for (id, from, to) in runs {
            wave.runs.entry(id).or_default().push(Span { from, to });
        }
        journal["running"]
            .as_u64()
            .ok_or_else(|| Error::other("a journal without a count"))
    }

    /// Compares the pings of the wave with what is now known.
    fn judge(&mut self, wave: Wave) {
        let seen = self.pinger.take();
        // Nothing runs, and nothing will run before the next wave.
        let window = Span {
            from: self.judged_to,
            to: clock::now(),
        };
        self.judged_to = window.to;
        let times = seen.pings.iter().map(|ping| ping.received - ping.sent);
        self.tally.latencies.extend(times);
        self.tally.problems.extend(seen.failed);
        self.tally.waves += 1;
        let timeline = self.timeline(window, wave);
        timeline.judge(&seen.pings, &mut self.verdict);
    }

    /// Combines what the clients know with the journal.
    fn timeline(&mut self, window: Span, mut wave: Wave) -> Timeline {
        let grace = self.soak.grace.as_nanos() as Nanos;
        let mut certain: Vec<_> = wave.runs.values().flatten().copied().collect();
        let mut possible: Vec<_> = wave
            .questions
            .into_iter()
            .map(|span| Possible {
                span,
                kind: "question".to_owned(),
            })
            .collect();
        for one in wave.performed {
            *self.tally.operations.entry(one.label.clone()).or_default() += 1;
            certain.extend(one.certain);
            let runs = wave.runs.remove(&one.id).unwrap_or_default();
            let code_ended = runs.iter().map(|run| run.to).max().unwrap_or_default();
            let to = match one.end {
                End::Nothing => continue,
                End::Seen(at) => {
                    self.tally.right_replies += 1;
                    if at < code_ended {
                        self.verdict.wrong.push(format!(
                            "the end of {} {} was told {} ns before it came",
                            one.label,
                            one.id,
                            code_ended - at
                        ));
                    }
                    at.max(code_ended)
                }
                End::Left(at) => at.max(code_ended) + grace,
            };
            self.tally.problems.extend(one.problem);
            let span = Span {
                from: one.began,
                to,
            };
            possible.push(Possible {
                span,
                kind: one.label,
            });
        }
        if !wave.runs.is_empty() {
            let ids: Vec<_> = wave.runs.keys().collect();
            self.tally
                .problems
                .push(format!("ran, but nobody asked for it: {ids:?}"));
        }
        Timeline::new(window, certain, possible)
    }

    fn tell(&mut self, report: &mut Report) {
        let Self {
            soak,
            agent,
            verdict,
            tally,
            descriptors,
            ..
        } = self;
        report.figure("waves", tally.waves);
        report.figure("operations", tally.operations.values().sum::<u64>());
        report.figure("whole replies, each the right one", tally.right_replies);
        report.none_of("lost or wrong replies, and other problems", &tally.problems);
        report.at_least("pings while certainly busy", verdict.busy, soak.enough);
        report.at_least("pings while certainly idle", verdict.idle, soak.enough);
        report.figure("pings in between", verdict.uncertain);
        let alone: Vec<_> = verdict.alone.iter().collect();
        report.figure(
            "busy pings that rest on one operation alone",
            alone.iter().map(|(_, count)| **count).sum::<u64>(),
        );
        for (kind, count) in alone {
            println!("    {kind}: {count}");
        }
        report.figure("stamps held against their limits", verdict.stamps);
        report.figure(
            "pairs of pings whose stamp had to stand still",
            verdict.pairs,
        );
        report.none_of("wrong pings", &verdict.wrong);
        let latencies: Distribution = tally.latencies.drain(..).collect();
        report.figure("ping, median", latencies.quantile(0.5));
        report.figure("ping, 99th percentile", latencies.quantile(0.99));
        report.figure("ping, longest", latencies.quantile(1.0));
        report.at_most(
            "descriptors in the quiet",
            tally.most_descriptors,
            *descriptors,
        );
        report.exactly("tasks in the quiet", tally.most_tasks, 0);
        let (warm, last) = warm_and_last(&tally.memory, soak.round().len());
        report.figure("memory once warm", warm);
        report.at_most("memory in the end", last, Memory(warm.0 + soak.growth.0));
        report.exactly("agents that survived", u8::from(agent.is_alive()), 1);
    }
}

/// The memory after the first round of waves and after the last, because the ends of rounds are comparable. With fewer than
/// two rounds, the memory after the first and the last wave.
fn warm_and_last(memory: &[Memory], round: usize) -> (Memory, Memory) {
    let rounds: Vec<_> = memory
        .chunks_exact(round)
        .map(|waves| waves[round - 1])
        .collect();
    let shown: Vec<_> = rounds.iter().map(ToString::to_string).collect();
    println!("    memory after each round of waves: {}", shown.join(", "));
    match (&rounds[..], memory) {
        ([warm, .., last], _) | (_, [warm, .., last] | [warm @ last]) => (*warm, *last),
        (_, []) => (Memory(0), Memory(u64::MAX)),
    }
}

/// The work of one client: one operation after the other until the time is over.
async fn client(
    address: SocketAddr,
    ids: Arc<AtomicU64>,
    mut random: Random,
    mood: Mood,
    until: Instant,
    wait_after_leaving: Option<Duration>,
) -> Vec<Performed> {
    let mut performed = Vec::new();
    let mut kept = None;
    while Instant::now() < until {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let operation = Operation::choose(id, mood, random.fork());
        let one = operation.perform(address, &mut kept).await;
        if let Some(grace) = wait_after_leaving.filter(|_| one.has_left()) {
            sleep(grace + Duration::from_millis(100)).await;
        }
        performed.push(one);
        sleep(Duration::from_micros(random.within(0..25_000))).await;
    }
    performed
}
