//! What is said of what happens: how work ends, what fails, what panics.
//!
//! Everything here becomes an event of `tracing`. The front emits its events on a thread of their own, because the subscriber is
//! the program's and may block.

mod ended;
mod outcome;
pub(crate) mod panics;
mod queue;
mod rejection;
mod waiting;

pub(crate) use ended::{Ended, Failure, Work};
pub(crate) use outcome::{Findings, Kind, Outcome};
pub(crate) use queue::{emit, flush, is_wanted, queue_here};
pub(crate) use rejection::Rejection;
pub(crate) use waiting::{may_not_wait, never_wait, without_waiting};
