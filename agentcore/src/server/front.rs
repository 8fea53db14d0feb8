//! The front: the one thread that owns the sockets.
//!
//! It runs no code of the user's, so nothing of the user's can keep it from answering `/ping`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as StdInstant};

use tokio::runtime::{Handle, Runtime};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::accept::accept_all;
use super::admin;
use super::clock::RestoreDetector;
use super::connections::Connections;
#[cfg(feature = "dev-page")]
use super::dev::{self, Dev};
use super::handover::{Collected, Handover};
use super::lifecycle::{Phase, PhaseCell, Stop, next_signal};
use super::offload::{Drops, Owned, offload};
use super::old_tasks;
use super::ping::Pinger;
use super::shutdown::{CutOff, Drained, LEAST_FOR_DROPS, said_again};
use super::stalls;
use super::wake::{Deliveries, WakeQueue};
use super::{Listeners, OnReady};
use crate::app::parts::Agent;
use crate::config::Settings;
use crate::error::{Error, Kind};
use crate::handler::layer::{Endpoint, Wrap};
use crate::platform::Signals;
use crate::report;
use crate::report::panics;
use crate::request::Instance;
use crate::request::TrackerHandle;
use crate::request::admission::Concurrency;
use crate::request::drops::DropOnWorkers;
use crate::util::spawn;
use crate::util::sync::Mutex;
#[cfg(feature = "ws")]
use crate::ws::Sockets;

/// How long replies may take to leave behind a stop at which all work was finished.
pub(super) const FLUSH: Duration = Duration::from_secs(2);

/// How long replies may take to leave behind a stop at which work was cut off. They had the grace already.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// How long drops may take behind a second signal. Nearly all take less, and need not be named as cut off.
const AT_ONCE: Duration = Duration::from_millis(200);

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
    pub(super) handover: Handover,
    pub(super) wakes: WakeQueue,
    #[cfg(feature = "ws")]
    pub(super) sockets: Arc<Sockets>,
    /// What the two of them need, until it has begun.
    ways: Mutex<Option<(Collected, Deliveries)>>,
    pub(super) connections: Connections,
    /// Whether what operators ask is answered beside everything else, for want of a port of its own.
    pub(super) serves_operators: bool,
    /// There while the dev page is on.
    #[cfg(feature = "dev-page")]
    pub(super) dev: Option<Dev>,
    clock: Mutex<RestoreDetector>,
    /// Whether the front has a thread of its own. Without one, everything is on the caller's runtime, and the user's code
    /// may run there.
    is_on_its_own_thread: bool,
}

/// Serves until stopped. Runs on the front's thread, and is all that runs there.
pub(super) fn run(
    listeners: Listeners,
    agent: Agent,
    settings: Settings,
    workers: Handle,
    stop: &Stop,
    on_ready: Option<OnReady>,
    with_signals: bool,
) -> Result<(), Error> {
    crate::report::never_wait();
    report::queue_here();
    #[cfg(feature = "dev-page")]
    let dev = settings.dev.then(|| Dev::new(&agent, settings.errors));
    let front = Front::new(agent, settings, TrackerHandle::Process, workers);
    #[cfg(feature = "dev-page")]
    let front = front.with(dev);
    let grace = front.settings.shutdown_grace;
    let front = Arc::new(front.on_its_own_thread());
    let mut requests = StopRequests {
        signals: None,
        stop,
    };
    // Not `panics::guard`: it would keep to itself what tasks of the front's runtime panic about.
    let served = catch_unwind(AssertUnwindSafe(|| {
        serve(&front, listeners, on_ready, with_signals, &mut requests)
    }));
    let ended = match served {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => {
            let problem = format!("cannot serve: {error}");
            let error = Error::new(Kind::Io, problem).with_source(error);
            Ended::early(Err(error), grace)
        }
        Err(_) => {
            let error = Error::new(Kind::Io, "the server's own thread panicked");
            Ended::early(Err(error), grace)
        }
    };
    // Everything that ran here has been dropped. What is left of the agent is the user's.
    front.close();
    release(front, ended, &mut requests)
}

/// Serves, and drops everything that ran on the front.
fn serve(
    front: &Arc<Front>,
    listeners: Listeners,
    on_ready: Option<OnReady>,
    with_signals: bool,
    requests: &mut StopRequests<'_>,
) -> std::io::Result<Ended> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let listeners = listeners.registered()?;
        if with_signals {
            requests.signals = Some(Signals::new()?);
        }
        let stop = requests.stop;
        let life = Arc::clone(front).live(listeners, on_ready, requests);
        Ok(tokio::select! {
            ended = life => ended,
            () = stop.abandoned() => Ended::abandoned(),
        })
    });
    panics::drop_caught(runtime, "a connection");
    ended
}

/// Has the agent's handlers, layers and hooks dropped, on a thread of their own, and waits for it. A signal ends the wait.
fn release(
    front: Arc<Front>,
    mut ended: Ended,
    requests: &mut StopRequests<'_>,
) -> Result<(), Error> {
    let workers = front.workers.clone();
    let what = "the agent's handlers, layers and hooks";
    let mut drops = Drops::begin(&workers, what, move || {
        vec![Owned {
            name: what.to_owned(),
            value: Box::new(front),
        }]
    });
    if ended.is_abandoned {
        return ended.into_result();
    }
    let until = ended.until.max(Instant::now() + AT_ONCE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                () = drops.finished() => {}
                () = sleep_until(until) => {}
                name = next_signal(&mut requests.signals) => {
                    said_again(name);
                }
                () = requests.stop.abandoned() => {}
            }
        }),
        // No descriptors, perhaps. Then there are no signals either.
        Err(error) => {
            report::emit(move || tracing::error!("cannot wait for the agent's end: {error}"));
        }
    }
    ended.cut_off.name_all(drops.left());
    ended.into_result()
}

/// The front's own runtime: one thread.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        // Looks for new connections and pings this often, in tasks polled; the default is 61.
        .event_interval(31)
        .enable_all()
        .build()
}

/// The two ways in which a stop is asked for.
struct StopRequests<'a> {
    /// `None` where they are left to the program.
    signals: Option<Signals>,
    stop: &'a Stop,
}

impl StopRequests<'_> {
    /// Completes at the first request, with what it was.
    async fn first(&mut self) -> &'static str {
        tokio::select! {
            name = next_signal(&mut self.signals) => name,
            () = self.stop.drain_wanted() => "a request",
        }
    }
}

/// How the server's life ended.
struct Ended {
    result: Result<(), Error>,
    cut_off: CutOff,
    /// Until when drops are waited for.
    until: Instant,
    /// How long replies that are on their way out are waited for.
    patience: Duration,
    /// The future of `serve` was dropped, so nothing waits for the end.
    is_abandoned: bool,
}

impl Ended {
    /// An end before anything was served. There was no work, so the drops may take all of the grace.
    fn early(result: Result<(), Error>, grace: Duration) -> Self {
        Self {
            result,
            cut_off: CutOff::default(),
            until: Instant::now() + grace.max(LEAST_FOR_DROPS),
            patience: Duration::ZERO,
            is_abandoned: false,
        }
    }

    fn abandoned() -> Self {
        Self {
            is_abandoned: true,
            ..Self::early(Ok(()), Duration::ZERO)
        }
    }

    /// What `serve` returns. A start that failed says why; what was cut off after it is in the log.
    fn into_result(self) -> Result<(), Error> {
        self.result.and_then(|()| self.cut_off.into_result())
    }
}

impl Front {
    pub(super) fn new(
        mut agent: Agent,
        settings: Settings,
        tracker: TrackerHandle,
        workers: Handle,
    ) -> Self {
        let states = std::mem::take(&mut agent.states);
        let layers = std::mem::take(&mut agent.layers);
        let concurrency = Concurrency::new(settings.max_invocations, settings.session_policy);
        tracker.set_max_age(settings.task_max_age);
        tracker.set_line_level(settings.log_tasks);
        let (handover, collected) = Handover::new();
        let (wakes, deliveries) = WakeQueue::new();
        let mut instance = Instance::new(tracker, concurrency)
            .with_metrics(settings.metrics)
            .with_lines(settings.log_invocations.level())
            .with_max_json_nodes(settings.max_json_nodes);
        instance.states = states;
        Self {
            pinger: Pinger::new(agent.ping.clone(), settings.stamp_while_busy),
            has_layers: !layers.is_empty(),
            layers: Mutex::new(DropOnWorkers::on(&workers, layers, "the layers")),
            endpoint: OnceLock::new(),
            connections: Connections::new(settings.header_timeout),
            agent,
            serves_operators: admin::is_asked_for(&settings) && settings.admin_port.is_none(),
            #[cfg(feature = "ws")]
            sockets: Arc::new(Sockets::new(settings.ws.clone(), settings.shutdown_grace)),
            settings,
            instance: Arc::new(instance),
            workers,
            phase: PhaseCell::new(),
            handover,
            wakes,
            ways: Mutex::new(Some((collected, deliveries))),
            #[cfg(feature = "dev-page")]
            dev: None,
            clock: Mutex::new(RestoreDetector::new()),
            is_on_its_own_thread: false,
        }
    }

    fn on_its_own_thread(mut self) -> Self {
        self.is_on_its_own_thread = true;
        self
    }

    #[cfg(feature = "dev-page")]
    fn with(mut self, dev: Option<Dev>) -> Self {
        self.dev = dev;
        self
    }

    /// Begins what goes on all along. The caller's runtime is the front's.
    pub(super) fn begin(&self) {
        let ways = self.ways.lock().take();
        if let Some((collected, deliveries)) = ways {
            collected.begin(&self.workers);
            spawn::boxed(deliveries.deliver());
        }
        spawn::boxed(self.connections.clone().give_up_idle());
    }

    /// Looks whether the process has been restored from a snapshot since the last look. Called before anything is said or
    /// done that must not be as it was before a restore. Returns the time of the look, so that callers need not ask the clock
    /// again.
    pub(super) fn notice_restore(&self) -> StdInstant {
        let now = StdInstant::now();
        let mut clock = self.clock.lock();
        if clock.restored(now) {
            report::emit(|| {
                tracing::info!(
                    "the clock jumped ahead: restored from a snapshot; the idle time starts anew"
                );
            });
            self.instance.tracker.restored();
        }
        now
    }

    /// Does `work` that may run the user's code: on a helper thread, so that it cannot delay the front.
    pub(super) fn aside(&self, work: impl FnOnce() + Send + 'static) {
        if self.is_on_its_own_thread {
            // The work is done whether or not anything waits for it.
            drop(offload(&self.workers, work));
        } else {
            work();
        }
    }

    /// The whole life of the server. Connections are accepted, and pings answered, all along.
    async fn live(
        self: Arc<Self>,
        listeners: Listeners<tokio::net::TcpListener>,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Ended {
        self.begin();
        spawn::boxed(stalls::watch(Arc::clone(&self)));
        #[cfg(feature = "dev-page")]
        if self.dev.is_some() {
            spawn::boxed(dev::look_on(Arc::clone(&self)));
        }
        if let Some(limit) = self.settings.task_max_age {
            spawn::boxed(old_tasks::end(Arc::clone(&self), limit));
        }
        if let Some(listener) = listeners.admin {
            spawn::boxed(admin::serve(Arc::clone(&self), listener));
        }
        let life = async {
            let mut ended = self.phases(on_ready, requests).await;
            self.finish(&mut ended, &mut requests.signals).await;
            ended
        };
        tokio::select! {
            never = accept_all(Arc::clone(&self), listeners.agent, listeners.is_inherited) => match never {},
            ended = life => ended,
        }
    }

    /// Starting, serving, draining.
    async fn phases(&self, on_ready: Option<OnReady>, requests: &mut StopRequests<'_>) -> Ended {
        let grace = self.settings.shutdown_grace;
        tokio::select! {
            started = self.start() => if let Err(error) = started {
                return Ended::early(Err(error), grace);
            },
            name = requests.first() => {
                report::emit(move || tracing::info!("{name} during the start: stopping"));
                let mut ended = Ended::early(Ok(()), grace);
                self.finish_work_of_the_start(grace, requests, &mut ended.cut_off).await;
                return ended;
            }
        }
        self.begin_serving();
        if let Some(tell) = on_ready {
            tell(&self.agent);
        }

        let name = requests.first().await;
        self.phase.advance(Phase::Draining);
        let instance = Arc::clone(&self.instance);
        instance.stopping.cancel();
        self.aside(move || instance.stop_told.cancel());
        let (count, limit) = (
            self.instance.tracker.in_progress(),
            humantime::format_duration(grace),
        );
        report::emit(move || {
            tracing::info!("{name}: stopping; {count} in progress, up to {limit} to finish");
        });
        let Drained {
            cut_off,
            until,
            is_over,
        } = self.drain(grace, &mut requests.signals).await;
        Ended {
            result: Ok(()),
            until,
            patience: match (is_over, cut_off.is_empty()) {
                (true, _) => Duration::ZERO,
                (false, true) => FLUSH,
                // What has been named as cut off is: it gets no second grace.
                (false, false) => LAST_FLUSH,
            },
            cut_off,
            is_abandoned: false,
        }
    }

    /// Lets tasks finish that start hooks have begun, or names them.
    async fn finish_work_of_the_start(
        &self,
        grace: Duration,
        requests: &mut StopRequests<'_>,
        cut_off: &mut CutOff,
    ) {
        tokio::select! {
            () = self.instance.tracker.idle() => {}
            () = sleep_until(Instant::now() + grace) => {}
            name = next_signal(&mut requests.signals) => {
                said_again(name);
            }
        }
        self.cut_off(.., cut_off).await;
    }

    /// Drops the states, and meanwhile lets replies leave. Pings are answered until both are done. What is left then are
    /// idle connections, and clients that do not read.
    async fn finish(&self, ended: &mut Ended, signals: &mut Option<Signals>) {
        let until = ended.until.max(Instant::now() + AT_ONCE);
        self.pinger.stop_asking();
        let instance = Arc::clone(&self.instance);
        let mut drops = Drops::begin(&self.workers, "the agent's states", move || {
            let states = instance.states.take().into_iter();
            states.map(Owned::from).collect()
        });
        let both = async {
            let _ = tokio::join!(
                timeout(ended.patience, self.connections.shutdown()),
                timeout_at(until, drops.finished()),
            );
        };
        tokio::select! {
            () = both => {}
            name = next_signal(signals) => {
                said_again(name);
                ended.until = Instant::now();
            }
        }
        ended.cut_off.name_all(drops.left());
    }

    /// The layers, once.
    pub(super) fn take_layers(&self) -> Option<Vec<Wrap>> {
        let mut layers = self.layers.lock();
        layers.take()
    }

    /// Runs the user's code that comes before the first request.
    pub(super) async fn start(&self) -> Result<(), Error> {
        self.build_layers().await?;
        self.run_start_hooks().await
    }

    pub(super) fn begin_serving(&self) {
        self.phase.advance(Phase::Serving);
    }

    /// Ends what [`begin`](Self::begin) began, on the front and on the workers.
    fn close(&self) {
        self.connections.close();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

/// A task that is aborted when this is dropped.
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
