//! Durable tasks, in this process and in others.
//!
//! ```text
//! cargo test -p agentcore-durable-tests --features durable-postgres
//! ```
//!
//! `AGENTCORE_DURABLE_FULL=1` runs the storm, and the loss of submitters, at full length.

#[path = "../../integration/support.rs"]
#[allow(dead_code, reason = "the other suite uses all of it")]
mod support;

#[path = "../../not_tested.rs"]
mod not_tested;
#[cfg(feature = "durable-postgres")]
#[path = "../../../agentcore/src/engine/tests/server.rs"]
#[allow(dead_code, reason = "the library's tests use all of it")]
mod server;

mod cancelling;
mod clock;
#[cfg(feature = "durable-postgres")]
mod database;
mod everywhere;
mod figures;
mod fleet;
mod in_process;
mod ping;
mod restored;
mod showing;
mod status;
mod stopping;
mod storm;
mod takeover;
mod versions;
mod world;
