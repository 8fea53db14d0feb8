//! What `--check` says of durable tasks: which there are, and whether the store can be used.

use std::fmt;
use std::path::Path;

use crate::app::describe::{FunctionAt, time};
use crate::app::descriptors::DurableDef;
use crate::config::{DurableSettings, Environment, Store, Work};
use crate::engine;
use crate::util::fields::fields;

/// Where an agent has durable tasks.
pub(super) struct Durable {
    tasks: Vec<Task>,
    /// Without credentials.
    store: String,
    /// `sqlite` or `postgres`, if the store was asked.
    engine: Option<&'static str>,
    /// The version of its schema, if the store was asked.
    schema: Option<String>,
}

struct Task {
    function: FunctionAt,
    attempts: u32,
    timeout: Option<String>,
    deadline: Option<String>,
    concurrency: Option<u32>,
    /// Whether this process would run its jobs.
    runs_here: bool,
}

fields! { Durable { tasks, store, engine, schema } }
fields! { Task { ..function, attempts, timeout, deadline, concurrency, runs_here } }

impl Durable {
    /// `None` for an agent without durable tasks. What does not keep it from starting, and will not work, goes to `warnings`.
    pub(super) fn new(
        tasks: &[DurableDef],
        settings: &DurableSettings,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        if tasks.is_empty() {
            return None;
        }
        if let Work::Tasks(names) = &settings.work {
            let is_unknown = |name: &&String| !tasks.iter().any(|task| task.task.name == *name);
            for name in names.iter().filter(is_unknown) {
                warnings.push(format!(
                    "AGENTCORE_DURABLE_WORK names `{name}`, and there is no durable task of this name"
                ));
            }
        }
        let asked = is_there(&settings.store).then(|| ask(settings));
        let about = match asked {
            Some(Ok(about)) => Some(about),
            Some(Err(problem)) => {
                warnings.push(problem);
                None
            }
            None => None,
        };
        let (engine, schema) = about.unzip();
        Some(Self {
            tasks: tasks
                .iter()
                .map(|task| Task {
                    function: task.meta.into(),
                    attempts: task.task.attempts,
                    timeout: task.task.timeout.map(time),
                    deadline: task.task.deadline.map(time),
                    concurrency: task.task.concurrency,
                    runs_here: settings.work.has(task.task.name),
                })
                .collect(),
            store: settings.store.to_string(),
            engine,
            schema,
        })
    }

    /// Each task, and behind them the store.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.tasks.iter().map(ToString::to_string).collect();
        let mut store = format!("stored in {}", self.store);
        if let (Some(engine), Some(schema)) = (self.engine, &self.schema) {
            store.push_str(&format!(": {engine}, schema {schema}"));
        }
        if self.store.ends_with("?locks=none") {
            store.push_str("; a stop leaves running jobs 1 s, then they are handed back");
        }
        lines.push(store);
        lines
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} attempts", self.function, self.attempts)?;
        if let Some(timeout) = &self.timeout {
            write!(f, ", each within {timeout}")?;
        }
        if let Some(deadline) = &self.deadline {
            write!(f, ", all within {deadline}")?;
        }
        if let Some(most) = self.concurrency {
            write!(f, ", {most} at once")?;
        }
        if !self.runs_here {
            f.write_str(", not run here")?;
        }
        Ok(())
    }
}

/// Warns if an agent in a container runs the jobs of a shared store only by default. On AgentCore a session's microVM would run the
/// jobs of other sessions.
pub(super) fn warn_of_default_work(
    settings: &DurableSettings,
    is_default: bool,
    warnings: &mut Vec<String>,
) {
    let is_shared = settings.store.path().is_none();
    if is_default && is_shared && Environment::of_process().in_container {
        warnings.push(
            "AGENTCORE_DURABLE_WORK is not set, so this process runs jobs of every session; set it to `all` on workers, and to \
             `none` where each session has a microVM of its own"
                .to_owned(),
        );
    }
}

/// Whether the store can be asked without being made, and without harm to an agent that uses it. A file without locks is
/// opened by one process alone. In a folder that is missing, none can be made.
fn is_there(store: &Store) -> bool {
    let has_no_folder = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        folder.is_some_and(|folder| !folder.is_dir())
    };
    let is_there = |path: &Path| path.exists() || has_no_folder(path);
    !store.is_of_a_session() && store.path().is_none_or(is_there)
}

/// Reads the kind and the version of the store. Changes nothing in it.
fn ask(settings: &DurableSettings) -> Result<(&'static str, String), String> {
    let engine = engine::engine(settings.store.address())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.map_err(|error| format!("the store was not asked: {error}"))?;
    runtime.block_on(async {
        match engine.look().await {
            Ok(about) => Ok((about.engine, about.schema)),
            Err(error) => Err(format!("durable jobs cannot be stored: {error}")),
        }
    })
}
