//! An engine whose clock a test sets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::clock::Clock;
use crate::engine::memory::Memory;
#[cfg(feature = "durable-postgres")]
use crate::engine::postgres::Postgres;
use crate::engine::sqlite::{Locks, Sqlite};
use crate::engine::{
    Claim, Engine, Failure, Hold, JobId, JobState, Json, NewJob, Notice, Outcome, Run, Status,
    Wanted,
};
use crate::platform;
use crate::util::sync::Mutex;

/// The lease of claims that do not say another one.
pub(super) const LEASE: Duration = Duration::from_secs(30);

pub(super) struct World {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) task: Arc<str>,
    pub(super) other: Arc<str>,
    /// When its time began.
    pub(super) start: SystemTime,
    now: Arc<Mutex<SystemTime>>,
    notices: tokio::sync::broadcast::Receiver<Notice>,
    folder: Option<Folder>,
    #[cfg(feature = "durable-postgres")]
    database: Option<Arc<Postgres>>,
}

impl World {
    pub(super) fn memory() -> Self {
        let now = whole_second();
        Self::new(Arc::new(Memory::with_clock(Clock::Set(now.clone()))), now)
    }

    pub(super) fn sqlite() -> Self {
        Self::of_file(Locks::File)
    }

    pub(super) fn sqlite_without_locks() -> Self {
        Self::of_file(Locks::None)
    }

    fn of_file(locks: Locks) -> Self {
        let now = whole_second();
        let folder = Folder::new();
        let clock = Clock::Set(now.clone());
        let engine = Sqlite::with_clock(folder.path("jobs.db"), locks, clock).unwrap();
        let mut world = Self::new(Arc::new(engine), now);
        world.folder = Some(folder);
        world
    }

    /// The queues have names of their own, because all tests share one database.
    #[cfg(feature = "durable-postgres")]
    pub(super) async fn postgres() -> Option<Self> {
        let server = super::server::server()?;
        let now = whole_second();
        let database = Arc::new(Postgres::new(&server.url()).unwrap());
        let mut world = Self::new(database.clone(), now);
        world.database = Some(database);
        let number = format!("{:x}", platform::random_number());
        world.task = format!("task-{number}").into();
        world.other = format!("other-{number}").into();
        world.tell_database().await;
        Some(world)
    }

    fn new(engine: Arc<dyn Engine>, now: Arc<Mutex<SystemTime>>) -> Self {
        let notices = engine.notices();
        let start = *now.lock();
        Self {
            engine,
            task: "task".into(),
            other: "other".into(),
            start,
            now,
            notices,
            folder: None,
            #[cfg(feature = "durable-postgres")]
            database: None,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        *self.now.lock()
    }

    pub(super) async fn pass(&self, time: Duration) {
        *self.now.lock() += time;
        self.tell_database().await;
    }

    /// Sets the clock of this host back.
    pub(super) fn set_back(&self, time: Duration) {
        *self.now.lock() -= time;
    }

    /// Sets the clock of the database, if that is what the engine goes by.
    async fn tell_database(&self) {
        #[cfg(feature = "durable-postgres")]
        if let Some(database) = &self.database {
            database
                .set_time(crate::engine::clock::micros(self.now()))
                .await;
        }
    }

    /// A second later than before, so that what happens now is later than what happened.
    pub(super) async fn tick(&self) {
        self.pass(Duration::from_secs(1)).await;
    }

    pub(super) fn job(&self) -> NewJob {
        NewJob {
            task: self.task.clone(),
            input: json("input"),
            key: None,
            after: Duration::ZERO,
            max_attempts: 3,
            headers: [("session".to_owned(), "s1".to_owned())].into(),
        }
    }

    pub(super) async fn submit(&self, job: NewJob) -> JobId {
        let submitted = self.engine.submit(job).await.unwrap();
        assert!(submitted.created);
        submitted.id
    }

    pub(super) fn wanted(&self, free: usize) -> Wanted {
        Wanted {
            tasks: vec![(self.task.clone(), free)],
            free,
            lease: LEASE,
        }
    }

    pub(super) async fn claims(&self, free: usize) -> Vec<Claim> {
        self.engine.claim(&self.wanted(free)).await.unwrap().claims
    }

    /// The claim of the one job that is due.
    pub(super) async fn claim(&self) -> Claim {
        let mut claims = self.claims(10).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    pub(super) async fn next(&self) -> Option<Duration> {
        let claimed = self.engine.claim(&self.wanted(10)).await.unwrap();
        assert!(claimed.claims.is_empty(), "{claimed:?}");
        claimed.next
    }

    pub(super) async fn state(&self, id: &JobId) -> JobState {
        self.engine.state(id).await.unwrap().expect("the job")
    }

    pub(super) async fn status(&self, id: &JobId) -> Status {
        self.state(id).await.status
    }

    pub(super) async fn finish(&self, run: &Run, outcome: Outcome) -> Hold {
        self.engine.finish(run, outcome).await.unwrap()
    }

    pub(super) async fn renew(&self, run: &Run) -> Hold {
        let runs = std::slice::from_ref(run);
        self.engine.renew(runs, LEASE).await.unwrap()[0]
    }

    pub(super) async fn release(&self, run: &Run, after: Duration) -> Hold {
        let runs = std::slice::from_ref(run);
        self.engine.release(runs, after).await.unwrap()[0]
    }

    pub(super) async fn record(&self, run: &Run, name: &str, value: &str) -> Hold {
        self.engine.record(run, name, json(value)).await.unwrap()
    }

    pub(super) async fn steps(&self, id: &JobId) -> Vec<(String, String)> {
        let steps = self.engine.steps(id).await.unwrap();
        let read = |step: crate::engine::Step| (step.name, step.value.read().unwrap());
        steps.into_iter().map(read).collect()
    }

    /// Waits for a notice.
    pub(super) async fn noticed(&mut self, wanted: &Notice) {
        while self.notices.recv().await.unwrap() != *wanted {}
    }
}

/// A folder for the files of a test, which ends with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let name = format!(
            "agentcore-durable-{}-{:x}",
            std::process::id(),
            platform::random_number()
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// The folder, which is not removed.
    #[cfg(feature = "durable-postgres")]
    pub(super) fn keep(self) -> PathBuf {
        let folder = std::mem::ManuallyDrop::new(self);
        folder.0.clone()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A time without a fraction of a second, which no engine rounds.
fn whole_second() -> Arc<Mutex<SystemTime>> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = Duration::from_secs(since.unwrap().as_secs());
    Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + seconds))
}

pub(super) fn json(text: &str) -> Json {
    Json::of(text, "a text").unwrap()
}

pub(super) fn done(text: &str) -> Outcome {
    Outcome::Done(json(text))
}

pub(super) fn failure(message: &str) -> Failure {
    Failure {
        name: "error".to_owned(),
        message: message.to_owned(),
    }
}
