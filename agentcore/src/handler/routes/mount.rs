//! The routers of an agent while it is served, and how a request reaches one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tokio::runtime::Handle;

use super::idle::Idle;
use super::upgrade::{Guards, Wanted};
use super::upload::Arriving;
use super::{Body, BoxFuture, RouteService};
use crate::handler::extract::Invocation;
use crate::handler::invoke::{self, Answer, Client, Job, Options, RunIn};
use crate::handler::layer::Endpoint;
use crate::handler::response::Response;
use crate::request::{self, Activity};

/// One router of an agent, while the agent is served.
pub(crate) struct Mount {
    pub(crate) options: Options,
    pub(crate) idle: Idle,
    /// Set on the workers, when the start hooks have run.
    service: OnceLock<RouteService>,
}

impl Mount {
    pub(crate) fn new(options: Options, idle: Idle) -> Self {
        Self {
            options,
            idle,
            service: OnceLock::new(),
        }
    }

    /// Stores the service. Runs on the workers.
    pub(crate) fn set(&self, service: RouteService) {
        self.service.get_or_init(|| service);
    }

    /// Starts or runs one call of the service.
    fn run(
        &self,
        activity: Activity,
        request: Request<Body>,
        run_in: RunIn<'_>,
    ) -> Option<BoxFuture<Answer>> {
        let service = self.service.get().cloned();
        let job = Job {
            invocation: Invocation::new(Arc::clone(activity.scope()), Bytes::new()),
            options: self.options,
            debug: false,
            activity,
        };
        invoke::start(job, run_in, move |_| call(service, request))
    }
}

/// Calls the service in the scope of the request.
async fn call(service: Option<RouteService>, mut request: Request<Body>) -> Response {
    let Some(RouteService(call)) = service else {
        return Response::error("Starting").with_status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let offered = request.extensions_mut().remove::<Offered>();
    let is_head = request.method() == Method::HEAD;
    let mut response = Response::from_http(call(request).await);
    response = if is_head {
        response.without_body()
    } else {
        response.with_announced_length()
    };
    match offered {
        Some(Offered(guards)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            // The agent is busy with the connection until the program drops it.
            guards.put(request::hold(), request::Stream::open());
            response.switching()
        }
        _ => response,
    }
}

/// The routers of an agent, in the order of its parts.
#[derive(Default)]
pub(crate) struct Mounts(pub(crate) Vec<Mount>);

/// Which router a request is for. An extension of the request, so that it passes through the layers.
#[derive(Clone, Copy)]
pub(crate) struct Mounted(pub(crate) usize);

/// The guards of the connection that the service may upgrade. An extension of the request.
#[derive(Clone)]
struct Offered(Arc<Guards>);

/// A request on its way to the workers.
pub(crate) struct Routed {
    pub(crate) mounts: Arc<Mounts>,
    /// The place of the router in `mounts`.
    pub(crate) mount: usize,
    /// The layers around it, if there are any.
    pub(crate) layers: Option<Endpoint>,
    pub(crate) head: http::request::Parts,
    pub(crate) body: Arriving,
    /// The connection, if the client wants to upgrade it.
    pub(crate) upgrade: Option<Wanted>,
    pub(crate) activity: Activity,
}

impl Routed {
    /// Starts the request on the workers.
    pub(crate) fn start(self, workers: &Handle, client: Client) {
        let Self {
            mounts,
            mount,
            layers,
            mut head,
            body,
            upgrade,
            activity,
        } = self;
        head.headers = activity.scope().headers().clone();
        head.extensions.insert(Mounted(mount));
        if let Some((on_upgrade, guards)) = upgrade.and_then(Wanted::offer) {
            head.extensions.insert(on_upgrade);
            head.extensions.insert(Offered(guards));
        }
        let request = Request::from_parts(head, body.open());
        match layers {
            Some(layers) => layers.start(workers, request, activity, client),
            None => {
                if let Some(mount) = mounts.0.get(mount) {
                    mount.run(activity, request, RunIn::Task(workers, client));
                }
            }
        }
    }
}

/// Calls the router for a request that comes out of the layers, in their task. `activity` has the headers that the layers have
/// left.
pub(crate) async fn call_within_layers(
    mount: &Mount,
    activity: Activity,
    request: Request<Body>,
) -> Option<Response> {
    let answer = mount.run(activity, request, RunIn::Caller)?;
    let (response, _) = answer.await;
    Some(response)
}
