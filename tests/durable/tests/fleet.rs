//! Processes that share one store, and what they have done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[cfg(feature = "durable-postgres")]
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE, wait_until};
use crate::world::Folder;

pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_durable_jobs");

/// A store, and the file in which its processes note what begins.
pub(crate) struct Fleet {
    folder: Folder,
    store: String,
    lease: &'static str,
}

impl Fleet {
    /// Processes that share a file.
    pub(crate) fn on_sqlite(lease: &'static str) -> Self {
        let mut fleet = Self::on("", lease);
        fleet.store = format!("sqlite:{}", fleet.folder.path().join("jobs.db").display());
        fleet
    }

    /// Processes that share the store at this address.
    pub(crate) fn on(store: &str, lease: &'static str) -> Self {
        Self {
            folder: Folder::new(),
            store: store.to_owned(),
            lease,
        }
    }

    /// Processes that share a database; `None` where this machine has no PostgreSQL.
    #[cfg(feature = "durable-postgres")]
    pub(crate) fn on_postgres(lease: &'static str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = crate::server::server()?;
        let name = format!("fleet_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE jobs"));
        made.expect("a database");
        let (address, _) = server
            .url()
            .rsplit_once('/')
            .map(|(address, name)| (address.to_owned(), name.to_owned()))?;
        Some(Self::on(&format!("{address}/{name}"), lease))
    }

    /// One process after the other, on a file without locks.
    pub(crate) fn on_a_session(lease: &'static str) -> Self {
        let mut fleet = Self::on_sqlite(lease);
        let storage = fleet.storage();
        std::fs::create_dir(&storage).expect("a folder");
        fleet.store = format!("sqlite:{}?locks=none", storage.join("jobs.db").display());
        fleet
    }

    /// As `AGENTCORE_DURABLE` has it.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// As before the storage of a session is mounted: the folder is there, and empty.
    pub(crate) fn move_store_away(&self) {
        let storage = self.storage();
        std::fs::rename(&storage, self.folder.path().join("elsewhere")).expect("a folder");
        std::fs::create_dir(&storage).expect("a folder");
    }

    /// Whether there is anything in the storage.
    pub(crate) fn has_store(&self) -> bool {
        std::fs::read_dir(self.storage()).expect("a folder").count() > 0
    }

    pub(crate) fn mount_store(&self) {
        std::fs::remove_dir(self.storage()).expect("an empty folder");
        std::fs::rename(self.folder.path().join("elsewhere"), self.storage()).expect("a folder");
    }

    fn trace_file(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Starts one more process.
    pub(crate) fn start(&self, more: &[(&str, &str)]) -> Agent {
        let trace = self.trace_file();
        let mut environment = vec![
            ("AGENTCORE_DURABLE", self.store.as_str()),
            ("AGENTCORE_DURABLE_LEASE", self.lease),
            ("TRACE_FILE", path(&trace)),
        ];
        environment.extend(more);
        Agent::start(FIXTURE, &environment)
    }

    /// What has begun: for each job and step, the attempts, in the order in which they began it.
    pub(crate) fn trace(&self) -> BTreeMap<(String, String), Vec<u32>> {
        let text = std::fs::read_to_string(self.trace_file()).unwrap_or_default();
        let mut begun: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ').map(str::to_owned);
            let (Some(job), Some(step), Some(attempt)) = (words.next(), words.next(), words.next())
            else {
                panic!("half a line: {line}");
            };
            let attempt = attempt.parse().expect("a number");
            begun.entry((job, step)).or_default().push(attempt);
        }
        begun
    }

    /// The attempts that have begun this step of a job.
    pub(crate) fn begun(&self, job: &str, step: &str) -> Vec<u32> {
        let trace = self.trace();
        trace
            .get(&(job.to_owned(), step.to_owned()))
            .cloned()
            .unwrap_or_default()
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Whether the page of metrics has this line.
pub(crate) fn counts(agent: &Agent, line: &str) -> bool {
    let page = String::from_utf8(agent.get("/metrics").body).expect("text");
    page.lines().any(|shown| shown == line)
}

/// Submits a job, and returns its id.
pub(crate) fn submit(agent: &Agent, event: Value) -> String {
    let reply = agent.invoke(event);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["job"].as_str().expect("an id").to_owned()
}

pub(crate) fn fetch(agent: &Agent, job: &str) -> Value {
    agent
        .invoke(json!({ "action": "fetch", "job": job }))
        .json()
}

/// Waits until a job has ended, and returns its status.
pub(crate) fn ended(agent: &Agent, job: &str) -> Value {
    let mut status = Value::Null;
    wait_until(3 * DEADLINE, "the job has ended", || {
        status = fetch(agent, job);
        !matches!(status["status"].as_str(), Some("queued" | "running"))
    });
    status
}

/// A test that runs on each store.
macro_rules! on_each_store {
    ($(fn $name:ident($fleet:ident: $lease:literal) $body:block)+) => {$(
        mod $name {
            use super::*;

            fn test($fleet: &Fleet) $body

            #[test]
            fn on_sqlite() {
                test(&Fleet::on_sqlite($lease));
            }

            #[cfg(feature = "durable-postgres")]
            #[test]
            fn on_postgres() {
                if let Some(fleet) = Fleet::on_postgres($lease) {
                    test(&fleet);
                }
            }
        }
    )+};
}
pub(crate) use on_each_store;
