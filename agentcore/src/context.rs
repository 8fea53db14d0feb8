//! What code below a request knows about it without being told.

mod baggage;
mod cancellation;
pub(crate) mod headers;
mod request;
mod scope;
mod trace;

pub use baggage::Baggage;
pub use cancellation::CancellationToken;
pub(crate) use headers::session_id;
#[cfg(feature = "dev-page")]
#[cfg(feature = "dev-page")]
pub(crate) use request::secret_uuid;
pub use request::{AccessToken, RequestContext, TraceContext};
pub(crate) use scope::{
    Activity, Arrival, Kind, Scope, below, blocking, current, fail, hold, is_within, note,
    spawn_below, spawn_in_scope, until_cut_off, with_scope, within,
};
#[cfg(feature = "otel")]
pub(crate) use trace::RemoteSpan;
