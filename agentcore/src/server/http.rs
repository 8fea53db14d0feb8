//! HTTP on the front: routes, bodies, and the answers that the front makes itself.

mod after_restore;
pub(crate) mod dev;
pub(crate) mod exchange;
pub(crate) mod front;
mod hooks;
mod invocations;
#[cfg(feature = "durable")]
pub(crate) mod jobs_gate;
pub(crate) mod layered;
#[cfg(feature = "mcp")]
mod mcp;
mod metrics;
mod next;
pub(crate) mod operators;
pub(crate) mod phase;
pub(crate) mod ping;
pub(crate) mod request_body;
pub(crate) mod restore_detector;
pub(crate) mod router;
pub(crate) mod routes;
mod single_flight;
mod upgraded;
mod warmup;
#[cfg(feature = "ws")]
pub(crate) mod websockets;
