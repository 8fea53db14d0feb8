//! Small helpers that know nothing of agents.

pub(crate) mod fields;
pub(crate) mod interval;
pub(crate) mod json;
pub(crate) mod meta;
pub(crate) mod package;
pub(crate) mod queue;
pub(crate) mod sealed;
pub(crate) mod spawn;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod time;
#[cfg(feature = "ws")]
pub(crate) mod timer;
#[cfg(any(feature = "durable-postgres", feature = "otel"))]
pub(crate) mod tls;
pub(crate) mod write;

use std::future::Future;
use std::pin::Pin;

/// A future whose type is not known.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;
