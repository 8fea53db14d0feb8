//! What the targets share: a clock that obeys, a client without a network, and parsers that are stricter than those of
//! real clients.

#![forbid(unsafe_code)]

pub mod frames;
pub mod replies;
pub mod rt;
pub mod script;
