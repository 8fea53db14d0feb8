//! What the expansions of durable tasks and steps ask of types, in words of our own; see [`bounds`](super::bounds).

use std::any::type_name;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::durable::{Arguments, DurableRun, Encoded, RunFailure, StepKey, TaskContext};
use crate::error::BoxError;
use crate::handler::extract::Requirements;
use crate::handler::state::State;
use crate::request::CancellationToken;

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a durable task",
    label = "not both `serde::Serialize` and `serde::Deserialize`",
    note = "put `#[derive(serde::Serialize, serde::Deserialize)]` on every type of yours in it: arguments are stored",
    note = "if a start hook makes it, take `agentcore::State<{Self}>`, written as `State<..>` and not by another name"
)]
pub trait StoredArgument: Sized {
    fn __agentcore_store(&self, name: &'static str, arguments: &mut Arguments);
    fn __agentcore_take(run: &mut DurableRun, name: &'static str) -> Result<Self, RunFailure>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> StoredArgument for T {
    fn __agentcore_store(&self, name: &'static str, arguments: &mut Arguments) {
        arguments.store(name, self);
    }

    fn __agentcore_take(run: &mut DurableRun, name: &'static str) -> Result<Self, RunFailure> {
        run.argument(name)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the type of this name that a durable task gets where it runs",
    label = "not `agentcore::State<S>`, `agentcore::TaskContext` or `agentcore::CancellationToken`",
    note = "callers do not pass an argument whose type is called so; give a type of yours another name"
)]
pub trait RunArgument: Sized {
    fn __agentcore_requires(requirements: &mut Requirements);
    fn __agentcore_take(run: &mut DurableRun) -> Result<Self, RunFailure>;
}

impl<S: Send + Sync + 'static> RunArgument for State<S> {
    fn __agentcore_requires(requirements: &mut Requirements) {
        requirements.state::<S>();
    }

    fn __agentcore_take(run: &mut DurableRun) -> Result<Self, RunFailure> {
        // The start has checked that there is one. A stop drops them behind the last job.
        let state = run.instance().states.find();
        state.map(Self::from).ok_or_else(|| {
            RunFailure::new("state", format!("no state of type `{}`", type_name::<S>()))
        })
    }
}

impl RunArgument for TaskContext {
    fn __agentcore_requires(_: &mut Requirements) {}

    fn __agentcore_take(run: &mut DurableRun) -> Result<Self, RunFailure> {
        Ok(Self::new(run.job().clone()))
    }
}

impl RunArgument for CancellationToken {
    fn __agentcore_requires(_: &mut Requirements) {}

    fn __agentcore_take(run: &mut DurableRun) -> Result<Self, RunFailure> {
        Ok(run.token())
    }
}

#[diagnostic::on_unimplemented(
    message = "a durable task returns a `Result`; found `{Self}`",
    label = "cannot fail",
    note = "an error is what is tried again: return `Result<T, E>`, such as `Result<T, agentcore::BoxError>`"
)]
pub trait DurableOutput {
    type Value;
    type Error;

    fn __agentcore_into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E> DurableOutput for Result<T, E> {
    type Value = T;
    type Error = E;

    fn __agentcore_into_result(self) -> Self {
        self
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a durable task",
    label = "not both `serde::Serialize` and `serde::Deserialize`",
    note = "put `#[derive(serde::Serialize, serde::Deserialize)]` on every type of yours in it: the result is stored, and read by \
            the process that waits for it"
)]
pub trait StoredValue {
    fn __agentcore_encode(self) -> Result<Encoded, RunFailure>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> StoredValue for T {
    fn __agentcore_encode(self) -> Result<Encoded, RunFailure> {
        Encoded::of(&self)
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error type of a durable task",
    label = "does not convert into `agentcore::BoxError`",
    note = "implement `std::error::Error` for it, or use `anyhow::Error` or `agentcore::BoxError`",
    note = "a `Box<dyn Error>` has to be a `Box<dyn Error + Send + Sync>`, which is `agentcore::BoxError`"
)]
pub trait TaskFailure {
    fn __agentcore_failure(self) -> RunFailure;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> TaskFailure for E {
    fn __agentcore_failure(self) -> RunFailure {
        RunFailure::of(&self.into())
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a step",
    label = "not `serde::Serialize`",
    note = "a step is recorded under its name and its arguments as JSON: put `#[derive(serde::Serialize)]` on every type of yours in it",
    note = "an argument that does not matter for that can be an `agentcore::State<..>`, or captured: `agentcore::step(\"name\", || ..)`"
)]
pub trait StepArgument {
    fn __agentcore_add(&self, key: &mut StepKey);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> StepArgument for T {
    fn __agentcore_add(&self, key: &mut StepKey) {
        key.add(self);
    }
}
