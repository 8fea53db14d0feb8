//! Any order, any pattern, and `#[cfg]` on arguments.

use std::sync::Arc;

use agentcore::{Bytes, FromInvocation, HeaderMap, HttpError, Invocation, State, entrypoint};
use serde::Deserialize;

#[derive(Deserialize)]
struct Event {
    _text: String,
}

struct Tenant(String);

impl FromInvocation for Tenant {
    type Rejection = HttpError;

    fn from_invocation(_: &mut Invocation) -> Result<Self, HttpError> {
        Ok(Tenant(String::new()))
    }
}

#[entrypoint(main = false)]
async fn none() {}

#[entrypoint(main = false)]
async fn payload_last(_: HeaderMap, Tenant(tenant): Tenant, mut event: Event) -> String {
    event._text.push_str(&tenant);
    event._text
}

#[entrypoint(main = false)]
async fn payload_first(Event { .. }: Event, _body: Bytes, #[allow(unused)] headers: HeaderMap) {}

#[entrypoint(main = false)]
async fn payload_is_a_tuple((number, text): (u32, String)) -> String {
    format!("{number} {text}")
}

#[entrypoint(main = false)]
async fn state_as_a_pattern(State(tenant): State<Tenant>, event: Event) -> String {
    let tenant: Arc<Tenant> = tenant;
    event._text + &tenant.0
}

#[entrypoint(main = false)]
async fn sometimes(
    #[cfg(any())] missing: NoSuchType,
    #[cfg(all())] event: Event,
    #[cfg(any())] event: u32,
    #[cfg_attr(all(), cfg(any()))] missing: NoSuchType,
) -> String {
    event._text
}

fn main() {}
