//! One TCP connection below HTTP: what its end means, what of its bytes is ambiguous, how long it may be silent.

pub(crate) mod framing;
pub(crate) mod half_close;
pub(crate) mod idle;
pub(crate) mod place;
mod turn;
pub(crate) mod write_timeout;
