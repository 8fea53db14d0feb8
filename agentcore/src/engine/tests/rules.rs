//! The rules of the trait's contract, one function each.

mod attempts;
mod jobs;

pub(super) use attempts::*;
pub(super) use jobs::*;
