//! The agent as the service inside the layers. It uses the router's own routes.

use std::sync::Arc;

use http::Request;

use super::front::Front;
use super::router;
use crate::handler::body::Body;
use crate::handler::layer;
use crate::handler::routes::Mounted;
use crate::util::BoxFuture;

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
    move |request| {
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
