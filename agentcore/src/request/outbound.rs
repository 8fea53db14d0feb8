//! [`outbound_headers`]: the headers for calls to other services.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::context::RequestContext;
use crate::{headers, otel};

/// The maximum length of baggage that is passed on, in bytes. It is the platform's own limit.
const LONGEST_BAGGAGE: usize = 8192;

/// The key under which AWS's OpenTelemetry distribution passes the session on.
const SESSION: &str = "session.id";

/// The headers that make a call to another service a part of the caller's trace and session.
///
/// These are `traceparent`, `tracestate`, `X-Amzn-Trace-Id`, `baggage` and `X-Amzn-Bedrock-AgentCore-Runtime-Session-Id`, as the
/// request has brought them. If the agent [traces](crate::telemetry#traces) itself, the current span is the parent. The
/// session's id is in the baggage too, as `session.id`. Outside a request there is only the current span.
///
/// The headers reveal the session, and what callers have put into the baggage. Send them only to services that may know it.
///
/// ```
/// use agentcore::outbound_headers;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(question: String) -> String {
///     let mut request = http::Request::post("http://tools.internal/search").body(question).unwrap();
///     request.headers_mut().extend(outbound_headers());
///     // … and send it with any client.
///     format!("{:?}", request.headers().get("traceparent"))
/// }
/// ```
#[must_use]
pub fn outbound_headers() -> HeaderMap {
    let mut outbound = HeaderMap::new();
    if let Some(context) = RequestContext::current() {
        pass_on(context.all_headers(), &mut outbound);
    }
    otel::inject(&mut outbound);
    outbound
}

/// Copies the trace and the session from `inbound`.
fn pass_on(inbound: &HeaderMap, outbound: &mut HeaderMap) {
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            outbound.insert(name, value);
        }
    };
    for name in [headers::TRACEPARENT, headers::X_AMZN_TRACE_ID] {
        if let Some(text) = headers::text(inbound, &name) {
            set(name, text);
        }
    }
    if let Some(state) = headers::trace_state(inbound) {
        set(headers::TRACESTATE, &state);
    }
    let session = headers::session_id(inbound);
    if let Some(session) = session {
        set(headers::SESSION_ID, session);
    }
    let baggage = baggage(inbound, session);
    if !baggage.is_empty() {
        set(headers::BAGGAGE, &baggage);
    }
}

/// The baggage as it came, entry by entry, and the session.
fn baggage(inbound: &HeaderMap, session: Option<&str>) -> String {
    let values = inbound.get_all(headers::BAGGAGE);
    let values = values.iter().filter_map(|value| value.to_str().ok());
    let entries = values.flat_map(|value| value.split(',')).map(str::trim);
    let is_session = |entry: &str| entry.split('=').next().map(str::trim) == Some(SESSION);
    let session = session.map(|session| {
        let value = utf8_percent_encode(session, NON_ALPHANUMERIC);
        format!("{SESSION}={value}")
    });
    let mut baggage = String::new();
    let kept =
        entries.filter(|entry| !(entry.is_empty() || session.is_some() && is_session(entry)));
    for entry in session.as_deref().into_iter().chain(kept) {
        // An entry that does not fit is left out whole: half of one would say something else.
        if baggage.len() + 1 + entry.len() <= LONGEST_BAGGAGE {
            if !baggage.is_empty() {
                baggage.push(',');
            }
            baggage.push_str(entry);
        }
    }
    baggage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(inbound: &[(HeaderName, &str)]) -> HeaderMap {
        let inbound = inbound
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().expect("a value")))
            .collect();
        let mut outbound = HeaderMap::new();
        pass_on(&inbound, &mut outbound);
        outbound
    }

    #[test]
    fn the_trace_and_the_session_are_passed_on_and_nothing_else() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passed = outbound(&[
            (headers::TRACEPARENT, traceparent),
            (headers::TRACESTATE, "a=b"),
            (headers::SESSION_ID, "session 1"),
            (headers::BAGGAGE, "user=j%C3%BC;ttl=1, session.id=old,,"),
            (http::header::AUTHORIZATION, "Bearer secret"),
            (http::header::HOST, "agent"),
        ]);
        assert_eq!(passed.len(), 4);
        assert_eq!(passed[headers::TRACEPARENT], traceparent);
        assert_eq!(passed[headers::TRACESTATE], "a=b");
        assert_eq!(passed[headers::SESSION_ID], "session 1");
        assert_eq!(
            passed[headers::BAGGAGE],
            "session.id=session%201,user=j%C3%BC;ttl=1"
        );
        assert!(outbound(&[]).is_empty());
    }

    #[test]
    fn baggage_is_passed_on_in_whole_entries_as_far_as_there_is_room() {
        let long = format!("a={},b=2", "x".repeat(LONGEST_BAGGAGE));
        assert_eq!(
            outbound(&[(headers::BAGGAGE, &long)])[headers::BAGGAGE],
            "b=2"
        );
    }
}
