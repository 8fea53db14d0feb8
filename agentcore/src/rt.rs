//! [`run`]: what the generated `main` calls.

use std::process::ExitCode;
use std::time::Instant;

use crate::app::App;
use crate::config::{Environment, Settings};
use crate::error::{Error, Kind, with_causes};
use crate::log::{self, Format, Log};
use crate::os;
use crate::panics;
use crate::telemetry;

/// Runs the agent that is annotated in this binary: the whole of the `main` that `#[entrypoint]` generates.
///
/// It reads the [configuration](crate::Config) from the environment, sets up a log on stderr unless the program has set a
/// `tracing` subscriber, checks what is registered, builds a multi-threaded Tokio runtime, serves, and drains when a
/// SIGTERM or SIGINT comes, as PID 1 too. One line on stderr says that the agent is ready, or why it is not.
///
/// The exit code is 0 after a stop at which all work was finished, and 1 otherwise.
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
/// # Panics
///
/// When called from within a Tokio runtime, which cannot start another: use [`App::serve`] there.
#[must_use = "the exit code tells whether everything was finished"]
pub fn run() -> ExitCode {
    run_app(App::from_registry())
}

pub(crate) fn run_app(app: App) -> ExitCode {
    let began = Instant::now();
    let environment = Environment::of_process();
    let mut format = Format::of_stderr();
    let result = Log::from_environment(&environment).and_then(|log| {
        format = log.format;
        // Before the log, which makes spans of the program's own.
        telemetry::start(&environment);
        log.install();
        panics::install_hook();
        os::raise_file_limit();
        let settings = app.settings(&environment)?;
        serve(app, settings, format, began)
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Neither this nor the start line is a matter of log levels.
            report(&error, format).into_iter().for_each(log::line);
            ExitCode::FAILURE
        }
    };
    log::flush();
    code
}

fn serve(app: App, settings: Settings, format: Format, began: Instant) -> Result<(), Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = settings.worker_threads {
        builder.worker_threads(threads);
    }
    let runtime = builder
        .thread_name("agentcore-worker")
        .on_thread_start(os::step_back)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(Kind::Io, format!("cannot start a runtime: {error}")).with_source(error)
        })?;
    let result = runtime.block_on(async {
        let server = app.bind_with(settings).await?.with_signals();
        let address = server.local_addr();
        server
            .on_ready(move |agent| {
                let message = ready(&agent.describe(), address, began);
                log::line(format.line(tracing::Level::INFO, &message));
            })
            .serve()
            .await
    });
    // What still runs has been named; a handler that blocks its thread must not keep the process.
    runtime.shutdown_background();
    result
}

/// The line that says that the agent is ready.
fn ready(agent: &str, address: std::net::SocketAddr, began: Instant) -> String {
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    format!("{agent} is ready on http://{address} after {milliseconds:.1} ms")
}

/// One line for each problem.
fn report(error: &Error, format: Format) -> Vec<String> {
    let prefix = if error.is_cut_off() {
        ""
    } else {
        "cannot start: "
    };
    let lines = match error.problems() {
        [_] => vec![with_causes_once(error)],
        problems => problems.to_vec(),
    };
    lines
        .iter()
        .map(|problem| match format {
            Format::Json => format.line(tracing::Level::ERROR, &format!("{prefix}{problem}")),
            Format::Pretty => format!("error: {prefix}{problem}"),
        })
        .collect()
}

/// The problem of an I/O error says its cause already.
fn with_causes_once(error: &Error) -> String {
    if error.is_address_in_use() {
        error.to_string()
    } else {
        with_causes(error)
    }
}
