//! [`Caller`]: the request behind a call of `rmcp`'s, and what its client understands.

use std::sync::Arc;

use http::{HeaderMap, header};
use rmcp::ErrorData;
use rmcp::model::ProtocolVersion;
use rmcp::service::{RequestContext, RoleServer};
use tokio_util::sync::CancellationToken;

use crate::request::Scope;

/// The request that a call belongs to, in the extensions of the request that `rmcp` gets.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) scope: Arc<Scope>,
    pub(super) in_session: Option<SessionTokens>,
}

/// The tokens of a request in a session of the protocol.
#[derive(Clone, Debug)]
pub(super) struct SessionTokens {
    /// Cancelled when the client cannot be asked any more.
    pub(super) over: CancellationToken,
    /// Cancelled when the session has ended before the agent has been told to stop.
    pub(super) ended: CancellationToken,
}

impl Caller {
    pub(super) fn of(scope: &Arc<Scope>, in_session: Option<SessionTokens>) -> Self {
        Self {
            scope: Arc::clone(scope),
            in_session,
        }
    }
}

/// The request. It is missing only if `rmcp` has lost it.
pub(super) fn known(context: &RequestContext<RoleServer>) -> Result<Arc<Scope>, ErrorData> {
    caller(context)
        .map(|caller| Arc::clone(&caller.scope))
        .ok_or_else(|| ErrorData::internal_error("the request is not known", None))
}

/// The request as the agent knows it.
fn caller(context: &RequestContext<RoleServer>) -> Option<&Caller> {
    let parts = context.extensions.get::<http::request::Parts>()?;
    parts.extensions.get::<Caller>()
}

/// Whether the client reads event streams: messages before the result make the reply one.
pub(super) fn reads_events(context: &RequestContext<RoleServer>) -> bool {
    caller(context).is_some_and(|caller| accepts_events(caller.scope.headers()))
}

/// The tokens of a request in a session of the protocol; `None` for another request.
pub(super) fn in_session(context: &RequestContext<RoleServer>) -> Option<&SessionTokens> {
    caller(context)?.in_session.as_ref()
}

/// Completes when the client cancels the request: by leaving since 2026-07-28, and in a session by a message or by ending the session. A
/// client of an earlier revision without a session cannot.
pub(super) async fn cancelled(context: &RequestContext<RoleServer>) {
    match in_session(context) {
        _ if is_modern(context) => context.ct.cancelled().await,
        Some(session) => {
            tokio::select! {
                () = context.ct.cancelled() => {}
                () = session.ended.cancelled() => {}
            }
        }
        None => std::future::pending::<()>().await,
    }
}

/// Whether the request is of revision 2026-07-28 or a later one. Since then a client that leaves cancels its call, no request goes
/// from the server to the client, and there are no sessions.
pub(super) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// Whether a client says that it reads event streams.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|kinds| memchr::memmem::find(kinds.as_bytes(), b"text/event-stream").is_some())
}
