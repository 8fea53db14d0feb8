//! The front: the thread that owns the sockets.
//!
//! It runs no user code, so user code cannot keep it from answering `/ping`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant as StdInstant};

use tokio::runtime::{Handle, Runtime};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::accept::{accept_all, accept_each, serve_admin};
use super::control::{Stop, next_signal};
use super::old_tasks;
use super::shutdown::{CutOff, Drained, LEAST_FOR_DROPS, said_again};
use super::stalls::{self, whole_milliseconds};
use crate::app::parts::Agent;
use crate::config::Settings;
use crate::error::{Error, Kind};
use crate::handler::layer::Wrap;
use crate::platform::Signals;
use crate::report;
use crate::report::panics;
use crate::request::drops::DropOnWorkers;
use crate::request::{Instance, TrackerHandle};
use crate::server::OnReady;
use crate::server::http::dev::{self, Dev};
use crate::server::http::front::Front;
#[cfg(feature = "durable")]
use crate::server::http::jobs_gate::JobsGate;
use crate::server::http::phase::Phase;
use crate::server::listen::Listeners;
use crate::server::threads::helper::{Drops, Owned};
use crate::server::threads::{Ways, Workers};
use crate::util::spawn;

/// How long replies may take to be sent after a stop at which all work was finished.
pub(crate) const FLUSH: Duration = Duration::from_secs(2);

/// How long replies may take to be sent after a stop at which work was cut off. They had the grace already.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// How long drops may take after a second signal. Nearly all take less, and need not be named as cut off.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Serves until stopped. This is the main function of the front's thread.
pub(crate) fn run(
    listeners: Listeners,
    agent: Agent,
    settings: Settings,
    workers: Handle,
    stop: &Stop,
    on_ready: Option<OnReady>,
    with_signals: bool,
) -> Result<(), Error> {
    report::never_wait();
    report::queue_here();
    let grace = settings.shutdown_grace;
    let mut life = Life::new(agent, settings, TrackerHandle::Process, workers, true);
    let mut requests = StopRequests {
        signals: None,
        stop,
    };
    // Not `panics::guard`: it would hide the messages of panics in tasks of the front's runtime.
    let served = catch_unwind(AssertUnwindSafe(|| {
        serve(&mut life, listeners, on_ready, with_signals, &mut requests)
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
    // Everything that ran here has been dropped. What is left of the agent holds user values.
    life.front.connections.close();
    release(life, ended, &mut requests)
}

/// The number of pieces of work that a stop waits for.
fn work_in_progress(instance: &Instance) -> usize {
    let all = instance.tracker.in_progress();
    #[cfg(feature = "durable")]
    if crate::durable::Client::of(instance).is_some_and(|client| client.holds_due()) {
        return all.saturating_sub(1);
    }
    all
}

/// Serves, and then drops everything that ran on the front.
fn serve(
    life: &mut Life,
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
        let life = life.live(listeners, on_ready, requests);
        Ok(tokio::select! {
            ended = life => ended,
            () = stop.abandoned() => Ended::abandoned(),
        })
    });
    panics::drop_caught(runtime, "a connection");
    ended
}

/// Drops the agent's handlers, layers and hooks on a helper thread, and waits for it. A signal ends the wait.
fn release(life: Life, mut ended: Ended, requests: &mut StopRequests<'_>) -> Result<(), Error> {
    let workers = life.front.workers.runtime().clone();
    let what = "the agent's handlers, layers and hooks";
    let mut drops = Drops::begin(&workers, what, move || {
        vec![Owned {
            name: what.to_owned(),
            value: Box::new(life),
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
        // The process may be out of descriptors. Then no signal can be received either.
        Err(error) => {
            report::emit(move || tracing::error!("cannot wait for the agent's drops: {error}"));
        }
    }
    ended.cut_off.name_all(drops.left());
    ended.report();
    ended.into_result()
}

/// The front's own runtime: one thread.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        // Polls the sockets after this many polls of tasks, for new connections and pings; the default is 61.
        .event_interval(31)
        .enable_all()
        .build()
}

/// The two sources of a stop request.
struct StopRequests<'a> {
    /// `None` if the program handles signals itself.
    signals: Option<Signals>,
    stop: &'a Stop,
}

impl StopRequests<'_> {
    /// Completes at the first stop request, with its name.
    async fn first(&mut self) -> &'static str {
        tokio::select! {
            name = next_signal(&mut self.signals) => name,
            () = self.stop.drain_wanted() => "a request",
        }
    }
}

struct Ended {
    result: Result<(), Error>,
    cut_off: CutOff,
    /// Until when the end waits for drops.
    until: Instant,
    /// How long the end waits for replies that are being sent.
    patience: Duration,
    /// Whether the future of `serve` was dropped, so that nothing waits for the end.
    is_abandoned: bool,
    stop: Option<AskedFor>,
}

/// A stop that was asked for.
#[derive(Clone, Copy)]
struct AskedFor {
    since: StdInstant,
    /// How many pieces of work were in progress then.
    in_progress: usize,
    /// How many of them went back to the store of durable jobs.
    handed_back: usize,
}

impl Ended {
    /// The end of a server that has served nothing. There was no work, so the drops may take all of the grace.
    fn early(result: Result<(), Error>, grace: Duration) -> Self {
        Self {
            result,
            cut_off: CutOff::default(),
            until: Instant::now() + grace.max(LEAST_FOR_DROPS),
            patience: Duration::ZERO,
            is_abandoned: false,
            stop: None,
        }
    }

    fn abandoned() -> Self {
        Self {
            is_abandoned: true,
            ..Self::early(Ok(()), Duration::ZERO)
        }
    }

    /// Logs the last line of a stop: how long it took, and how much work finished, was handed back to the store of durable jobs, or
    /// was cut off.
    fn report(&self) {
        let Some(AskedFor {
            since,
            in_progress,
            handed_back,
        }) = self.stop
        else {
            return;
        };
        let cut_off = self.cut_off.work();
        let finished = in_progress.saturating_sub(cut_off + handed_back);
        let took = humantime::format_duration(whole_milliseconds(since.elapsed()));
        let mut work = Vec::new();
        if finished + handed_back + cut_off > 0 {
            work.push(format!("{finished} finished"));
        }
        // A clean stop does not have the words "cut off" in its lines: operators search for them.
        let others = [(handed_back, "handed back"), (cut_off, "cut off")];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        work.extend(others.map(|(count, what)| format!("{count} {what}")));
        let work = match work.is_empty() {
            true => String::new(),
            false => format!(": {}", work.join(", ")),
        };
        report::emit(move || tracing::info!("stopped after {took}{work}"));
    }

    /// What `serve` returns. A failed start takes precedence; what was cut off after it is in the log.
    fn into_result(self) -> Result<(), Error> {
        self.result.and_then(|()| self.cut_off.into_result())
    }
}

pub(crate) struct Life {
    pub(crate) front: Arc<Front>,
    /// The layers, until they are built.
    pub(super) layers: Option<DropOnWorkers<Vec<Wrap>>>,
    /// The ways between front and workers, until `begin` starts them.
    ways: Option<Ways>,
}

impl Life {
    /// The life of an agent that the caller's runtime both serves and runs.
    pub(crate) fn in_process(agent: Agent, settings: Settings, tracker: TrackerHandle) -> Self {
        Self::new(agent, settings, tracker, Handle::current(), false)
    }

    fn new(
        mut agent: Agent,
        settings: Settings,
        tracker: TrackerHandle,
        runtime: Handle,
        has_front_thread: bool,
    ) -> Self {
        // Made while the agent still has its layers, because the page names them. Only a server with sockets shows it.
        let page = settings.dev.filter(|_| has_front_thread);
        let dev = page.map(|_| Dev::new(&agent, &settings));
        let layers = std::mem::take(&mut agent.layers);
        let layers =
            (!layers.is_empty()).then(|| DropOnWorkers::on(&runtime, layers, "the layers"));
        let (workers, ways) = Workers::new(runtime, has_front_thread);
        let front = Front::new(agent, settings, dev, tracker, workers, layers.is_some());
        Self {
            front: Arc::new(front),
            layers,
            ways: Some(ways),
        }
    }

    /// Starts the tasks that run during the whole life. Has to be called on the front's runtime.
    pub(crate) fn begin(&mut self) {
        if let Some(ways) = self.ways.take() {
            ways.begin(&self.front.workers);
        }
        spawn::boxed(self.front.connections.clone().give_up_idle());
    }

    /// Runs the whole life of the server. Connections are accepted and pings are answered throughout.
    async fn live(
        &mut self,
        listeners: Listeners<tokio::net::TcpListener>,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Ended {
        self.begin();
        let front = Arc::clone(&self.front);
        spawn::boxed(stalls::watch(Arc::clone(&front)));
        if front.dev().is_some() {
            spawn::boxed(dev::look_on(Arc::clone(&front)));
        }
        if let Some(limit) = front.settings.task_max_age {
            spawn::boxed(old_tasks::end(Arc::clone(&front), limit));
        }
        if let Some(listener) = listeners.admin {
            spawn::boxed(serve_admin(Arc::clone(&front), listener));
        }
        let open = Arc::new(AtomicUsize::new(0));
        for (port, listener) in listeners.further {
            let accept = accept_each(Arc::clone(&front), listener, Arc::clone(&open), port);
            spawn::boxed(accept);
        }
        let life = async {
            let mut ended = self.phases(on_ready, requests).await;
            self.finish(&mut ended, &mut requests.signals).await;
            ended
        };
        tokio::select! {
            never = accept_all(front, listeners.agent, open, listeners.is_inherited) => match never {},
            ended = life => ended,
        }
    }

    /// Runs the phases: starting, serving, draining.
    async fn phases(
        &mut self,
        on_ready: Option<OnReady>,
        requests: &mut StopRequests<'_>,
    ) -> Ended {
        let grace = self.front.settings.shutdown_grace;
        tokio::select! {
            started = self.start() => if let Err(error) = started {
                // Warm-up requests wait for the start. They are answered now.
                self.front.instance.stopping.cancel();
                let mut ended = Ended::early(Err(error), grace);
                ended.patience = LAST_FLUSH;
                return ended;
            },
            name = requests.first() => {
                report::emit(move || tracing::info!("{name} during the start: stopping"));
                // Warm-up requests wait for the start. They are answered now.
                self.front.instance.stopping.cancel();
                let mut ended = Ended::early(Ok(()), grace);
                ended.patience = LAST_FLUSH;
                ended.stop = Some(AskedFor {
                    since: StdInstant::now(),
                    in_progress: self.front.instance.tracker.in_progress(),
                    handed_back: 0,
                });
                self.finish_work_of_the_start(grace, requests, &mut ended.cut_off).await;
                return ended;
            }
        }
        self.begin_serving();
        #[cfg(feature = "durable")]
        crate::durable::Worker::begin(
            &self.front.instance,
            self.front.workers.runtime(),
            grace,
            JobsGate::new(&self.front),
        );
        if let Some(tell) = on_ready {
            tell(&self.front.agent);
        }

        let name = requests.first().await;
        self.front.phase.advance(Phase::Draining);
        let instance = Arc::clone(&self.front.instance);
        let count = work_in_progress(&instance);
        instance.stopping.cancel();
        self.front
            .workers
            .aside(move || instance.stop_told.cancel());
        let since = StdInstant::now();
        let limit = humantime::format_duration(grace);
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
                // Work that has been named as cut off gets no second grace.
                (false, false) => LAST_FLUSH,
            },
            cut_off,
            is_abandoned: false,
            stop: Some(AskedFor {
                since,
                in_progress: count,
                handed_back: self.front.instance.handed_back(),
            }),
        }
    }

    /// Waits for tasks that start hooks have begun, and names those that do not finish.
    async fn finish_work_of_the_start(
        &self,
        grace: Duration,
        requests: &mut StopRequests<'_>,
        cut_off: &mut CutOff,
    ) {
        tokio::select! {
            () = self.front.instance.tracker.idle() => {}
            () = sleep_until(Instant::now() + grace) => {}
            name = next_signal(&mut requests.signals) => {
                said_again(name);
            }
        }
        self.cut_off(.., cut_off).await;
    }

    /// Drops the states while replies are sent. Pings are answered until both are done. After that, only idle connections and
    /// clients that do not read are left.
    async fn finish(&self, ended: &mut Ended, signals: &mut Option<Signals>) {
        let until = ended.until.max(Instant::now() + AT_ONCE);
        self.front.pinger.stop_asking();
        let instance = Arc::clone(&self.front.instance);
        let mut drops = Drops::begin(
            self.front.workers.runtime(),
            "the agent's states",
            move || {
                let states = instance.states.take().into_iter();
                states.map(Owned::from).collect()
            },
        );
        let both = async {
            let _ = tokio::join!(
                timeout(ended.patience, self.front.connections.shutdown()),
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

    /// Runs the user code that comes before the first request: the layers are built, the start hooks run, and the
    /// routers are built, which may take the hooks' states.
    pub(crate) async fn start(&mut self) -> Result<(), Error> {
        self.build_layers().await?;
        self.run_start_hooks().await?;
        self.build_routes().await
    }

    pub(crate) fn begin_serving(&self) {
        self.front.phase.advance(Phase::Serving);
    }
}
