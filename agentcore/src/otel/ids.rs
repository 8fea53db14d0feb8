//! The ids of traces and spans, and the attributes that baggage adds to every span.

use std::cell::Cell;

use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{Span as _, SpanId, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{IdGenerator, Span, SpanData, SpanProcessor};

use crate::headers::Baggage;
use crate::platform;

/// The baggage key of the session. AWS's distribution passes it along, and copies it to spans.
pub(super) const SESSION_ID: &str = "session.id";

/// The baggage entries that are copied to every span.
const STAMPED: [&str; 3] = [
    SESSION_ID,
    Baggage::ROUTING_EXPERIMENT_ARN,
    Baggage::ROUTING_EXPERIMENT_VARIANT,
];

pub(super) fn is_stamped(key: &str) -> bool {
    STAMPED.contains(&key)
}

thread_local! {
    static WANTED: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Runs `start`. Its span gets the trace id `id`, if it begins a trace.
pub(super) fn with_trace_id<R>(id: TraceId, start: impl FnOnce() -> R) -> R {
    WANTED.set(Some(id));
    let started = start();
    WANTED.set(None);
    started
}

/// Takes ids from the operating system: a generator that was seeded at the start would make the same ids in every session that is
/// restored from one snapshot.
#[derive(Debug)]
pub(super) struct SystemIds;

impl IdGenerator for SystemIds {
    fn new_trace_id(&self) -> TraceId {
        WANTED.take().unwrap_or_else(|| {
            let mut bytes = [0; 16];
            // Without randomness the id is zero, which is invalid, but belongs to no other trace.
            platform::random(&mut bytes);
            TraceId::from_bytes(bytes)
        })
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(random_span())
    }
}

pub(super) fn random_span() -> u64 {
    platform::random_number()
}

/// Copies the entries of [`STAMPED`] to every span, the user's own spans included.
#[derive(Debug)]
pub(super) struct Stamp;

impl SpanProcessor for Stamp {
    fn on_start(&self, span: &mut Span, context: &Context) {
        let baggage = context.baggage();
        for key in STAMPED {
            if let Some(value) = baggage.get(key) {
                span.set_attribute(KeyValue::new(key, value.clone()));
            }
        }
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }
}
