//! The headers that the platform sends: their names, their text, and which of them are secret.
//!
//! Sources: the AgentCore developer guide (`runtime-header-allowlist`), the constants of AWS's Python SDK 1.25, and a
//! dump of the headers of a live runtime.

mod baggage;
mod forwardable;
mod trace;

use http::{HeaderMap, HeaderName};

pub use baggage::Baggage;
pub(crate) use forwardable::forwardable;
pub(crate) use trace::RemoteSpan;

const fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

pub(crate) const SESSION_ID: HeaderName = name("x-amzn-bedrock-agentcore-runtime-session-id");
/// The name of the header in which a caller gets the URL of its session: `X-Amzn-Bedrock-AgentCore-Runtime-Session-Endpoint-Url`.
///
/// Amazon Bedrock AgentCore Runtime adds it to the replies of `InvokeAgentRuntime`, so that the caller can reach the other ports
/// of the session's container. It does so only where the runtime has `allowedPorts` and direct access to the session is
/// available. The value is an HTTPS URL of at most 128 bytes. AWS's SDKs show it as `sessionEndpointUrl`.
///
/// An agent never receives this header and does not have to set it. The name is for programs that call agents over HTTP.
///
/// ```
/// use agentcore::{HeaderMap, SESSION_ENDPOINT_URL};
///
/// /// The URL of the session that answered, if there is one.
/// fn session_url(reply: &HeaderMap) -> Option<&str> {
///     reply.get(SESSION_ENDPOINT_URL)?.to_str().ok()
/// }
///
/// assert_eq!(session_url(&HeaderMap::new()), None);
/// let mut reply = HeaderMap::new();
/// reply.insert(SESSION_ENDPOINT_URL, "https://session.example".parse().unwrap());
/// assert_eq!(session_url(&reply), Some("https://session.example"));
/// ```
pub const SESSION_ENDPOINT_URL: HeaderName =
    name("x-amzn-bedrock-agentcore-runtime-session-endpoint-url");

pub(crate) const USER_ID: HeaderName = name("x-amzn-bedrock-agentcore-runtime-user-id");
pub(crate) const OAUTH2_CALLBACK_URL: HeaderName = name("oauth2callbackurl");
pub(crate) const BAGGAGE: HeaderName = name("baggage");
pub(crate) const TRACEPARENT: HeaderName = name("traceparent");
pub(crate) const TRACESTATE: HeaderName = name("tracestate");
pub(crate) const X_AMZN_TRACE_ID: HeaderName = name("x-amzn-trace-id");

/// The SDKs read the first; the second has been seen on the wire.
pub(crate) const REQUEST_IDS: [HeaderName; 2] = [
    name("x-amzn-bedrock-agentcore-runtime-request-id"),
    name("x-amzn-requestid"),
];

/// Three names for the same token. The first that is present wins, in the order of Python's SDK.
pub(crate) const WORKLOAD_ACCESS_TOKENS: [HeaderName; 3] = [
    name("x-amz-bedrock-agentcore-identity-wat"),
    name("workloadaccesstoken"),
    name("x-amzn-bedrock-agentcore-runtime-workload-accesstoken"),
];

/// Suffixes of the names of headers whose values are or contain secrets: the platform's own headers, and those that an agent's
/// owner has had forwarded. (A browser opens a WebSocket with its token among the subprotocols.)
const SECRETS: [&str; 15] = [
    "authorization",
    "cookie",
    "token",
    "-wat",
    "-auth",
    "secret",
    "password",
    "api-key",
    "apikey",
    "api_key",
    "-jwt",
    "_auth",
    "credential",
    "credentials",
    "sec-websocket-protocol",
];

/// Marks the values of secret headers as sensitive. `Debug` then shows them as `Sensitive` when a layer or a handler prints
/// headers.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if is_secret(name.as_str()) {
            value.set_sensitive(true);
        }
    }
}

/// Whether both texts are equal. The comparison takes the same time for all texts of one length, so that a caller cannot find out
/// a secret byte by byte.
pub(crate) fn is_equal_secret(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let difference = pairs.fold(0, |difference, (one, other)| {
        // Otherwise the compiler may end the loop at the first difference.
        std::hint::black_box(difference | (one ^ other))
    });
    one.len() == other.len() && difference == 0
}

/// Whether the value of the header `name` (in lower case) is or contains a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let last = name.as_bytes().last();
    // Every header of every request is tested here, and the last letter rules most of them out.
    let might = |end: &&&str| end.as_bytes().last() == last;
    SECRETS.iter().filter(might).any(|end| name.ends_with(end))
}

/// The runtime session that a request belongs to.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<&str> {
    text(headers, &SESSION_ID)
}

/// The header's value; an empty one counts as absent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value).filter(|text| !text.is_empty())
}

/// The value of `tracestate`, if a valid `traceparent` comes with it. Several headers are joined.
pub(crate) fn trace_state(headers: &HeaderMap) -> Option<String> {
    text(headers, &TRACEPARENT).and_then(RemoteSpan::of_traceparent)?;
    let parts = headers.get_all(TRACESTATE).iter();
    let parts = parts.filter_map(|value| value.to_str().ok());
    let parts: Vec<_> = parts.filter(|text| !text.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::forwardable::is_forwardable;
    use super::*;

    #[test]
    fn secrets_do_not_show_and_everything_else_does() {
        let header = |name: &'static str| (self::name(name), "value of ".to_owned() + name);
        let secret = [
            "authorization",
            "cookie",
            "sec-websocket-protocol",
            "workloadaccesstoken",
            "x-amz-bedrock-agentcore-identity-wat",
            "x-amzn-bedrock-agentcore-runtime-workload-accesstoken",
            "x-amzn-bedrock-agentcore-runtime-custom-api-key",
            "x-github-token",
        ];
        let open = ["host", "x-amzn-bedrock-agentcore-runtime-session-id"];
        let mut headers: HeaderMap = secret
            .iter()
            .chain(&open)
            .map(|name| header(name))
            .map(|(name, value)| (name, value.parse().expect("a value")))
            .collect();
        protect(&mut headers);
        let shown = format!("{headers:?} {:?}", forwardable(&headers));
        for name in secret {
            assert!(!shown.contains(&header(name).1), "{shown}");
        }
        for name in open {
            assert!(shown.contains(&header(name).1), "{shown}");
        }
    }

    #[test]
    fn custom_headers_pass_and_the_hops_own_do_not() {
        for pass in [
            "x-amzn-bedrock-agentcore-runtime-custom-tenant",
            "x-api-version",
            "baggage",
            "traceparent",
            "my-header",
        ] {
            assert!(is_forwardable(&name(pass)), "{pass}");
        }
        for stop in [
            "authorization",
            "cookie",
            "content-type",
            "host",
            "sec-websocket-key",
            "x-amz-date",
            "x-amz-bedrock-agentcore-identity-wat",
            "x-amzn-trace-id",
            "x-amzn-bedrock-agentcore-runtime-session-id",
            "x-amzn-bedrock-agentcore-runtime-session-endpoint-url",
            "workloadaccesstoken",
            "x-forwarded-for",
        ] {
            assert!(!is_forwardable(&name(stop)), "{stop}");
        }
    }
}
