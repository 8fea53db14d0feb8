//! The headers that an agent may pass on to the services that it calls.

use http::{HeaderMap, HeaderName};

/// The headers that an agent may pass on.
pub(crate) fn forwardable(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| is_forwardable(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Names, separated by spaces, of headers that describe this hop, the client or its browser, and mean nothing to the services
/// that an agent calls. The platform refuses them on an allow-list.
const RESTRICTED: [&str; 8] = [
    // Authentication of a hop.
    "proxy-authorization www-authenticate",
    // Content and caching.
    "accept accept-charset accept-encoding accept-language accept-ranges cache-control etag expires \
     last-modified pragma range vary",
    // Connections.
    "connection keep-alive proxy-connection te trailer transfer-encoding upgrade",
    // The message and its two parties.
    "date expect from host link location origin referer retry-after server user-agent",
    // Cookies.
    "cookie set-cookie",
    // Browsers' security.
    "clear-site-data expect-ct feature-policy permissions-policy public-key-pins \
     public-key-pins-report-only referrer-policy strict-transport-security x-content-type-options \
     x-csrf-token x-frame-options x-requested-with x-xss-protection",
    // Client hints.
    "accept-ch accept-ch-lifetime downlink dpr ect rtt save-data viewport-width width",
    // Proxies, and headers that pretend to be one.
    "cf-connecting-ip cf-ray forwarded true-client-ip via x-cache x-client-ip x-cluster-client-ip \
     x-forwarded-for x-forwarded-host x-forwarded-proto x-original-host x-original-url \
     x-originating-ip x-real-ip x-rewrite-url x-served-by x-source-ip",
];

/// Prefixes of which every header is restricted.
const RESTRICTED_PREFIXES: [&str; 5] = [
    "access-control-",
    "content-",
    "cross-origin-",
    "if-",
    "sec-websocket-",
];

/// Whether an agent may pass this header on to the services that it calls. These are the platform's allow-list rules, without the
/// headers that carry secrets or have an accessor of their own.
pub(super) fn is_forwardable(name: &HeaderName) -> bool {
    let name = name.as_str();
    let begins = |prefix: &&str| name.starts_with(prefix);
    let is = |names: &&str| names.split(' ').any(|restricted| restricted == name);
    if RESTRICTED.iter().any(is) || RESTRICTED_PREFIXES.iter().any(begins) {
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
