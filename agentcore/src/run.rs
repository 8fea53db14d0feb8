//! [`run`]: the function that the generated `main` calls.

pub(crate) mod check;
mod cli;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use crate::app::parts::Agent;
use crate::app::{App, Prepared};
#[cfg(feature = "schema")]
use crate::app::{openapi::openapi, schemas};
use crate::config::{Environment, LogFormat, unknown};
use crate::error::{Error, Kind, with_causes};
use crate::log;
use crate::platform;
use crate::report::panics;
use crate::server::Server;
use crate::{otel, report, request};
use cli::Command;

/// Runs the agent that is annotated in this binary. The `main` that `#[entrypoint]` generates does only this.
///
/// It reads the program's [flags](#flags) and the [configuration](crate::Config) from the environment, and sets up a log on
/// stderr unless the program has set a `tracing` subscriber. Then it checks what is registered, builds a multi-threaded Tokio
/// runtime, serves, and drains on SIGTERM or SIGINT, as PID 1 too.
///
/// One line on stderr says that the agent is ready:
///
/// ```text
/// 2026-11-25T04:58:22.200Z  INFO agentcore: agentcore-examples 0.1.0 (agentcore 0.1.0) is ready on http://127.0.0.1:24002 after 0.5 ms: entrypoint `handler` (examples/bench_agent.rs:51), websocket `echo` (examples/bench_agent.rs:100), tasks: cleanup_data, process_data
/// ```
///
/// If it cannot start, it reports all problems at once. If the log is JSON, each problem is a JSON line for machines, and a
/// plain line follows for people who read the log of the container:
///
/// ```text
/// {"timestamp":"2026-11-25T04:53:48.333Z","level":"ERROR","message":"cannot start: AGENTCORE_PORT is `eighty`; it takes a port number from 0 to 65535","logger":"agentcore"}
/// error: cannot start: AGENTCORE_PORT is `eighty`; it takes a port number from 0 to 65535
/// ```
///
/// The exit code is 0 after a stop at which everything was finished: work, shutdown hooks, and the drops of the agent's
/// values. It is 1 if something was cut off, which the last line names, or if the start failed. It is 2 after arguments that
/// are not understood. A hook that fails, or telemetry that cannot be sent, is reported and does not change the exit code.
///
/// ```no_run
/// #[agentcore::entrypoint(main = false)]
/// async fn handler(event: serde_json::Value) -> serde_json::Value {
///     event
/// }
///
/// fn main() -> std::process::ExitCode {
///     println!("warming up");
///     agentcore::run()
/// }
/// ```
///
/// # Flags
///
/// | flag | |
/// | --- | --- |
/// | `--help`, `-h` | prints the flags and the settings |
/// | `--version`, `-V` | prints name and version of the agent, and of this library |
/// | `--check` | does what a start does, up to the port and the start hooks, tries whether the ports of routes are free, and prints the functions, and every setting with its origin. If the agent cannot start, prints what a start would print, and exits with 1 |
/// | `--check --json` | prints the result of `--check` as JSON |
/// | `--schema` | with the feature `schema`: prints the JSON Schemas of the payload, the reply and the tools |
/// | `--openapi`, `--openapi=3.0` | with the feature `schema`: prints the agent's OpenAPI document, in version 3.1 or 3.0 |
/// | `--` | the arguments after it belong to the program |
///
/// Any other argument causes one line on stderr and exit code 2, before anything starts. With
/// [`App::flags(false)`](App::flags), or `#[entrypoint(flags = false)]`, all arguments belong to the program.
///
/// `--check --json` prints one object. `ok` is a truth value, `problems` a list of lines, `name` and `agentcore` are
/// text, `version` is text or null. If it is `ok`, it also has: `entrypoint` (an object with `name`, `file`, `line`,
/// `timeout`, `idle_timeout` and `on_disconnect`, or null), `websocket` and `ping` (an object with the first three, or null),
/// `tasks` and `shutdown_hooks` (lists of such objects), `start_hooks` (such a list, with `timeout` and `state` added),
/// `warmup_hooks` and `restore_hooks` (such lists, with `timeout` added), `layers`
/// (their number), `listeners` (a list of `role`, `agent` or `admin`, `address` and `source`, `LISTEN_FDS` or `program`; empty
/// if the agent binds its ports itself), `settings` (a list, in the order of the table of [`Config`](crate::Config), of `name`,
/// `variable`, `value`, `source` and `default`; `source` is `builder`, `environment` or `default`, and `value` is null if the
/// default is not a value), `unknown_variables` (names that begin like settings and are not settings), `warnings` (lines about
/// what will not work, but does not prevent the start) and `not_tried`. With the feature `schema` it also has `tools` (a list of
/// objects with `name`, `file`, `line`, `timeout`, `task` and `input`, the schema of the arguments). Later versions may add fields.
///
/// `--schema` prints one object: `name`, `version` and `agentcore` as above; `entrypoint`, which is null or an object with `name`,
/// `payload` and `reply` (JSON Schemas of 2020-12, or null if the type has none) and `streams` (whether the reply is a stream, whose
/// items are then what `reply` describes); and `tools`, a list of objects as in `tools/list` of MCP.
///
/// # As PID 1
///
/// It handles signals as PID 1 too. It does not reap orphaned processes, because the exit status of a child belongs to the
/// code that has started it. If handlers start processes, run the container with an init; on Linux the generated `main` is
/// an init itself. See [the guide](guide/configuration/index.html#as-pid-1).
///
/// # Panics
///
/// When called from within a Tokio runtime, which cannot start another. Make `main` a plain `fn`, or serve with
/// [`App::bind`] there.
#[must_use = "the exit code tells whether everything was finished"]
#[track_caller]
pub fn run() -> ExitCode {
    run_app(App::from_registry())
}

/// The generated `main` of `#[entrypoint]`. No code of the program has run yet, so PID 1 can start the program again as its
/// child.
#[must_use]
#[track_caller]
pub fn main() -> ExitCode {
    run_from(App::from_registry(), Start::OfProcess)
}

/// The generated `main` of `#[entrypoint(flags = false)]`.
#[must_use]
#[track_caller]
pub fn main_without_flags() -> ExitCode {
    run_from(App::from_registry().flags(false), Start::OfProcess)
}

impl App {
    /// Runs the app as [`run`](crate::run) runs the annotated agent: with flags, a runtime, a log, signals and an exit
    /// code.
    ///
    /// # Panics
    ///
    /// When called from within a Tokio runtime, which cannot start another. Make `main` a plain `fn`, or serve with
    /// [`bind`](Self::bind) there.
    #[must_use = "the exit code tells whether everything was finished"]
    #[track_caller]
    pub fn run(self) -> std::process::ExitCode {
        run_app(self)
    }
}

#[track_caller]
fn run_app(app: App) -> ExitCode {
    run_from(app, Start::ByProgram)
}

/// What has run in the process before the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing: `main` is generated.
    OfProcess,
    /// Code of the program, which must not run twice.
    ByProgram,
}

#[track_caller]
fn run_from(app: App, start: Start) -> ExitCode {
    let began = Instant::now();
    let command = if app.has_flags() {
        Command::of_process()
    } else {
        Ok(Command::Serve)
    };
    match command {
        Ok(Command::Serve) => {
            refuse_within_runtime();
            let init = match start {
                Start::OfProcess => platform::init(),
                Start::ByProgram => Ok(None),
            };
            return match init {
                Ok(Some(code)) => code,
                Ok(None) => serve(app, began, None),
                Err(error) => serve(app, began, Some(&error)),
            };
        }
        Ok(Command::Help) => cli::print(&cli::help(app.package_so_far())),
        Ok(Command::Version) => cli::print(&format!("{}\n", app.package_so_far())),
        Ok(Command::Check { json }) => return check::run(app, json),
        #[cfg(feature = "schema")]
        Ok(Command::Schema) => {
            return check::print_document(app, |agent, _| schemas::document(agent));
        }
        #[cfg(feature = "schema")]
        Ok(Command::OpenApi(version)) => {
            let make = |agent: &_, settings: &_| openapi(agent, settings, version);
            return check::print_document(app, make);
        }
        Err(code) => return code,
    }
    ExitCode::SUCCESS
}

/// Panics within a runtime, with a message of its own. Tokio would panic later, with advice that does not apply here.
#[track_caller]
fn refuse_within_runtime() {
    assert!(
        tokio::runtime::Handle::try_current().is_err(),
        "`run` starts a Tokio runtime, and was called within one; make `main` a plain `fn` without `#[tokio::main]`, or, \
         to serve in a runtime of your own, without agentcore's log and flags, write \
         `agentcore::App::from_registry().bind().await?.with_signals().serve().await`"
    );
}

/// Serves. `no_init` is the error because of which a process as PID 1 has to be the agent itself.
fn serve(app: App, began: Instant, no_init: Option<&std::io::Error>) -> ExitCode {
    // No user code runs on this thread, and this thread ends the process.
    report::never_wait();
    let environment = Environment::of_process();
    let (log, prepared) = app.prepare(&environment);
    let format = log.format;
    // Before the log, which makes the spans of user code.
    otel::start(&environment, request::GAUGES);
    log.install();
    log::report_problems();
    unknown::warn_of_unknown_variables();
    if let Some(error) = no_init {
        tracing::warn!(
            "PID 1 cannot start the agent as another process ({error}), so it reaps no orphans: processes that handlers \
             start, and that outlive their parents, stay as zombies; run the container with an init"
        );
    }
    let result = prepared.and_then(|prepared| {
        panics::install_hook();
        platform::raise_file_limit();
        live(prepared, format, began)
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error, format);
            ExitCode::FAILURE
        }
    };
    log::flush();
    code
}

fn live(prepared: Prepared, format: LogFormat, began: Instant) -> Result<(), Error> {
    let Prepared {
        agent,
        settings,
        supplied,
        ..
    } = prepared;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = settings.worker_threads {
        builder.worker_threads(threads);
    }
    let runtime = builder
        .thread_name("agentcore-worker")
        .on_thread_start(platform::step_back)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(Kind::Io, format!("cannot start a runtime: {error}")).with_source(error)
        })?;
    let result = runtime.block_on(async {
        let dev = settings.dev.is_some();
        let path = settings.invocations_path.clone();
        #[cfg(feature = "mcp")]
        let mcp_path = settings.mcp_path.clone();
        let server = Server::bind(agent, settings, supplied)?.with_signals();
        let (address, admin) = (server.local_addr(), server.admin_addr());
        let routes = server.routes_addrs().to_vec();
        #[cfg(feature = "mcp")]
        let mcp = server.mcp_addr().map(|mcp| format!("{mcp}{}", &*mcp_path));
        #[cfg(not(feature = "mcp"))]
        let mcp = None;
        server
            .on_ready(move |agent| {
                let further = (mcp, admin, &*routes);
                let message = ready(agent, address, &path, dev, further, began);
                // Written at every log level.
                log::line(format.line(tracing::Level::INFO, &message));
            })
            .serve()
            .await
    });
    // The work that still runs has been named. A handler that blocks its thread must not keep the process.
    runtime.shutdown_background();
    result
}

/// The line that says that the agent is ready.
fn ready(
    agent: &Agent,
    address: SocketAddr,
    path: &str,
    dev: bool,
    (mcp, admin, routes): (Option<String>, Option<SocketAddr>, &[SocketAddr]),
    began: Instant,
) -> String {
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let (package, parts) = (agent.package, agent.describe());
    let admin = admin.map_or_else(String::new, |admin| format!("; admin http://{admin}"));
    // The usual path says nothing.
    let path = if path == "/invocations" || agent.entrypoint.is_none() {
        String::new()
    } else {
        format!("; invocations at {path}")
    };
    let mcp = mcp.map_or_else(String::new, |mcp| format!("; MCP http://{mcp}"));
    let page = if dev {
        format!("; dev page http://{address}/")
    } else {
        String::new()
    };
    let routes: String = routes
        .iter()
        .map(|address| format!("; routes http://{address}"))
        .collect();
    format!(
        "{package} is ready on http://{address} after {milliseconds:.1} ms: {parts}{path}{mcp}{page}{admin}{routes}"
    )
}

/// Says why the start failed, or what was not finished, at every log level.
///
/// If the log is JSON, a machine reads each problem of a start as a JSON line. But a person reads the log of a container that
/// does not start, so the problems follow once more as plain text.
pub(crate) fn say(error: &Error, format: LogFormat) {
    let problems = match error.problems() {
        [_] => vec![with_causes_once(error)],
        problems => problems.to_vec(),
    };
    let started = error.is_cut_off();
    let prefix = if started { "" } else { "cannot start: " };
    if format == LogFormat::Json {
        for problem in &problems {
            let message = format!("{prefix}{problem}");
            log::last_line(format.line(tracing::Level::ERROR, &message));
        }
        if started {
            return;
        }
    }
    for problem in &problems {
        log::last_line(format!("error: {prefix}{}", log::one_line(problem)));
    }
}

/// The message of the error and its causes. The message about an address in use includes its cause already.
fn with_causes_once(error: &Error) -> String {
    if error.is_address_in_use() {
        error.to_string()
    } else {
        with_causes(error)
    }
}
