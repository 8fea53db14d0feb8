//! The metrics for OTLP. Spans carry the rest.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};

use super::setup::Pipeline;
use crate::metrics::{BOUNDS, Gauges};
use crate::report::{Kind, Outcome};

#[derive(Debug)]
pub(super) struct Instruments {
    in_flight: UpDownCounter<i64>,
    duration: Histogram<f64>,
    route_duration: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter, gauges: Gauges) -> Self {
        let _ = meter
            .u64_observable_gauge("agentcore.busy")
            .with_description("Whether /ping says HealthyBusy.")
            .with_callback(move |observer| {
                observer.observe(u64::from((gauges.is_busy)()), &[]);
            })
            .build();
        let _ = meter
            .u64_observable_gauge("agentcore.active_tasks")
            .with_description("Tasks that run, by name.")
            .with_unit("{task}")
            .with_callback(move |observer| {
                for (name, count) in (gauges.tasks)() {
                    let name = KeyValue::new("agentcore.task.name", name.to_owned());
                    observer.observe(count, &[name]);
                }
            })
            .build();
        Self {
            in_flight: meter
                .i64_up_down_counter("agentcore.requests.in_flight")
                .with_description("Invocations and sockets that are not over.")
                .with_unit("{request}")
                .build(),
            duration: meter
                .f64_histogram("agentcore.invocation.duration")
                .with_description(
                    "The time from an invocation's head to the last byte of its reply.",
                )
                .with_unit("s")
                .with_boundaries(BOUNDS.to_vec())
                .build(),
            route_duration: meter
                .f64_histogram("agentcore.route.duration")
                .with_description(
                    "The time from the head of a request to routes to the last byte of its reply.",
                )
                .with_unit("s")
                .with_boundaries(BOUNDS.to_vec())
                .build(),
        }
    }
}

fn kind_of(kind: Kind) -> KeyValue {
    let name = match kind {
        Kind::Invocation => "invocation",
        #[cfg(feature = "ws")]
        Kind::Socket => "socket",
        Kind::Route | Kind::IdleRoute => "route",
        #[cfg(feature = "mcp")]
        Kind::Tool => "tool",
        Kind::Other | Kind::Ping | Kind::Hook => "other",
    };
    KeyValue::new("agentcore.request.kind", name)
}

pub(super) fn begin(pipeline: &Pipeline, kind: Kind) {
    if let Some(instruments) = &pipeline.instruments {
        instruments.in_flight.add(1, &[kind_of(kind)]);
    }
}

pub(super) fn end(pipeline: &Pipeline, kind: Kind, outcome: Outcome, age: Duration) {
    let Some(instruments) = &pipeline.instruments else {
        return;
    };
    instruments.in_flight.add(-1, &[kind_of(kind)]);
    let duration = if kind.is_call() {
        &instruments.duration
    } else if kind.is_route() {
        &instruments.route_duration
    } else {
        return;
    };
    let outcome = KeyValue::new("agentcore.outcome", outcome.name());
    duration.record(age.as_secs_f64(), &[outcome]);
}
