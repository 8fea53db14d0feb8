//! Asking a type what it is, and the first question: is it a `Result`?
//!
//! The technique is the same for every question. `(&Probe::<T>::NEW).question()` finds a method of `Probe<T>` before one
//! of `&Probe<T>`: the first choice is a trait for the former under a bound, the second one for the latter under none.
//! What the method returns is a *tag*. The tag's method then does the work under an ordinary bound, so that a type that
//! fits nowhere is reported like any unsatisfied bound, and not as a method that does not exist.
//!
//! All of these methods begin with `__agentcore_`: a blanket trait of the user's cannot have one of the same name.

use std::convert::Infallible;
use std::marker::PhantomData;

/// A stand-in for a value of type `T`.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    pub const NEW: Self = Self(PhantomData);

    /// For types that have no name, such as `impl Trait`.
    pub fn of(_: &T) -> Self {
        Self::NEW
    }
}

impl<T> Clone for Probe<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Probe<T> {}

/// First choice: the function returns a `Result`, by whatever name.
pub trait ResultProbe {
    fn __agentcore_outcome(&self) -> ResultTag {
        ResultTag
    }
}

impl<T, E> ResultProbe for Probe<Result<T, E>> {}

/// Second choice: the function cannot fail.
pub trait PlainProbe {
    fn __agentcore_outcome(&self) -> PlainTag {
        PlainTag
    }
}

impl<T> PlainProbe for &Probe<T> {}

pub struct ResultTag;

impl ResultTag {
    pub fn __agentcore_result<T, E>(self, returned: Result<T, E>) -> Result<T, E> {
        returned
    }

    pub fn __agentcore_value<T, E>(self, _: Probe<Result<T, E>>) -> Probe<T> {
        Probe::NEW
    }
}

pub struct PlainTag;

impl PlainTag {
    pub fn __agentcore_result<T>(self, returned: T) -> Result<T, Infallible> {
        Ok(returned)
    }

    pub fn __agentcore_value<T>(self, probe: Probe<T>) -> Probe<T> {
        probe
    }
}
