//! Whether what an `#[async_task]` function returns is an error, and the error's text.
//!
//! Three choices, told apart by the number of `&`s before the probe: the first has the most.

use std::any::type_name;
use std::fmt::Display;
use std::future::Future;

use super::probe::Probe;

impl<T> Probe<T> {
    /// Of what `future` returns.
    pub fn of_output<F: Future<Output = T>>(_: &F) -> Self {
        Self::NEW
    }
}

/// First choice: a `Result` whose error has a text.
pub trait TextProbe {
    type Output;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String>;
}

impl<T, E: Display> TextProbe for &&Probe<Result<T, E>> {
    type Output = Result<T, E>;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String> {
        |result| result.as_ref().err().map(ToString::to_string)
    }
}

/// Second choice: a `Result` with any other error.
pub trait SilentProbe {
    type Output;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String>;
}

impl<T, E> SilentProbe for &Probe<Result<T, E>> {
    type Output = Result<T, E>;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String> {
        |result| {
            let error = result.as_ref().err();
            error.map(|_| format!("a `{}`", type_name::<E>()))
        }
    }
}

/// Last choice: no `Result`.
pub trait NoErrorProbe {
    type Output;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String>;
}

impl<T> NoErrorProbe for Probe<T> {
    type Output = T;

    fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String> {
        |_| None
    }
}
