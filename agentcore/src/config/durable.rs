//! The part of the configuration that is about durable tasks.

use std::time::Duration;

use super::job_store::{Store, Work};
use super::{Config, Reader, table};
use crate::engine::has_stray_at;

/// The default file.
const FILE: &str = "agentcore-jobs.db";

/// What the program says about durable tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct DurableOptions {
    /// As text: `Debug` of the configuration must not show a password.
    store: Option<Text>,
    work: Option<String>,
    lease: Option<Duration>,
    concurrency: Option<usize>,
}

#[derive(Clone)]
struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use super::Value as _;
        f.write_str(&Store::censored(&self.0))
    }
}

/// The settings, with the environment and the defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct DurableSettings {
    pub(crate) store: Store,
    pub(crate) work: Work,
    pub(crate) lease: Duration,
    /// The maximum number of jobs that run at once in this process.
    pub(crate) concurrency: usize,
}

impl Config {
    /// Where the jobs of [durable tasks](macro@crate::async_task) are stored: `sqlite:PATH`, a file that the processes of
    /// one host may share, or, with the feature `durable-postgres`, a PostgreSQL database for any number of hosts:
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. By default `sqlite:agentcore-jobs.db`, in the directory that the agent is started in.
    ///
    /// Where the file system has no locks, as that of a session of Amazon Bedrock AgentCore Runtime, write `sqlite:PATH?locks=none`: one
    /// process alone may use the file then. It is opened with the first invocation: such a storage is not mounted before.
    ///
    /// ```
    /// let config = agentcore::Config::new().durable("sqlite:/var/lib/agent/jobs.db");
    /// # let _ = config;
    /// ```
    pub fn durable(mut self, store: impl Into<String>) -> Self {
        self.durable.store = Some(Text(store.into()));
        self
    }

    /// Which durable tasks this process runs: `all`, `none`, or names with commas between them; all by default. A process submits jobs of
    /// any task.
    ///
    /// ```
    /// let config = agentcore::Config::new().durable_work("none");
    /// # let _ = config;
    /// ```
    pub fn durable_work(mut self, work: impl Into<String>) -> Self {
        self.durable.work = Some(work.into());
        self
    }

    /// How long a process that has died keeps a job, from one second to an hour; 30 seconds by default. Then another one takes it over.
    ///
    /// A process renews its leases every third of that time, on a thread of its own, and gives up a job that it cannot renew five seconds
    /// before the end, or a quarter of the lease if that is less.
    pub fn durable_lease(mut self, lease: Duration) -> Self {
        self.durable.lease = Some(lease);
        self
    }

    /// How many durable jobs this process runs at once, from 1 to 10,000; two per CPU by default. A task may have a limit of its own,
    /// `#[async_task(durable, concurrency = 4)]`.
    pub fn durable_concurrency(mut self, jobs: usize) -> Self {
        self.durable.concurrency = Some(jobs);
        self
    }
}

impl DurableOptions {
    /// Fills in the environment and the defaults.
    pub(super) fn read(&self, env: &mut Reader<'_>) -> DurableSettings {
        let store = self.store.as_ref().map(|text| text.0.as_str());
        let store = env.written(&table::DURABLE, store);
        let store = env.computed(&table::DURABLE, store, || Store::file(FILE));
        if store.path().is_none() && has_stray_at(store.address()) {
            env.problem(format!(
                "{} has an `@` that does not stand before the host; in a password write `%40` for it, and `%3F` for `?`",
                table::DURABLE.variable
            ));
        }
        let work = env.written(&table::DURABLE_WORK, self.work.as_deref());
        DurableSettings {
            store,
            work: env.value(&table::DURABLE_WORK, work),
            lease: env.value(&table::DURABLE_LEASE, self.lease),
            concurrency: env.computed(&table::DURABLE_CONCURRENCY, self.concurrency, || {
                2 * std::thread::available_parallelism().map_or(1, usize::from)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_configuration_shows_no_password() {
        let config = Config::new().durable("postgres://me:secret@db/jobs");
        let shown = format!("{config:?}");
        assert!(
            shown.contains("postgres://..@db/jobs") && !shown.contains("secret"),
            "{shown}"
        );
        let config = Config::new().durable("host=db user=me password=secret");
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
