//! The agent as the service inside the layers. It uses the router's own routes.

use http::Request;

use super::front::Front;
use super::router;
use crate::handler::body::Body;
use crate::handler::layer;
use crate::util::BoxFuture;

/// The service inside all layers.
pub(crate) fn agent(
    front: &Front,
) -> impl Fn(Request<Body>) -> BoxFuture<http::Response<Body>> + Send + Sync + 'static {
    let entrypoint = front.agent.entrypoint.as_ref();
    // Not the `Front` itself: it owns the layers, so the two would own each other.
    let entrypoint = entrypoint.map(|found| (found.options, found.run.clone()));
    let (debug, errors) = (front.settings.debug, front.settings.errors);
    let path = front.settings.invocations_path.clone();
    move |request| {
        let path = entrypoint.is_some().then_some(&*path);
        let refused = router::refusal(path, request.uri().path(), request.method());
        match (refused, entrypoint.clone()) {
            (None, Some(entrypoint)) => Box::pin(layer::call(entrypoint, debug, errors, request)),
            (refused, _) => {
                let refused = refused.unwrap_or_else(router::not_found);
                Box::pin(async move { refused.into_http() })
            }
        }
    }
}
