//! [`Task`]: the definition of a durable task, and the values that the expansion of the macro and a run exchange.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::run::JobRun;
use crate::engine::{EngineError, Json};
use crate::error::{BoxError, with_causes};
use crate::request::{CancellationToken, Instance, Scope};
use crate::util::BoxFuture;

/// The default number of attempts.
const ATTEMPTS: u32 = 3;

/// A durable task: its name, its limits and the code that runs an attempt.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// The name that its jobs are stored under.
    pub(crate) name: &'static str,
    /// The maximum number of attempts. The first one counts.
    pub(crate) attempts: u32,
    /// The time limit of one attempt.
    pub(crate) timeout: Option<Duration>,
    /// The time limit of all attempts, from the start of the first one.
    pub(crate) deadline: Option<Duration>,
    /// The maximum number of its jobs that one process runs at once.
    pub(crate) concurrency: Option<u32>,
    pub(crate) run: fn(DurableRun) -> BoxFuture<Result<Encoded, RunFailure>>,
}

impl Task {
    /// A task with the default limits.
    pub(crate) const fn new(
        name: &'static str,
        run: fn(DurableRun) -> BoxFuture<Result<Encoded, RunFailure>>,
    ) -> Self {
        Self {
            name,
            attempts: ATTEMPTS,
            timeout: None,
            deadline: None,
            concurrency: None,
            run,
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("attempts", &self.attempts)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// The arguments of a call, as a JSON object by parameter name.
#[derive(Debug, Default)]
pub struct Arguments {
    values: Map<String, Value>,
    /// The error of the first argument that has no JSON.
    error: Option<EngineError>,
}

impl Arguments {
    /// No arguments yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn store<T: Serialize>(&mut self, name: &str, value: &T) {
        match serde_json::to_value(value) {
            Ok(value) => {
                self.values.insert(name.to_owned(), value);
            }
            Err(error) => {
                self.error.get_or_insert(EngineError::NotStorable {
                    what: "an argument",
                    why: format!("`{name}`: {error}"),
                });
            }
        }
    }

    /// The text that is stored.
    pub(crate) fn encode(self) -> Result<Json, EngineError> {
        match self.error {
            Some(error) => Err(error),
            None => Json::of(&self.values, "the arguments"),
        }
    }
}

/// What the arguments of one attempt are made from.
pub struct DurableRun {
    run: Arc<JobRun>,
    scope: Arc<Scope>,
    arguments: Map<String, Value>,
}

impl DurableRun {
    /// Reads the stored arguments.
    pub(crate) fn new(
        run: Arc<JobRun>,
        scope: Arc<Scope>,
        input: &Json,
    ) -> Result<Self, RunFailure> {
        let arguments = input.read().map_err(|error| {
            RunFailure::new(
                "input",
                format!("the stored arguments are no JSON object: {error}"),
            )
        })?;
        Ok(Self {
            run,
            scope,
            arguments,
        })
    }

    /// The stored argument of this name; null if it is not stored, so that a task can get a further `Option` argument.
    pub(crate) fn argument<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, RunFailure> {
        let value = self.arguments.remove(name);
        let is_missing = value.is_none();
        serde_json::from_value(value.unwrap_or_default()).map_err(|error| {
            let problem = if is_missing {
                format!("the argument `{name}` is not among those that were stored")
            } else {
                format!("the stored argument `{name}` does not fit its type: {error}")
            };
            RunFailure::new("input", problem)
        })
    }

    pub(crate) fn instance(&self) -> &Instance {
        self.scope.instance()
    }

    pub(crate) fn job(&self) -> &Arc<JobRun> {
        &self.run
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.scope.cancellation()
    }
}

impl fmt::Debug for DurableRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableRun").finish_non_exhaustive()
    }
}

/// The result of a job as JSON text.
#[derive(Debug)]
pub struct Encoded(pub(crate) Json);

impl Encoded {
    pub(crate) fn of<T: Serialize>(value: &T) -> Result<Self, RunFailure> {
        match Json::of(value, "the result") {
            Ok(json) => Ok(Self(json)),
            Err(error) => Err(RunFailure::new("result", error.to_string()).permanent()),
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub struct RunFailure {
    /// The kind, such as `error` or `panic`.
    pub(crate) name: &'static str,
    pub(crate) message: String,
    /// Whether no further attempt is made, even if the task allows one.
    pub(crate) is_permanent: bool,
}

impl RunFailure {
    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
            is_permanent: false,
        }
    }

    pub(crate) fn permanent(mut self) -> Self {
        self.is_permanent = true;
        self
    }

    /// Makes a failure from the error of a task.
    pub(crate) fn of(error: &BoxError) -> Self {
        Self {
            name: "error",
            message: with_causes(&**error),
            is_permanent: super::permanent::is_permanent(&**error),
        }
    }
}
