//! Decides whether the output of an `#[async_task]` function is an error, and finds the error's text.
//!
//! The number of `&`s before the probe tells the three choices apart: the first choice has the most.

use std::any::type_name;
use std::fmt::Display;
use std::future::Future;

use super::probe::Probe;

impl<T> Probe<T> {
    /// The probe of the output of `future`.
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

/// Second choice: a `Result` with an error without a text.
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

/// Last choice: not a `Result`.
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
