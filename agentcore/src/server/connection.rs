//! One TCP connection below HTTP: a half-closed socket, ambiguous bytes, and the time limits for idle and slow clients.

pub(crate) mod framing;
pub(crate) mod half_close;
pub(crate) mod idle;
pub(crate) mod place;
mod turn;
pub(crate) mod write_timeout;
