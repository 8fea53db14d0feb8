//! Replaces `otel` where that feature is off. Everything here does nothing, at no cost.

#![expect(clippy::unused_self, reason = "the other ones have something to say")]

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::config::Environment;
use crate::metrics::Gauges;
use crate::report::{Kind, Outcome};

/// The future itself.
pub(crate) type Traced<F> = F;

#[derive(Clone, Debug)]
pub(crate) struct Current;

impl Current {
    pub(crate) fn here() -> Self {
        Self
    }

    pub(crate) fn wrap<F>(self, future: F) -> Traced<F> {
        future
    }

    pub(crate) fn within<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Span;

impl Span {
    pub(crate) fn request(
        _: Kind,
        _: &'static str,
        _: &str,
        _: &HeaderMap,
        _: Option<&str>,
    ) -> Self {
        Self
    }

    pub(crate) fn task(_: &str) -> Self {
        Self
    }

    pub(crate) fn stream() -> Self {
        Self
    }

    #[cfg(feature = "durable")]
    pub(crate) fn durable_submit(_: &str) -> Self {
        Self
    }

    #[cfg(feature = "durable")]
    pub(crate) fn durable_step(_: &str) -> Self {
        Self
    }

    #[cfg(feature = "durable")]
    pub(crate) fn durable_run(_: &str, _: &str, _: u32, _: &HeaderMap) -> Self {
        Self
    }

    pub(crate) fn current(&self) -> Current {
        Current
    }

    pub(crate) fn note(&self, _: Outcome) {}

    pub(crate) fn finish<'a>(
        &self,
        _: Outcome,
        _: Option<StatusCode>,
        _: (Kind, Duration),
        _: impl FnOnce() -> &'a str,
    ) {
    }
}

pub(crate) fn note_here(_: Outcome) {}

pub(crate) const fn problems() -> Vec<String> {
    Vec::new()
}

pub(crate) const fn is_on() -> bool {
    false
}

pub(crate) fn current_span() -> Option<(u128, u64)> {
    None
}

pub(crate) fn inject(_: &mut HeaderMap) {}

pub(crate) fn restored() {}

pub(crate) fn start(_: &Environment<'_>, _: Gauges) {}

pub(crate) async fn flush(_: Duration) {}
