//! Seals the traits over the users' functions, and tells their implementations apart.

/// An argument of methods that only the library may implement or call: its type cannot be named outside.
#[derive(Clone, Copy, Debug)]
pub struct Seal;

/// A type argument of traits over functions: the function returns a future.
#[derive(Debug)]
pub enum Awaited {}

/// A type argument of traits over functions: the function returns its value.
#[derive(Debug)]
pub enum Blocking {}
