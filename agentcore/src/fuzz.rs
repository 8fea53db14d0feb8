//! The internals that the fuzz targets of `agentcore/fuzz` use. **Not public API**, and only present with `--cfg fuzzing`. It
//! has only what the public API does not reach.

#![expect(missing_debug_implementations, reason = "for fuzzers, not for people")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::Origins;
use crate::config::{Config, Environment, Reader};
use crate::error::Error;
use crate::handler::extract::{FromInvocation as _, Invocation};
use crate::handler::response::Response;
use crate::log::Log;
use crate::report::Kind;
use crate::request::Instance;
use crate::request::TrackerHandle;
use crate::request::{Activity, Arrival, RequestContext};
use crate::server::InProcess;
use crate::ws;

/// A served app with a status of its own, for connections that the caller supplies.
pub struct Server(InProcess);

impl Server {
    /// Checks `app` and runs its start hooks. Ignores the environment.
    pub async fn start(app: App) -> Result<Self, Error> {
        let (agent, settings) = app.into_agent_for_tests()?;
        InProcess::start(agent, settings).await.map(Self)
    }

    /// Serves HTTP on `io` until the connection is over, or `stop` completes and the shutdown is over. `answered` is called with
    /// the method and the status of every answer, in order.
    pub async fn serve<T>(
        &self,
        io: T,
        crowded: bool,
        stop: impl Future<Output = ()>,
        answered: impl Fn(&Method, StatusCode) + Clone + Send + 'static,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.serve(io, crowded, stop, answered).await;
    }

    /// Serves WebSocket on `io`. `ahead` holds the bytes that were read with the handshake. The handle is that of the session.
    pub async fn open_session<T>(&self, io: T, ahead: Bytes) -> Result<JoinHandle<()>, StatusCode>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.0.open_session(HeaderMap::new(), io, ahead).await
    }

    /// Stops as after a signal.
    pub async fn stop(&self) {
        let _ = self.0.stop().await;
    }

    /// Completes when nothing is in progress.
    pub async fn idle(&self) {
        self.0.tracker().idle().await;
    }

    /// The number of tasks and invocations in progress, whether or not they count as busy.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.0.tracker().in_progress()
    }

    /// Whether `/ping` would report busy; `None` while a debug action forces the status.
    #[must_use]
    pub fn is_busy(&self) -> Option<bool> {
        let view = self.0.tracker().status();
        view.forced.is_none().then(|| view.effective().is_busy())
    }
}

/// The context of a request with `headers`, and the invocation that extractors see.
#[must_use]
pub fn request(headers: HeaderMap) -> (RequestContext, Invocation) {
    let instance = Arc::new(Instance::new(TrackerHandle::default(), Arc::default()));
    let arrival = Arrival::uncounted(Kind::Invocation, "handler", headers);
    let activity = Activity::begin(instance, arrival);
    let mut invocation = Invocation::new(Arc::clone(activity.scope()), Bytes::new());
    match RequestContext::from_invocation(&mut invocation) {
        Ok(context) => (context, invocation),
        Err(never) => match never {},
    }
}

/// The answer to a handshake at a server that is open to the pages of `origins`; `None` if `origins` is not a list of origins.
pub fn handshake(
    version: Version,
    headers: &HeaderMap,
    origins: &str,
) -> Option<Result<Response, Response>> {
    let origins = Origins::parse(origins.split(','))?;
    Some(ws::accept(version, headers, &origins))
}

/// The configuration that a set of variables results in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    pub address: std::net::SocketAddr,
    pub worker_threads: Option<usize>,
    pub max_connections: usize,
    /// All durations.
    pub durations: [Duration; 5],
    pub frame_bytes: usize,
    pub frame_payload_bytes: usize,
    pub frames_per_second: u32,
    /// The other settings, as text.
    pub rest: String,
}

/// Reads the configuration from `variable` as a start would.
pub fn settings(variable: &dyn Fn(&str) -> Option<String>) -> Result<Resolved, Error> {
    let environment = Environment {
        variable,
        in_container: false,
    };
    let settings = Config::new().resolve(&environment)?;
    let sockets = &settings.ws;
    Ok(Resolved {
        address: settings.address,
        worker_threads: settings.worker_threads,
        max_connections: settings.max_connections,
        durations: [
            settings.header_timeout,
            settings.body_timeout,
            settings.write_timeout,
            settings.shutdown_grace,
            sockets.ping_interval,
        ],
        frame_bytes: sockets.frame_bytes,
        frame_payload_bytes: ws::payload_bytes(sockets),
        frames_per_second: sockets.frames_per_second,
        rest: format!("{settings:?}"),
    })
}

/// Reads the log settings from `variable` as a start would. Returns the result as text.
pub fn log(variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Error> {
    let environment = Environment {
        variable,
        in_container: false,
    };
    let mut env = Reader::new(&environment);
    let log = Log::read(&Config::new(), &mut env);
    env.finish().map(|_| format!("{log:?}"))
}
