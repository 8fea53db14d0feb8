//! Real agents, and a real receiver of OTLP over HTTP.

#[allow(dead_code, reason = "shared with a larger suite")]
#[path = "../../integration/support.rs"]
mod support;

mod aws;
mod metrics;
#[path = "../../not_tested.rs"]
mod not_tested;
mod receiver;
#[path = "../../integration/support/restorable.rs"]
mod restorable;
mod traces;
mod trouble;
