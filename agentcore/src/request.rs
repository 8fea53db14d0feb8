//! Requests in flight: their scope, context, admission and cancellation, and the app that they belong to.

mod activity;
pub(crate) mod admission;
mod cancellation;
mod context;
pub(crate) mod detach;
pub(crate) mod drops;
mod instance;
#[cfg(feature = "durable")]
mod job;
mod local;
mod observed;
mod outbound;
#[cfg_attr(
    not(feature = "schema"),
    allow(dead_code, reason = "only tools have them")
)]
mod part;
mod scope;
mod states;

pub(crate) use activity::Activity;
pub use cancellation::CancellationToken;
pub(crate) use context::secret_uuid;
pub use context::{AccessToken, RequestContext, TraceContext};
pub(crate) use instance::{GAUGES, Instance, TrackerHandle};
#[cfg(feature = "durable")]
pub(crate) use job::JobAttempt;
#[cfg(feature = "schema")]
pub(crate) use local::in_scope;
pub(crate) use local::{
    below, blocking, current, emit_below, emit_often, fail, hold, is_within, note, spawn_below,
    spawn_boxed, spawn_in_scope, the_stream, until_cut_off, with_scope, within,
};
pub(crate) use observed::{CallOfAgent, Stream};
pub use outbound::outbound_headers;
#[cfg(feature = "schema")]
pub(crate) use part::{CancelOnDrop, Work};
pub(crate) use scope::{Arrival, Scope};
pub use states::StateSlot;
pub(crate) use states::{Shared, States};
