//! Metrics by OTLP.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::json;

use crate::receiver::{Receiver, attribute};
use crate::support::Agent;

#[test]
fn what_happens_is_measured() {
    let receiver = Receiver::start();
    let url = receiver.url();
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_traced"),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ],
    );
    agent.invoke(json!({}));
    agent.invoke(json!({ "action": "error" }));
    agent.get("/page");
    agent.get("/broken");
    agent.get("/page");
    for (name, successes) in [
        ("agentcore.invocation.duration", 1),
        ("agentcore.route.duration", 2),
    ] {
        receiver.metric(name, |metric| {
            let Some(Data::Histogram(histogram)) = &metric.data else {
                return false;
            };
            let count = |outcome: &str| {
                let mut points = histogram.data_points.iter();
                let point = points.find(|point| {
                    attribute(&point.attributes, "agentcore.outcome").as_deref() == Some(outcome)
                });
                point.map(|point| point.count)
            };
            metric.unit == "s" && count("success") == Some(successes) && count("error") == Some(1)
        });
    }
    receiver.metric("agentcore.requests.in_flight", |_| true);
    receiver.metric("agentcore.busy", |_| true);
}
