//! [`RequestContext`]: the request's session, user, tokens, headers and trace.

use std::fmt;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, header};

use super::cancellation::CancellationToken;
use super::local;
use super::scope::Scope;
use crate::headers::{self, Baggage, RemoteSpan};
use crate::platform;

/// What is known about the request that is being served.
///
/// Take it as an argument of the entrypoint, or call [`current`](Self::current) anywhere in its work: in async tasks, in what
/// [`spawn`](crate::spawn) started, on the blocking pool. (`tokio::spawn` carries it only into an async task.) Cheap to
/// clone.
///
/// ```
/// use agentcore::RequestContext;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(question: String, context: RequestContext) -> String {
///     let session = context.session_id().unwrap_or("no session");
///     format!("{session}: {}", answer(question).await)
/// }
///
/// async fn answer(question: String) -> String {
///     let context = RequestContext::current().expect("called below a request");
///     format!("you asked {question} in request {}", context.request_id())
/// }
/// ```
///
/// Tokens never show in `Debug`, in [`headers`](Self::headers) or in the log.
#[derive(Clone)]
pub struct RequestContext(Arc<Scope>);

impl RequestContext {
    /// The context of the request that `scope` is.
    pub(crate) fn of(scope: &Arc<Scope>) -> Self {
        Self(Arc::clone(scope))
    }

    /// The context of the request that the caller works for; `None` outside of requests.
    #[must_use]
    pub fn current() -> Option<Self> {
        local::current_request().map(Self)
    }

    /// The runtime session, which is also the microVM (`X-Amzn-Bedrock-AgentCore-Runtime-Session-Id`).
    ///
    /// The platform always sends it; a plain `curl` does not.
    #[doc(alias = "get_session_id")]
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        headers::session_id(self.head().all_headers())
    }

    /// The request's id: `X-Amzn-Bedrock-AgentCore-Runtime-Request-Id`, else `x-amzn-requestid`, else a random UUID.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.0.request_id()
    }

    /// What the caller said the user is (`X-Amzn-Bedrock-AgentCore-Runtime-User-Id`).
    ///
    /// **Not an identity**: it is not verified, and it is not established whether the platform delivers it. Where security
    /// matters, use the token.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.head().text(&headers::USER_ID)
    }

    /// The workload access token, with which AgentCore Identity gives out credentials for the user.
    ///
    /// From `X-Amz-Bedrock-AgentCore-Identity-Wat`, else `WorkloadAccessToken`, else
    /// `X-Amzn-Bedrock-AgentCore-Runtime-Workload-AccessToken`. The platform sends it only when the invocation carries a
    /// user.
    #[must_use]
    pub fn workload_access_token(&self) -> Option<AccessToken> {
        headers::WORKLOAD_ACCESS_TOKENS
            .iter()
            .find_map(|name| self.head().text(name))
            .map(AccessToken::new)
    }

    /// The caller's own `Authorization`, which the platform delivers if the runtime's allow-list names it.
    #[must_use]
    pub fn authorization(&self) -> Option<AccessToken> {
        self.head()
            .text(&header::AUTHORIZATION)
            .map(AccessToken::new)
    }

    /// Where a three-legged OAuth flow returns to (`OAuth2CallbackUrl`).
    #[must_use]
    pub fn oauth2_callback_url(&self) -> Option<&str> {
        self.head().text(&headers::OAUTH2_CALLBACK_URL)
    }

    /// The headers that the agent may pass on to the services it calls.
    ///
    /// These are the request's headers without tokens, without the platform's own, and without those that concern one
    /// connection, such as `Host`.
    ///
    /// Behind Amazon Bedrock AgentCore Runtime an agent receives only the headers on the runtime's allow-list
    /// (`requestHeaderAllowlist`): `Authorization`, names that begin with `X-Amzn-Bedrock-AgentCore-Runtime-Custom-`, and most
    /// names that do not begin with `x-amz`. A header that is not on the list does not arrive. Elsewhere every header does.
    ///
    /// [`header`](Self::header) and [`Header`](crate::Header) read a single one.
    #[doc(alias = "request_headers")]
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head()
            .forwardable
            .get_or_init(|| headers::forwardable(&self.head().headers))
    }

    /// The first header of this name as text. The name's case does not matter.
    ///
    /// `None` if it is missing, empty or not visible ASCII. All headers of the request can be read, also those that
    /// [`headers`](Self::headers) leaves out. For a secret, [`authorization`](Self::authorization) and
    /// [`workload_access_token`](Self::workload_access_token) are safer: what they return does not show in `Debug`.
    ///
    /// [`Header`](crate::Header) takes a header as an argument, and answers 400 if it is missing.
    ///
    /// ```
    /// use agentcore::RequestContext;
    ///
    /// #[agentcore::entrypoint(main = false)]
    /// async fn handler(question: String, context: RequestContext) -> String {
    ///     let tenant = context.header("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant");
    ///     format!("{} asked: {question}", tenant.unwrap_or("nobody"))
    /// }
    /// ```
    #[doc(alias = "get_header")]
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.head().headers.get(name)?.to_str().ok()?;
        Some(value).filter(|text| !text.is_empty())
    }

    /// The values that earlier callers passed along.
    #[must_use]
    pub fn baggage(&self) -> &Baggage {
        self.head()
            .baggage
            .get_or_init(|| Baggage::of(&self.head().headers))
    }

    /// The trace that the request is part of.
    #[must_use]
    pub fn trace_context(&self) -> TraceContext<'_> {
        let head = self.head();
        TraceContext {
            traceparent: head.text(&headers::TRACEPARENT),
            tracestate: head.text(&headers::TRACESTATE),
            x_amzn_trace_id: head.text(&headers::X_AMZN_TRACE_ID),
        }
    }

    /// Cancelled when the request's `timeout` is over or the server is told to stop. Also cancelled when the client goes away,
    /// if the entrypoint takes a [`CancellationToken`] or is `on_disconnect = "cancel"`.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.0.cancellation()
    }

    /// All headers, including the tokens.
    pub(crate) fn all_headers(&self) -> &HeaderMap {
        self.head().all_headers()
    }

    fn head(&self) -> &RequestHead {
        self.0.head()
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("session_id", &self.session_id())
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

/// The trace that a request is part of, as its headers say.
///
/// ```
/// use agentcore::RequestContext;
///
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(context: RequestContext) -> Option<String> {
///     context.trace_context().traceparent.map(str::to_owned)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext<'a> {
    /// W3C: version, trace, parent, flags.
    pub traceparent: Option<&'a str>,
    /// W3C: what vendors add.
    pub tracestate: Option<&'a str>,
    /// The trace in X-Ray's form.
    pub x_amzn_trace_id: Option<&'a str>,
}

impl TraceContext<'_> {
    /// The trace's id, as 32 hexadecimal digits: from `traceparent`, or else from `X-Amzn-Trace-Id`.
    ///
    /// ```
    /// use agentcore::RequestContext;
    ///
    /// #[agentcore::entrypoint(main = false)]
    /// async fn handler(context: RequestContext) -> Option<String> {
    ///     context.trace_context().trace_id()
    /// }
    /// ```
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let span = RemoteSpan::of(self.traceparent, self.x_amzn_trace_id);
        span.map(|span| format!("{:032x}", span.trace))
    }
}

/// A secret that is never printed.
///
/// Comparing two takes the same time wherever they differ, so that a caller cannot find out a secret byte by byte. Compare
/// tokens, not what [`expose_secret`](Self::expose_secret) returns.
///
/// ```
/// # use agentcore::AccessToken;
/// let token = AccessToken::new("eyJhbGciOi");
/// assert_eq!(format!("{token:?}"), "AccessToken(***)");
/// assert_eq!(token.expose_secret(), "eyJhbGciOi");
/// assert!(token == AccessToken::new("eyJhbGciOi"));
/// ```
#[derive(Clone, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Do not log it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

/// The time of a comparison reveals only a secret's length.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        headers::is_equal_secret(&self.0, &other.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// A request's headers, and what has been read from them. Each is read at its first use.
pub(super) struct RequestHead {
    headers: HeaderMap,
    forwardable: OnceLock<HeaderMap>,
    baggage: OnceLock<Baggage>,
}

impl RequestHead {
    pub(super) fn new(mut headers: HeaderMap) -> Self {
        headers::protect(&mut headers);
        Self {
            headers,
            forwardable: OnceLock::new(),
            baggage: OnceLock::new(),
        }
    }

    pub(super) fn all_headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        headers::text(&self.headers, name)
    }

    /// The request's id, if the headers have one.
    pub(super) fn request_id(&self) -> Option<&str> {
        headers::REQUEST_IDS.iter().find_map(|name| self.text(name))
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").finish_non_exhaustive()
    }
}

/// A version 4 UUID with bits from the operating system. A seeded generator would be cloned, with its future, into every
/// session that the platform restores from a snapshot.
///
/// Without randomness, a constant. Ids tell requests apart in a log, which is no reason to fail a request.
pub(super) fn random_uuid() -> String {
    secret_uuid().unwrap_or_else(|| "00000000-0000-4000-8000-000000000000".to_owned())
}

/// A version 4 UUID that cannot be guessed; `None` without randomness.
pub(crate) fn secret_uuid() -> Option<String> {
    let mut bytes = [0; 16];
    if !platform::random(&mut bytes) {
        return None;
    }
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let (low, high) = (bits as u64, (bits >> 64) as u64);
    Some(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Kind;
    use crate::request::Instance;
    use crate::request::TrackerHandle;
    use crate::request::{Activity, Arrival};

    fn context(headers: &[(&'static str, &str)]) -> RequestContext {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    value.parse().expect("a header value"),
                )
            })
            .collect();
        let instance = Arc::new(Instance::new(TrackerHandle::default(), Arc::default()));
        let arrival = Arrival::uncounted(Kind::Invocation, "handler", headers);
        RequestContext(Arc::clone(Activity::begin(instance, arrival).scope()))
    }

    #[test]
    fn a_request_id_is_taken_from_either_header_or_made_once() {
        let both = [
            ("x-amzn-requestid", "b"),
            ("x-amzn-bedrock-agentcore-runtime-request-id", "a"),
        ];
        assert_eq!(context(&both).request_id(), "a");
        assert_eq!(context(&both[..1]).request_id(), "b");
        let made = context(&[]);
        let id = made.request_id().to_owned();
        assert_eq!(made.request_id(), id);
        assert_ne!(context(&[]).request_id(), id);
        let bytes = id.as_bytes();
        assert_eq!(
            (id.len(), bytes[14], [8, 13, 18, 23].map(|at| bytes[at])),
            (36, b'4', [b'-'; 4])
        );
        assert!(b"89ab".contains(&bytes[19]), "{id}");
    }

    #[test]
    fn the_first_token_in_the_documented_order_wins() {
        let all = [
            (
                "x-amzn-bedrock-agentcore-runtime-workload-accesstoken",
                "third",
            ),
            ("workloadaccesstoken", "second"),
            ("x-amz-bedrock-agentcore-identity-wat", "first"),
        ];
        for (count, expected) in [(3, "first"), (2, "second"), (1, "third")] {
            let token = context(&all[..count])
                .workload_access_token()
                .expect("a token");
            assert_eq!(token.expose_secret(), expected);
        }
        assert_eq!(context(&[]).workload_access_token(), None);
        assert_eq!(
            context(&[("workloadaccesstoken", "")]).workload_access_token(),
            None
        );
    }

    #[test]
    fn a_header_is_found_by_name_in_any_case() {
        let context = context(&[
            ("x-tenant", "acme"),
            ("authorization", "a"),
            ("x-empty", ""),
        ]);
        assert_eq!(context.header("X-Tenant"), Some("acme"));
        // `authorization` is not among the headers to pass on.
        assert_eq!(context.header("authorization"), Some("a"));
        assert_eq!(context.header("x-empty"), None);
        assert_eq!(context.header("x-other"), None);
        assert_eq!(context.header("not a name"), None);
    }

    #[test]
    fn secrets_show_nowhere() {
        let context = context(&[
            ("authorization", "Bearer hidden"),
            ("workloadaccesstoken", "hidden"),
            ("x-amz-bedrock-agentcore-identity-wat", "hidden"),
            ("x-amzn-bedrock-agentcore-runtime-custom-tenant", "acme"),
        ]);
        assert_eq!(
            context.authorization().expect("a token").expose_secret(),
            "Bearer hidden"
        );
        let shown = format!(
            "{context:?} {:?} {:?} {:?}",
            context.headers(),
            context.authorization(),
            context.workload_access_token()
        );
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("acme"), "{shown}");
    }

    #[test]
    fn only_secrets_that_are_the_same_are_equal() {
        let token = AccessToken::new;
        assert_eq!(token("secret"), token("secret"));
        assert_eq!(token(""), token(""));
        for other in ["Secret", "secreT", "secre", "secrets", ""] {
            assert!(token("secret") != token(other) && token(other) != token("secret"));
        }
    }
}
