//! The front: the one thread that owns the sockets.
//!
//! It runs no code of the user's, so nothing of the user's can keep it from answering `/ping`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Runtime};
use tokio::time::timeout;

use super::accept::accept_all;
use super::admin;
use super::clock::RestoreDetector;
use super::connections::Connections;
#[cfg(feature = "dev-page")]
use super::dev::{self, Dev};
use super::handover::Handover;
use super::lifecycle::{Phase, PhaseCell, Stop};
use super::old_tasks;
use super::ping::Pinger;
use super::stalls;
use super::wake::WakeQueue;
use super::{Listeners, OnReady};
use crate::agent::Agent;
use crate::backlog::Backlog;
use crate::boxed;
use crate::concurrency::Concurrency;
use crate::config::Settings;
use crate::drops::DropOnWorkers;
use crate::error::{Error, Kind};
use crate::events;
use crate::instance::Instance;
use crate::layer::{Endpoint, Wrap};
use crate::panics;
use crate::platform::Signals;
use crate::state::States;
use crate::tasks::TrackerHandle;

/// How long replies that are written may take to leave, once nothing produces any more.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// The same, when the grace is over already.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// What every connection shares.
pub(super) struct Front {
    pub(super) agent: Agent,
    pub(super) settings: Settings,
    pub(super) instance: Arc<Instance>,
    pub(super) workers: Handle,
    pub(super) phase: PhaseCell,
    pub(super) pinger: Pinger,
    /// The agent with its layers around it, once they have been built; never where there are none.
    pub(super) endpoint: OnceLock<Endpoint>,
    pub(super) has_layers: bool,
    /// Until they are built.
    layers: Mutex<DropOnWorkers<Vec<Wrap>>>,
    /// The ways to the workers and back.
    pub(super) handover: Arc<Handover>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) wakes: Arc<WakeQueue>,
    pub(super) connections: Connections,
    /// Whether what operators ask is answered beside everything else, for want of a port of its own.
    pub(super) serves_operators: bool,
    /// There while the dev page is on.
    #[cfg(feature = "dev-page")]
    pub(super) dev: Option<Dev>,
    clock: Mutex<RestoreDetector>,
}

/// Serves until stopped. Runs on the front's thread, and is all that runs there.
pub(super) fn run(
    listeners: Listeners,
    mut agent: Agent,
    settings: Settings,
    workers: Handle,
    stop: &Stop,
    on_ready: Option<OnReady>,
    signals: bool,
) -> Result<(), Error> {
    crate::log::never_wait();
    events::queue_here();
    let io = |error: std::io::Error| {
        Error::new(Kind::Io, format!("cannot serve: {error}")).with_source(error)
    };
    let states = std::mem::take(&mut agent.states);
    #[cfg(feature = "dev-page")]
    let dev = settings.dev.then(|| Dev::new(&agent, settings.errors));
    let front = Front::new(agent, settings, TrackerHandle::Process, workers);
    #[cfg(feature = "dev-page")]
    let front = front.with(dev);
    let front = Arc::new(front);
    let runtime = runtime(&front).map_err(io)?;
    let result = runtime.block_on(async {
        let listeners = listeners.registered().map_err(io)?;
        let mut signals = if signals {
            Some(Signals::new().map_err(io)?)
        } else {
            None
        };
        let mut requests = StopRequests {
            signals: signals.as_mut(),
            stop,
        };
        tokio::select! {
            result = Arc::clone(&front).live(listeners, states, on_ready, &mut requests) => result,
            () = stop.abandoned() => Ok(()),
        }
    });
    // Only now, when there is nothing left to answer: states and handlers are the user's, and so are their drops.
    panics::drop_caught(runtime, "a connection");
    panics::drop_caught(front, "a part of the agent");
    result
}

/// The front's own runtime: one thread.
fn runtime(front: &Front) -> std::io::Result<Runtime> {
    let backlog = Arc::clone(&front.backlog);
    let workers = front.workers.metrics().num_workers();
    tokio::runtime::Builder::new_current_thread()
        // Looks for new connections and pings this often, in tasks polled; the default is 61.
        .event_interval(31)
        .on_thread_park(move || backlog.rest_behind(workers))
        .enable_all()
        .build()
}

/// The two ways in which a stop is asked for.
struct StopRequests<'a> {
    signals: Option<&'a mut Signals>,
    stop: &'a Stop,
}

impl StopRequests<'_> {
    /// Completes at the first request, with what it was.
    async fn first(&mut self) -> &'static str {
        match &mut self.signals {
            Some(signals) => tokio::select! {
                name = signals.next() => name,
                () = self.stop.drain_wanted() => "a request",
            },
            None => {
                self.stop.drain_wanted().await;
                "a request"
            }
        }
    }

    /// Completes at a signal; never where signals are left to the program.
    async fn another_signal(&mut self) -> &'static str {
        match &mut self.signals {
            Some(signals) => signals.next().await,
            None => std::future::pending().await,
        }
    }
}

/// How the server's life ended.
struct Ended {
    result: Result<(), Error>,
    /// How long replies that are on their way out are waited for.
    patience: Duration,
}

impl Ended {
    fn at_once(result: Result<(), Error>) -> Self {
        Self {
            result,
            patience: Duration::ZERO,
        }
    }
}

impl Front {
    pub(super) fn new(
        mut agent: Agent,
        settings: Settings,
        tracker: TrackerHandle,
        workers: Handle,
    ) -> Self {
        let layers = std::mem::take(&mut agent.layers);
        let concurrency = Concurrency::new(settings.max_invocations, settings.session_policy);
        tracker.set_max_age(settings.task_max_age);
        let instance = Instance::new(tracker, concurrency).with_metrics(settings.metrics);
        Self {
            pinger: Pinger::new(agent.ping.clone(), settings.stamp_while_busy),
            has_layers: !layers.is_empty(),
            layers: Mutex::new(DropOnWorkers::on(&workers, layers, "the layers")),
            endpoint: OnceLock::new(),
            connections: Connections::new(settings.header_timeout),
            agent,
            serves_operators: admin::is_asked_for(&settings) && settings.admin_port.is_none(),
            settings,
            instance: Arc::new(instance),
            workers,
            phase: PhaseCell::new(),
            handover: Arc::default(),
            backlog: Arc::default(),
            wakes: Arc::default(),
            #[cfg(feature = "dev-page")]
            dev: None,
            clock: Mutex::new(RestoreDetector::new()),
        }
    }

    #[cfg(feature = "dev-page")]
    fn with(mut self, dev: Option<Dev>) -> Self {
        self.dev = dev;
        self
    }

    /// Begins what goes on all along. The caller's runtime is the front's.
    pub(super) fn begin(&self) {
        self.handover.begin(&self.workers);
        boxed::spawn(Arc::clone(&self.wakes).deliver());
        boxed::spawn(self.connections.clone().give_up_idle());
    }

    /// Looks whether the process has been restored from a snapshot since the last time, before anything is said or done
    /// that must not be as it was then. What it was `now`, for whoever has a use for it: clocks are not for nothing.
    pub(super) fn notice_restore(&self) -> Instant {
        let now = Instant::now();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.restored(now) {
            tracing::info!(
                "the clock jumped ahead: restored from a snapshot; the idle time starts anew"
            );
            self.instance.tracker.restored();
        }
        now
    }

    /// The whole life of the server. Connections are accepted, and pings answered, all along.
    async fn live(
        self: Arc<Self>,
        listeners: Listeners<tokio::net::TcpListener>,
        states: States,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Result<(), Error> {
        self.begin();
        boxed::spawn(stalls::watch(Arc::clone(&self)));
        #[cfg(feature = "dev-page")]
        if self.dev.is_some() {
            boxed::spawn(dev::look_on(Arc::clone(&self)));
        }
        if let Some(limit) = self.settings.task_max_age {
            boxed::spawn(old_tasks::end(Arc::clone(&self), limit));
        }
        if let Some(listener) = listeners.admin {
            boxed::spawn(admin::serve(Arc::clone(&self), listener));
        }
        let life = async {
            let ended = self.phases(states, on_ready, requests).await;
            // What is left are replies on their way out, idle connections, and clients that do not read.
            tokio::select! {
                _ = timeout(ended.patience, self.connections.shutdown()) => {}
                _ = requests.another_signal() => {}
            }
            ended.result
        };
        tokio::select! {
            never = accept_all(Arc::clone(&self), listeners.agent) => match never {},
            result = life => result,
        }
    }

    /// Starting, serving, draining.
    async fn phases(
        &self,
        mut states: States,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Ended {
        let started = tokio::select! {
            started = self.start(&mut states) => started.map_err(Err),
            name = requests.first() => {
                tracing::info!("{name} during the start: stopping");
                Err(Ok(()))
            }
        };
        // Kept in any case: this is not the place to drop any.
        self.instance.states.get_or_init(|| states);
        if let Err(result) = started {
            return Ended::at_once(result);
        }
        self.begin_serving();
        if let Some(tell) = on_ready {
            tell(&self.agent);
        }

        let name = requests.first().await;
        self.phase.advance(Phase::Draining);
        // On the workers: it calls the wakers of the user's futures.
        let instance = Arc::clone(&self.instance);
        boxed::spawn_on(&self.workers, async move { instance.stopping.cancel() });
        let grace = self.settings.shutdown_grace;
        tracing::info!(
            "{name}: stopping; {} in progress, up to {} to finish",
            self.instance.tracker.in_progress(),
            humantime::format_duration(grace)
        );
        tokio::select! {
            result = self.drain(grace) => Ended {
                // What has been named as cut off is: it gets no second grace.
                patience: if result.is_ok() { FLUSH } else { LAST_FLUSH },
                result,
            },
            name = requests.another_signal() => {
                tracing::error!("{name} again: stopping at once");
                Ended::at_once(self.report_cut_off())
            }
        }
    }

    /// The layers, once.
    pub(super) fn take_layers(&self) -> Option<Vec<Wrap>> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.take()
    }

    /// Runs the user's code that comes before the first request.
    pub(super) async fn start(&self, states: &mut States) -> Result<(), Error> {
        self.build_layers().await?;
        self.run_start_hooks(states).await
    }

    pub(super) fn begin_serving(&self) {
        self.phase.advance(Phase::Serving);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.handover.close();
        self.wakes.close();
        self.connections.close();
    }
}

/// A task that ends when nobody waits for it any more.
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> std::future::Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
