//! [`Probe`]: asks a type what it is. The first question is whether it is a `Result`.
//!
//! The technique is the same for every question. `(&Probe::<T>::NEW).question()` finds a method of `Probe<T>` before one of
//! `&Probe<T>`. So the first choice is a trait for `Probe<T>` with a bound, and the second one a trait for `&Probe<T>` without
//! a bound. The method returns a *tag*. The tag's method then does the work under an ordinary bound. So a type that fits no
//! choice is reported as an unsatisfied bound, and not as a method that does not exist.
//!
//! All of these methods begin with `__agentcore_`, so that a blanket trait of the user's has no method of that name.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;

/// A stand-in for a value of type `T`.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    pub const NEW: Self = Self(PhantomData);

    /// The probe of a type that has no name, such as `impl Trait`.
    pub fn of(_: &T) -> Self {
        Self::NEW
    }
}

impl<T> Probe<T> {
    /// Of what `call` returns, which is not called.
    pub fn of_call(_: &impl FnOnce() -> T) -> Self {
        Self::NEW
    }

    /// Of what the future that `call` returns resolves to; neither is run.
    pub fn of_async_call<F: Future<Output = T>>(_: &impl FnOnce() -> F) -> Self {
        Self::NEW
    }
}

impl<T> Clone for Probe<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Probe<T> {}

/// Defines a choice: a trait for the probes of some types, whose method returns a tag.
macro_rules! choice {
    ($name:ident($method:ident -> $tag:ident) for [$($generics:tt)*] $probe:ty) => {
        pub trait $name {
            fn $method(&self) -> $tag {
                $tag
            }
        }

        impl<$($generics)*> $name for $probe {}
    };
}
pub(super) use choice;

// First choice: the function returns a `Result`, under any name.
choice! { ResultProbe(__agentcore_outcome -> ResultTag) for [T, E] Probe<Result<T, E>> }

// Second choice: the function cannot fail.
choice! { PlainProbe(__agentcore_outcome -> PlainTag) for [T] &Probe<T> }

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
