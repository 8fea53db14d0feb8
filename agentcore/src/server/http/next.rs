//! [`Next`]: the work for a request whose body has been read.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::exchange::Connection;
use super::front::Front;
#[cfg(feature = "mcp")]
use super::mcp;
use crate::handler::body::Body;
use crate::handler::extract::Invocation;
use crate::handler::invoke::{Job, Reshape, Unwanted};
use crate::handler::response::{Response, internal_error};
use crate::request::Activity;
use crate::server::threads::handover::What;

/// A request that the workers answer.
pub(super) struct Next {
    pub(super) what: What,
    /// What happens to the work when the client has left.
    pub(super) unwanted: Unwanted,
    /// Whether a client that leaves has to be noticed while the reply is made.
    pub(super) watches: bool,
    pub(super) reshape: Option<Reshape>,
}

/// Decides about a request. The error is the answer that the front itself has for it.
pub(super) fn decide(
    connection: &Connection,
    activity: Activity,
    head: Option<Box<http::request::Parts>>,
    body: Bytes,
) -> Result<Next, Response> {
    #[cfg(feature = "mcp")]
    if connection.port.is_mcp() {
        return mcp::next(connection, activity, head, body);
    }
    let front = &connection.front;
    let what = work(front, activity, head, body);
    let what = what.ok_or_else(|| front.settings.errors.apply(internal_error()))?;
    let options = front.agent.entrypoint.as_ref().map(|found| found.options);
    let cancels = options.is_some_and(|options| options.cancel_on_disconnect);
    Ok(Next {
        what,
        unwanted: Unwanted::by_client(cancels),
        watches: options.is_some_and(|options| options.watch_disconnect),
        reshape: None,
    })
}

/// The work for a request; `None` if nothing would answer it.
fn work(
    front: &Front,
    activity: Activity,
    head: Option<Box<http::request::Parts>>,
    body: Bytes,
) -> Option<What> {
    if let (Some(endpoint), Some(head)) = (front.endpoint.get(), head) {
        let mut request = Request::from_parts(*head, Body::from(body));
        *request.headers_mut() = activity.scope().headers().clone();
        let endpoint = endpoint.clone();
        return Some(What::Layered(endpoint, Box::new(request), activity));
    }
    let entrypoint = front.agent.entrypoint.as_ref()?;
    let job = Job {
        invocation: Invocation::new(Arc::clone(activity.scope()), body),
        options: entrypoint.options,
        debug: front.settings.debug,
        activity,
    };
    Some(What::Invocation(Arc::clone(&entrypoint.run), job))
}
