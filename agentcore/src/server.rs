//! The server: its own thread for HTTP and `/ping`, the caller's runtime for all user code.
//!
//! ```text
//! life ── the front's thread ─┬─ accept ── connection ── http/router ─┬─ ping         (answered here, from atomics)
//!                             │                                       ├─ invocations  (body read here; then the workers)
//!                             │                                       ├─ websockets   (answered here, then moved there)
//!                             │                                       ├─ operators    (probes and metrics, answered here)
//!                             │                                       └─ dev          (the dev page, where it is on)
//!                             ├─ connection/idle: closes connections that idle, asks all to finish at the end
//!                             ├─ hooks → serving → shutdown
//!                             └─ stalls, old_tasks: watch the workers
//! threads ── handover to the workers, wake-ups back, helper threads (drops of user values, which the front never does)
//! ```

mod connection;
#[cfg(all(fuzzing, feature = "ws"))]
mod fuzzing;
mod http;
mod in_process;
mod life;
pub(crate) mod listen;
mod threads;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use self::http::router::ReplyBody;
use crate::app::App;
use crate::app::listeners::Supplied;
use crate::app::parts::Agent;
use crate::config::{Environment, Settings, unknown};
use crate::error::{Error, Kind};
use crate::platform::Signals;
use crate::report;
use crate::request::{self, TrackerHandle};
use crate::{log, otel};
pub(crate) use in_process::InProcess;
use life::control::Control;
use life::thread;
use listen::{Addresses, Listeners};

/// How long the end waits for the last spans and metrics to be sent. The platform allows some seconds, and the grace has used
/// up most of them. The wait is shorter after work was cut off.
const FLUSH: Duration = Duration::from_secs(3);
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// How long work that was cut off may take to be dropped, which ends its spans.
const UNTIL_DROPPED: Duration = Duration::from_millis(200);

/// A server that is bound to its port, ready to [`serve`](Self::serve).
///
/// Made by [`App::bind`](crate::App::bind).
///
/// ```no_run
/// # async fn example() -> Result<(), agentcore::Error> {
/// use agentcore::{App, Config};
///
/// let server = App::from_registry().config(Config::new().port(0)).bind().await?;
/// println!("curl http://{}/ping", server.local_addr());
/// server
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.expect("a signal handler") })
///     .serve()
///     .await
/// # }
/// ```
#[must_use = "a server does nothing until it is served"]
pub struct Server {
    listeners: Listeners,
    addresses: Addresses,
    agent: Agent,
    settings: Settings,
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    on_ready: Option<OnReady>,
    signals: bool,
}

impl App {
    /// Checks the parts and the configuration, and binds the port. Nothing is served yet.
    ///
    /// # Errors
    ///
    /// Something is wrong with the parts or the configuration: the error names all of it, and nothing has been bound. Or the
    /// port cannot be bound.
    pub async fn bind(self) -> Result<Server, Error> {
        unknown::warn_of_unknown_variables();
        let prepared = self.prepare_in(&Environment::of_process())?;
        Server::bind(prepared.agent, prepared.settings, prepared.supplied)
    }

    /// Binds and serves within a runtime of the program's own; see [`Server::serve`].
    ///
    /// It handles no signals, reads no arguments (so `--check` has no effect), and sets up no log: the program does these.
    /// [`run`](Self::run) does all three. For signals alone, write `app.bind().await?.with_signals().serve().await`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind) and [`Server::serve`].
    pub async fn serve(self) -> Result<(), Error> {
        self.bind().await?.serve().await
    }
}

/// A function that is called once, when `/ping` begins to answer 200.
pub(crate) type OnReady = Box<dyn FnOnce(&Agent) + Send>;

impl Server {
    /// Binds the ports. Has to be called on a runtime.
    pub(crate) fn bind(
        agent: Agent,
        settings: Settings,
        supplied: Supplied,
    ) -> Result<Self, Error> {
        if !self::http::restore_detector::has_a_date() {
            return Err(Error::new(
                Kind::Io,
                "the clock stands before 1970, so replies can have no date; set it",
            ));
        }
        let (listeners, addresses) = Listeners::open(&agent, &settings, supplied)?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            listeners,
            addresses,
            agent,
            settings,
            shutdown: None,
            on_ready: None,
            signals: false,
        })
    }

    /// The address that the server listens on. If port 0 was asked for, it has the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.agent
    }

    /// The address of the [admin port](crate::Config::admin_port), if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.addresses.admin
    }

    /// The addresses of the routers with a port of their own: those that [`App::routes_on`] added, in that order, behind those
    /// that are annotated.
    ///
    /// ```no_run
    /// # async fn example(routes: agentcore::Routes) -> Result<(), agentcore::Error> {
    /// use agentcore::App;
    ///
    /// let server = App::new().routes_on(0, routes).bind().await?;
    /// println!("curl http://{}/", server.routes_addrs()[0]);
    /// server.serve().await
    /// # }
    /// ```
    #[must_use]
    pub fn routes_addrs(&self) -> &[SocketAddr] {
        &self.addresses.routes
    }

    /// The address of the [port of the Model Context Protocol](crate::Config::mcp_port), if the agent has tools.
    #[cfg(feature = "mcp")]
    #[must_use]
    pub fn mcp_addr(&self) -> Option<SocketAddr> {
        self.addresses.mcp
    }

    /// Stops gracefully when `signal` completes: new invocations are refused with 503, `/ping` goes on answering, and
    /// work in progress has the shutdown grace to finish.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Some(Box::pin(signal));
        self
    }

    /// Serves until the graceful shutdown is over; for ever if none was asked for.
    ///
    /// HTTP and `/ping` run on a thread of their own. Handlers, tasks and hooks run on the runtime that this is called on, which
    /// may be of any kind. At the end, states, handlers, layers and hooks are dropped on another thread, inside that runtime. No
    /// task is left on it.
    ///
    /// # Errors
    ///
    /// A start hook failed, or something was cut off: work, a shutdown hook, or a drop that took longer than what was left
    /// of the shutdown grace. The error names all of it, and [`Error::is_cut_off`] tells it apart.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the server at once. Running invocations go on, but their replies are discarded. States,
    /// handlers, layers and hooks are dropped a moment later, and nothing waits for that.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn serve(self) -> Result<(), Error> {
        let Self {
            listeners,
            agent,
            settings,
            shutdown,
            on_ready,
            signals,
            ..
        } = self;
        otel::start(&Environment::of_process(), request::GAUGES);
        log::report_problems();
        let no_thread = |error: std::io::Error| {
            Error::new(Kind::Io, format!("cannot start a thread: {error}")).with_source(error)
        };
        let (control, stop) = Control::new();
        let (sender, stopped) = oneshot::channel();
        let workers = Handle::current();
        std::thread::Builder::new()
            .name("agentcore-front".to_owned())
            .spawn(move || {
                // The receiver is gone if `serve` was dropped.
                let _ = sender.send(thread::run(
                    listeners, agent, settings, workers, &stop, on_ready, signals,
                ));
            })
            .map_err(no_thread)?;
        let stopped = async {
            stopped
                .await
                .unwrap_or_else(|_| Err(Error::new(Kind::Io, "the server's own thread panicked")))
        };
        tokio::pin!(stopped);
        let result = match shutdown {
            None => held(control, stopped).await,
            Some(shutdown) => tokio::select! {
                result = &mut stopped => result,
                () = shutdown => {
                    control.drain();
                    held(control, stopped).await
                }
            },
        };
        if otel::is_on() {
            flush(result.is_ok(), signals).await;
        }
        let _ = tokio::task::spawn_blocking(report::flush).await;
        result
    }

    pub(crate) fn on_ready(mut self, tell: impl FnOnce(&Agent) + Send + 'static) -> Self {
        self.on_ready = Some(Box::new(tell));
        self
    }

    /// Stops gracefully on SIGTERM or SIGINT, also as PID 1 and also while all workers are blocked. A second signal cuts off
    /// everything that still runs, hooks and drops included, and names it.
    ///
    /// [`run`](crate::run) and [`App::run`](crate::App::run) do this by themselves.
    pub fn with_signals(mut self) -> Self {
        self.signals = true;
        self
    }
}

/// Sends the last telemetry. A signal ends the wait for it, and does not change the result of the stop: telemetry is no
/// accepted work.
async fn flush(finished: bool, signals: bool) {
    let flush = async {
        // If work was cut off, the grace has been used up already.
        let patience = if finished { FLUSH } else { LAST_FLUSH };
        let _ = timeout(UNTIL_DROPPED, TrackerHandle::Process.idle()).await;
        otel::flush(patience).await;
    };
    // The front, which received the signals so far, has ended.
    let signals = signals.then(Signals::new).and_then(Result::ok);
    let another = async {
        match signals {
            Some(mut signals) => signals.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = flush => {}
        name = another => {
            tracing::warn!("{name} again: the last traces and metrics may not have been sent");
        }
    }
}

/// Waits for `stopped` and keeps `control` until then: its drop stops the server.
async fn held(
    control: Control,
    stopped: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let result = stopped.await;
    drop(control);
    result
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.addresses.agent)
            .finish_non_exhaustive()
    }
}
