//! The agent as the service inside the layers. It uses the router's own routes.

use std::sync::Arc;

use http::Request;

use super::front::Front;
use super::router;
#[cfg(feature = "mcp")]
use crate::config::ErrorMode;
use crate::handler::body::Body;
#[cfg(feature = "mcp")]
use crate::handler::invoke::Options;
use crate::handler::layer;
use crate::handler::routes::Mounted;
#[cfg(feature = "mcp")]
use crate::mcp::OfSession;
use crate::util::BoxFuture;

/// An extension of a request to the port of the Model Context Protocol, whose layers are those of the agent.
#[cfg(feature = "mcp")]
#[derive(Clone, Copy)]
pub(super) enum ToMcp {
    Message(Options),
    /// A request of a session of the protocol that is no message.
    OfSession(OfSession),
    /// A request to the path of messages with another method than POST.
    OtherMethod,
    OtherPath,
}

/// The service inside all layers.
pub(crate) fn agent(
    front: &Front,
) -> impl Fn(Request<Body>) -> BoxFuture<http::Response<Body>> + Send + Sync + 'static {
    let entrypoint = front.agent.entrypoint.as_ref();
    // Not the `Front` itself: it owns the layers, so the two would own each other.
    let entrypoint = entrypoint.map(|found| (found.options, found.run.clone()));
    let (debug, errors) = (front.settings.debug, front.settings.errors);
    let (mounts, own) = (Arc::clone(&front.mounts), front.routes);
    let invocations = front.settings.invocations_path.clone();
    #[cfg(feature = "mcp")]
    let mcp = front.mcp.clone();
    move |request| {
        #[cfg(feature = "mcp")]
        if let Some(to) = request.extensions().get().copied() {
            let refused = match (to, mcp.clone()) {
                (ToMcp::OfSession(which), Some(mcp)) => match mcp.of_session(which) {
                    Some(run) => {
                        let run = (Options::new(""), run);
                        let call = layer::call(run, false, ErrorMode::Http, request);
                        return Box::pin(call);
                    }
                    None => router::method_not_allowed("POST"),
                },
                (ToMcp::Message(options), Some(mcp)) => {
                    let run = mcp.message();
                    // The reply becomes an error of the protocol behind the layers.
                    let call = layer::call((options, run), false, ErrorMode::Http, request);
                    return Box::pin(call);
                }
                (ToMcp::OtherMethod, _) => router::method_not_allowed("POST"),
                (ToMcp::Message(_) | ToMcp::OfSession(_) | ToMcp::OtherPath, _) => {
                    router::not_found()
                }
            };
            return Box::pin(async move { refused.into_http() });
        }
        let (path, method) = (request.uri().path(), request.method());
        let refused = router::refusal(entrypoint.is_some().then_some(&*invocations), path, method);
        let is_for_entrypoint = entrypoint.is_some() && path == &*invocations;
        let mounted = request.extensions().get().map(|Mounted(mount)| *mount);
        // A layer may have given a request for a route the path of the entrypoint, and the other way round.
        let mount = match mounted.or(own) {
            mount if mount == own && is_for_entrypoint => None,
            mount => mount,
        };
        if let Some(mount) = mount {
            let mounts = Arc::clone(&mounts);
            return Box::pin(async move {
                match mounts.0.get(mount) {
                    Some(mount) => layer::call_mount(mount, request).await,
                    None => router::not_found().into_http(),
                }
            });
        }
        match (refused, entrypoint.clone()) {
            (None, Some(entrypoint)) => Box::pin(layer::call(entrypoint, debug, errors, request)),
            (refused, _) => {
                let refused = refused.unwrap_or_else(router::not_found);
                Box::pin(async move { refused.into_http() })
            }
        }
    }
}
