//! What keeps the traits over the users' functions to the library, and tells their implementations apart.

/// An argument of methods that nothing outside the library can implement or call: the type cannot be named there.
#[derive(Clone, Copy, Debug)]
pub struct Seal;

/// In the arguments of a trait over functions: one that returns a future.
#[derive(Debug)]
pub enum Awaited {}

/// In the arguments of a trait over functions: one that returns its value.
#[derive(Debug)]
pub enum Blocking {}
