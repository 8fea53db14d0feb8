//! The headers that the platform sends, and the other headers that an agent may pass on.
//!
//! Sources: the AgentCore developer guide (`runtime-header-allowlist`), the constants of AWS's Python SDK 1.25, and a
//! dump of the headers of a live runtime.

mod baggage;
mod trace;

use http::{HeaderMap, HeaderName};

pub use baggage::Baggage;
pub(crate) use trace::RemoteSpan;

const fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

pub(crate) const SESSION_ID: HeaderName = name("x-amzn-bedrock-agentcore-runtime-session-id");
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

/// Headers that describe this hop, the client or its browser, and mean nothing to the services that an agent calls. The platform
/// refuses them on an allow-list.
const RESTRICTED: [&str; 74] = [
    // Authentication of a hop.
    "proxy-authorization",
    "www-authenticate",
    // Content and caching.
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "cache-control",
    "etag",
    "expires",
    "last-modified",
    "pragma",
    "range",
    "vary",
    // Connections.
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // The message and its two parties.
    "date",
    "from",
    "host",
    "link",
    "location",
    "origin",
    "referer",
    "retry-after",
    "server",
    "user-agent",
    // Cookies.
    "cookie",
    "set-cookie",
    // Browsers' security.
    "clear-site-data",
    "expect-ct",
    "feature-policy",
    "permissions-policy",
    "public-key-pins",
    "public-key-pins-report-only",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-csrf-token",
    "x-frame-options",
    "x-requested-with",
    "x-xss-protection",
    // Client hints.
    "accept-ch",
    "accept-ch-lifetime",
    "downlink",
    "dpr",
    "ect",
    "rtt",
    "save-data",
    "viewport-width",
    "width",
    // Proxies, and headers that pretend to be one.
    "cf-connecting-ip",
    "cf-ray",
    "forwarded",
    "true-client-ip",
    "via",
    "x-cache",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-real-ip",
    "x-rewrite-url",
    "x-served-by",
    "x-source-ip",
    "expect",
];

const RESTRICTED_PREFIXES: [&str; 5] = [
    "access-control-",
    "content-",
    "cross-origin-",
    "if-",
    "sec-websocket-",
];

/// Whether an agent may pass this header on to the services that it calls. These are the platform's allow-list rules, without the
/// headers that carry secrets or have an accessor of their own.
fn is_forwardable(name: &HeaderName) -> bool {
    let name = name.as_str();
    let begins = |prefix: &&str| name.starts_with(prefix);
    if RESTRICTED.contains(&name) || RESTRICTED_PREFIXES.iter().any(begins) {
        return false;
    }
    if name.starts_with("x-amzn-") {
        return name.starts_with("x-amzn-bedrock-agentcore-runtime-custom-");
    }
    let is_own = matches!(
        name,
        "authorization" | "workloadaccesstoken" | "oauth2callbackurl" | "x-aws-guest-auth"
    );
    !(is_own || name.starts_with("x-amz-"))
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

pub(crate) fn forwardable(headers: &HeaderMap) -> HeaderMap {
    let forwardable = headers.iter().filter(|(name, _)| is_forwardable(name));
    let copied = forwardable.map(|(name, value)| (name.clone(), value.clone()));
    copied.collect()
}

#[cfg(test)]
mod tests {
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
            "workloadaccesstoken",
            "x-forwarded-for",
        ] {
            assert!(!is_forwardable(&name(stop)), "{stop}");
        }
    }
}
