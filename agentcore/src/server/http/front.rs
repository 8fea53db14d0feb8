//! [`Front`]: what all requests to a server share.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::{HeaderValue, StatusCode, header};

use super::after_restore::{AfterRestore, NOT_RESTORED};
use super::dev::Dev;
use super::operators;
use super::phase::{Phase, PhaseCell};
use super::ping::Pinger;
use super::restore_detector::RestoreDetector;
use super::warmup::Warmup;
use crate::app::parts::{Agent, Router};
use crate::config::Settings;
use crate::handler::layer::Endpoint;
use crate::handler::response::Response;
use crate::handler::routes::Mounts;
#[cfg(feature = "mcp")]
use crate::mcp::Runs;
use crate::metrics::Refused;
use crate::otel;
use crate::report;
use crate::request::admission::Concurrency;
use crate::request::{Instance, TrackerHandle};
use crate::server::connection::idle::Connections;
use crate::server::threads::Workers;
use crate::util::BoxFuture;
use crate::util::sync::Mutex;
#[cfg(feature = "ws")]
use crate::ws::Sockets;

/// What all requests to a server share. The tasks that answer requests use it, and those that watch the workers.
pub(crate) struct Front {
    pub(crate) agent: Agent,
    pub(crate) settings: Settings,
    pub(crate) instance: Arc<Instance>,
    pub(crate) workers: Workers,
    pub(crate) phase: PhaseCell,
    pub(crate) pinger: Pinger,
    /// The agent inside its layers. Set once the layers have been built, and never if there are none.
    pub(crate) endpoint: OnceLock<Endpoint>,
    pub(crate) has_layers: bool,
    /// The routers, in the order of the agent's parts.
    pub(crate) mounts: Arc<Mounts>,
    /// The place in `mounts` of the router on the agent's own port.
    pub(crate) routes: Option<usize>,
    #[cfg(feature = "ws")]
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) connections: Connections,
    /// Whether probes and metrics are answered on the agent's port, because there is no admin port.
    pub(crate) serves_operators: bool,
    dev: Option<Dev>,
    pub(crate) warmup: Warmup,
    pub(crate) after_restore: AfterRestore,
    /// Runs what comes to the port of the Model Context Protocol; `None` if nothing answers there.
    #[cfg(feature = "mcp")]
    pub(crate) mcp: Option<Runs>,
    restores: Mutex<RestoreDetector>,
    /// `Some` if the app has durable tasks.
    #[cfg(feature = "durable")]
    pub(crate) durable: Option<Arc<crate::durable::Client>>,
}

impl Front {
    pub(crate) fn new(
        mut agent: Agent,
        settings: Settings,
        dev: Option<Dev>,
        tracker: TrackerHandle,
        workers: Workers,
        has_layers: bool,
    ) -> Self {
        let states = std::mem::take(&mut agent.states);
        let concurrency = Concurrency::new(settings.max_invocations, settings.session_policy);
        tracker.set_max_age(settings.task_max_age);
        tracker.set_line_level(settings.log_tasks);
        let mut instance = Instance::new(tracker, concurrency)
            .with_metrics(settings.metrics)
            .with_lines(settings.log_invocations.level())
            .with_max_json_nodes(settings.max_json_nodes)
            .with_invocations_path(settings.invocations_path.clone());
        instance.states = states;
        #[cfg(feature = "mcp")]
        let mcp = agent
            .serves_mcp()
            .then(|| Runs::new(&agent, &settings, &instance.stop_told));
        #[cfg(feature = "mcp")]
        instance.mcp_path.clone_from(&settings.mcp_path);
        #[cfg(feature = "durable")]
        let durable = (!agent.durable.is_empty()).then(|| {
            let tasks = agent.durable.iter().map(|def| def.task).collect();
            let (settings, tracker) = (settings.durable.clone(), instance.tracker.clone());
            Arc::new(crate::durable::Client::new(tasks, settings, tracker))
        });
        #[cfg(feature = "durable")]
        {
            instance.durable = durable.clone().map(|client| client as _);
        }
        let instance = Arc::new(instance);
        let hooks = agent.warmup_hooks.clone();
        let warmup = Warmup::new(hooks, Arc::clone(&instance), workers.runtime().clone());
        let hooks = agent.restore_hooks.clone();
        let after_restore =
            AfterRestore::new(hooks, Arc::clone(&instance), workers.runtime().clone());
        Self {
            pinger: Pinger::new(agent.ping.clone(), settings.stamp_while_busy),
            has_layers,
            endpoint: OnceLock::new(),
            mounts: Arc::new(Mounts(agent.routers.iter().map(Router::mount).collect())),
            routes: agent
                .routers
                .iter()
                .position(|router| router.port.is_none()),
            connections: Connections::new(settings.header_timeout),
            agent,
            serves_operators: operators::is_asked_for(&settings) && settings.admin_port.is_none(),
            #[cfg(feature = "ws")]
            sockets: Arc::new(Sockets::new(settings.ws.clone(), settings.shutdown_grace)),
            settings,
            instance,
            workers,
            phase: PhaseCell::new(),
            dev,
            warmup,
            after_restore,
            #[cfg(feature = "mcp")]
            mcp,
            restores: Mutex::new(RestoreDetector::new()),
            #[cfg(feature = "durable")]
            durable,
        }
    }

    /// The dev page, if it is on. A build without the page knows from the setting's type that it is not.
    pub(crate) fn dev(&self) -> Option<&Dev> {
        self.settings.dev.and(self.dev.as_ref())
    }

    /// Checks whether the process has been restored from a snapshot since the last check. Has to be called before every answer
    /// or event that must not use a stamp from before a restore, on the front's runtime. Returns the time of the check, so that
    /// callers need not read the clock again.
    pub(crate) fn notice_restore(&self) -> Instant {
        let now = Instant::now();
        if self.restores.lock().restored(now) {
            report::emit(|| {
                tracing::info!(
                    "the clock jumped ahead: restored from a snapshot; the idle time starts anew"
                );
            });
            self.restored();
        }
        now
    }

    /// Renews what a snapshot has cloned, and begins a run of the restore hooks. Has to be called on the front's runtime.
    pub(crate) fn restored(&self) {
        self.instance.tracker.restored();
        otel::restored();
        #[cfg(feature = "durable")]
        if let Some(client) = &self.durable {
            client.note_restored();
        }
        if self.phase.get() == Phase::Serving {
            self.after_restore.begin();
        }
    }

    /// The gate before user code. Every request that may reach user code passes it. It returns whether the request may go on, as
    /// soon as that is known; `None` if the request may go on now. Has to be called on the front's runtime.
    pub(crate) fn until_restored(&self) -> Option<BoxFuture<bool>> {
        if !self.after_restore.has_hooks() || self.phase.get() != Phase::Serving {
            return None;
        }
        self.notice_restore();
        self.after_restore.wait()
    }

    /// The time at which a request that has passed the gate begins. Without restore hooks this checks for a restore, as the gate
    /// does otherwise: a check behind the gate could close it for a request that goes on.
    pub(crate) fn time_of_arrival(&self) -> Instant {
        if self.after_restore.has_hooks() {
            Instant::now()
        } else {
            self.notice_restore()
        }
    }

    /// The refusal of a request for which [`until_restored`](Self::until_restored) has returned `false`.
    pub(crate) fn not_restored(&self) -> Response {
        self.unavailable(NOT_RESTORED, Refused::NotServing)
    }

    pub(crate) fn count_refused(&self, why: Refused) {
        if let Some(metrics) = &self.instance.metrics {
            metrics.refuse(why);
        }
    }

    /// Makes a 503 with `retry-after`, and counts the refusal.
    pub(crate) fn unavailable(&self, why: &str, reason: Refused) -> Response {
        self.count_refused(reason);
        come_back(Response::error(why).with_status(StatusCode::SERVICE_UNAVAILABLE))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        #[cfg(feature = "durable")]
        if let Some(client) = &self.durable {
            client.end_all();
        }
        self.connections.close();
    }
}

/// Adds `retry-after: 1`.
pub(crate) fn come_back(response: Response) -> Response {
    response.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
