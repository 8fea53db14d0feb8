//! Reports how work ends, what fails and what panics.
//!
//! Each report is an event of `tracing`. The front emits its events on a separate thread, because the subscriber is the program's
//! and may block.

mod ended;
mod outcome;
pub(crate) mod panics;
mod queue;
mod rejection;
pub(crate) mod stall;
mod waiting;

pub(crate) use ended::{Ended, Failure, Work};
pub(crate) use outcome::{Findings, Kind, Outcome};
pub(crate) use queue::{emit, flush, is_wanted, queue_here};
pub(crate) use rejection::Rejection;
pub(crate) use waiting::{may_not_wait, never_wait, without_waiting};
