//! The front: the one thread that owns the sockets.
//!
//! It runs no code of the user's, so nothing of the user's can keep it from answering `/ping`.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::OnReady;
use super::accept::accept_all;
use super::graceful::Graceful;
use super::lifecycle::{Phase, PhaseCell, Signals, Stop};
use super::ping::Pinger;
use super::wake::WakeQueue;
use crate::agent::{Agent, Callback};
use crate::config::Settings;
use crate::context::{self, Kind as ScopeKind, Scope};
use crate::error::{Error, Kind, with_causes};
use crate::instance::Instance;
use crate::layer::Endpoint;
use crate::panics;
use crate::state::States;
use crate::tasks::TrackerHandle;

/// How long replies that are written may take to leave, once nothing produces any more.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// What shutdown hooks get when the work in progress has used up the grace.
const LEAST_FOR_HOOKS: Duration = Duration::from_secs(2);

/// What every connection shares.
pub(super) struct Front {
    pub(super) agent: Agent,
    pub(super) settings: Settings,
    pub(super) instance: Arc<Instance>,
    pub(super) workers: Handle,
    pub(super) phase: PhaseCell,
    pub(super) pinger: Pinger,
    /// Where requests go if there are layers.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) wakes: Arc<WakeQueue>,
}

/// Serves until stopped. Runs on the front's thread, and is all that runs there.
pub(super) fn run(
    listener: TcpListener,
    mut agent: Agent,
    settings: Settings,
    workers: Handle,
    stop: &Stop,
    on_ready: Option<OnReady>,
    signals: bool,
) -> Result<(), Error> {
    crate::log::never_wait();
    let io = |error: std::io::Error| {
        Error::new(Kind::Io, format!("cannot serve: {error}")).with_source(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        // Looks for new connections and pings this often, in tasks polled; the default is 61.
        .event_interval(31)
        .enable_all()
        .build()
        .map_err(io)?;
    let states = std::mem::take(&mut agent.states);
    let front = Arc::new(Front::new(agent, settings, TrackerHandle::Process, workers));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(io)?;
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
            result = front.live(listener, states, on_ready, &mut requests) => result,
            () = stop.abandoned() => Ok(()),
        }
    })
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
    /// Without waiting for replies that are on their way out.
    at_once: bool,
}

impl Front {
    pub(super) fn new(
        mut agent: Agent,
        settings: Settings,
        tracker: TrackerHandle,
        workers: Handle,
    ) -> Self {
        let layers = std::mem::take(&mut agent.layers);
        Self {
            pinger: Pinger::new(agent.ping.clone(), settings.stamp_while_busy),
            endpoint: Endpoint::of(layers, agent.entrypoint.as_ref(), &settings, &workers),
            agent,
            settings,
            instance: Arc::new(Instance::new(tracker)),
            workers,
            phase: PhaseCell::new(),
            wakes: Arc::default(),
        }
    }

    /// The whole life of the server, with connections being accepted all along.
    async fn live(
        self: Arc<Self>,
        listener: tokio::net::TcpListener,
        states: States,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Result<(), Error> {
        let graceful = Graceful::new();
        tokio::spawn(Arc::clone(&self.wakes).deliver());
        let ended = tokio::select! {
            never = accept_all(Arc::clone(&self), listener, &graceful) => match never {},
            ended = self.phases(states, on_ready, requests) => ended,
        };
        // What is left are replies on their way out, idle connections, and clients that do not read. Who asked twice
        // does not want to wait for them.
        let patience = if ended.at_once { Duration::ZERO } else { FLUSH };
        let _ = timeout(patience, graceful.shutdown()).await;
        ended.result
    }

    /// Starting, serving, draining.
    async fn phases(
        &self,
        mut states: States,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Ended {
        tokio::select! {
            started = self.run_start_hooks(&mut states) => if let Err(error) = started {
                return Ended { result: Err(error), at_once: true };
            },
            name = requests.first() => {
                tracing::info!("{name} during the start: stopping");
                return Ended { result: Ok(()), at_once: true };
            }
        }
        self.begin_serving(states);
        if let Some(tell) = on_ready {
            tell(&self.agent);
        }

        let name = requests.first().await;
        self.phase.advance(Phase::Draining);
        self.instance.stopping.cancel();
        let grace = self.settings.shutdown_grace;
        tracing::info!(
            "{name}: stopping; {} in progress, up to {} to finish",
            self.instance.tracker.in_progress(),
            humantime::format_duration(grace)
        );
        tokio::select! {
            result = self.drain(grace) => Ended { result, at_once: false },
            name = requests.another_signal() => {
                tracing::error!("{name} again: stopping at once");
                Ended { result: self.report_cut_off(), at_once: true }
            }
        }
    }

    pub(super) fn begin_serving(&self, states: States) {
        self.instance.states.get_or_init(|| states);
        self.phase.advance(Phase::Serving);
    }

    /// Runs the start hooks, one after the other, on the workers.
    pub(super) async fn run_start_hooks(&self, states: &mut States) -> Result<(), Error> {
        for hook in &self.agent.start_hooks {
            let failed = |why: String| {
                Error::new(
                    Kind::Start,
                    format!("start hook {} {why}", hook.callback.meta),
                )
            };
            let run = self.on_workers(&hook.callback);
            let made = match hook.timeout {
                None => run.await,
                Some(limit) => timeout(limit, run).await.unwrap_or_else(|_| {
                    Err(format!(
                        "took longer than {}",
                        humantime::format_duration(limit)
                    ))
                }),
            };
            states.insert(made.map_err(failed)?);
        }
        Ok(())
    }

    /// Lets work in progress finish within `grace`, then runs the shutdown hooks.
    pub(super) async fn drain(&self, grace: Duration) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + grace;
        let finished = match tokio::time::timeout_at(deadline, self.instance.tracker.idle()).await {
            Ok(()) => Ok(()),
            Err(_) => self.report_cut_off(),
        };
        let until = deadline.max(tokio::time::Instant::now() + LEAST_FOR_HOOKS);
        for hook in &self.agent.shutdown_hooks {
            match tokio::time::timeout_at(until, self.on_workers(hook)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::error!("shutdown hook {} {why}", hook.meta),
                Err(_) => tracing::error!("shutdown hook {} was cut off", hook.meta),
            }
        }
        finished
    }

    /// Names everything that still runs; an error if anything does.
    fn report_cut_off(&self) -> Result<(), Error> {
        let tasks = self.instance.tracker.info().running_jobs;
        let mut cut_off: Vec<_> = tasks
            .iter()
            .map(|task| {
                format!(
                    "task `{}` {} after {}",
                    task.name,
                    task.id,
                    humantime::format_duration(Duration::from_millis(
                        task.duration.as_millis() as u64
                    ))
                )
            })
            .collect();
        #[cfg(feature = "ws")]
        let has_sockets = self.agent.websocket.is_some();
        #[cfg(not(feature = "ws"))]
        let has_sockets = false;
        match self
            .instance
            .tracker
            .in_progress()
            .saturating_sub(tasks.len())
        {
            0 => {}
            1 if has_sockets => cut_off.push("an invocation or socket".to_owned()),
            1 => cut_off.push("an invocation".to_owned()),
            count if has_sockets => cut_off.push(format!("{count} invocations and sockets")),
            count => cut_off.push(format!("{count} invocations")),
        }
        if cut_off.is_empty() {
            return Ok(());
        }
        cut_off
            .iter()
            .for_each(|what| tracing::error!("cut off: {what}"));
        Err(Error::new(
            Kind::CutOff,
            format!(
                "stopped before everything was finished; cut off: {}",
                cut_off.join(", ")
            ),
        ))
    }

    /// Runs a hook on the workers; the error says how it ended.
    async fn on_workers<T: Send + 'static>(&self, hook: &Callback<T>) -> Result<T, String> {
        let (call, place) = (Arc::clone(&hook.call), hook.meta);
        let scope = Scope::outside_requests(Arc::clone(&self.instance), ScopeKind::Hook);
        let run = panics::catch(async move { call().await });
        let run = self.workers.spawn(context::within(scope, run));
        match self.wakes.batch(AbortOnDrop(run)).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(format!("failed: {}", with_causes(&*error))),
            Ok(Err(panic)) => {
                panic.log(&format!("hook {place}"));
                Err("panicked".to_owned())
            }
            Err(_) => Err("was cancelled".to_owned()),
        }
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
