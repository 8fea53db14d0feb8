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

/// Defines a choice: a trait for the probes of some outputs, whose method returns a function that finds the text of an error.
macro_rules! choice {
    ($name:ident for [$($generics:tt)*] $probe:ty, of $output:ty: $text:expr) => {
        pub trait $name {
            type Output;

            fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String>;
        }

        impl<$($generics)*> $name for $probe {
            type Output = $output;

            fn __agentcore_error_text(&self) -> fn(&Self::Output) -> Option<String> {
                $text
            }
        }
    };
}

// First choice: a `Result` whose error has a text.
choice! {
    TextProbe for [T, E: Display] &&Probe<Result<T, E>>, of Result<T, E>:
    |result| result.as_ref().err().map(ToString::to_string)
}

// Second choice: a `Result` with an error without a text.
choice! {
    SilentProbe for [T, E] &Probe<Result<T, E>>, of Result<T, E>:
    |result| result.as_ref().err().map(|_| format!("a `{}`", type_name::<E>()))
}

// Last choice: not a `Result`.
choice! { NoErrorProbe for [T] Probe<T>, of T: |_| None }
