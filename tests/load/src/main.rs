//! The load tool: see README.md beside this package.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use agentcore_load::Lines;
use agentcore_load::compare::Compare;
use agentcore_load::hostile::Hostile;
use agentcore_load::in_flight::InFlight;
use agentcore_load::instructions::Instructions;
use agentcore_load::kill::Kill;
use agentcore_load::report::Report;
use agentcore_load::restore::Restore;
use agentcore_load::routes::Routes;
use agentcore_load::soak::Soak;

const USAGE: &str = "usage: agentcore-load <command> [options]

    soak        [--seconds 600] [--clients 200] [--seed N]
    in-flight   [--count 10000]
    hostile     [--seconds 60] [--seed N] [--only slow-heads|slow-bodies|idle|half-closed|resets|pipelines|chunks|large-bodies]
    kill        [--times 200] [--seed N]
    routes      [--seconds 10]
    restore     [--times 5]
    all         [--seed N]                      each of them, short
    instructions --program PATH [--lines off|on]
                                                what a ping and an invocation cost; needs valgrind
    compare     [--rounds 5] [--only ROW] [--patience 60] [--peers-allocator mimalloc|system] [--lines off|on]
                                                the agent beside a hand-written axum server and a bare one, as ratios

Exits with 0 if every limit was kept, and with 1 otherwise.";

/// The agents under load.
const TARGET: &str = "agentcore-load-target";
const ROUTES: &str = "agentcore-load-routes";

/// The niceness of the clients compared with the agent and the pinger. The agent is to be measured, and not how the machine
/// shares its processors between them.
const STEP_BACK: i32 = 10;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let options = match Options::parse(&words) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.command == "compare" {
        return compare(&options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .on_thread_start(|| {
            let _ = rustix::process::nice(STEP_BACK);
        })
        .enable_all()
        .build();
    let reports = match runtime.and_then(|runtime| runtime.block_on(run(&options))) {
        Ok(reports) => reports,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("\n| command | figure | value | limit |\n| --- | --- | --- | --- |");
    reports
        .iter()
        .for_each(|report| print!("{}", report.markdown()));
    if reports.iter().all(Report::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs without a runtime, because the sending threads are placed on their own processors.
fn compare(options: &Options) -> ExitCode {
    let compare = Compare {
        rounds: options.rounds.unwrap_or(5) as usize,
        only: options.only.clone(),
        patience: Duration::from_secs(options.patience.unwrap_or(60)),
        system_allocator: options.system_allocator,
        lines: options.lines,
    };
    match compare.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The options of the command line.
struct Options {
    command: String,
    seconds: Option<u64>,
    clients: Option<u64>,
    count: Option<u64>,
    times: Option<u64>,
    seed: Option<u64>,
    only: Option<String>,
    program: Option<PathBuf>,
    rounds: Option<u64>,
    patience: Option<u64>,
    system_allocator: bool,
    lines: Lines,
}

impl Options {
    fn parse(words: &[String]) -> std::result::Result<Self, String> {
        let (command, rest) = words.split_first().ok_or("a command is missing")?;
        let mut options = Self {
            command: command.clone(),
            seconds: None,
            clients: None,
            count: None,
            times: None,
            seed: None,
            only: None,
            program: None,
            rounds: None,
            patience: None,
            system_allocator: false,
            lines: Lines::Off,
        };
        let allowed: &[&str] = match command.as_str() {
            "soak" => &["--seconds", "--clients", "--seed"],
            "in-flight" => &["--count"],
            "hostile" => &["--seconds", "--seed", "--only"],
            "kill" => &["--times", "--seed"],
            "routes" => &["--seconds"],
            "restore" => &["--times"],
            "all" => &["--seed"],
            "instructions" => &["--program", "--lines"],
            "compare" => &[
                "--rounds",
                "--only",
                "--patience",
                "--peers-allocator",
                "--lines",
            ],
            _ => return Err(format!("there is no command {command:?}")),
        };
        for pair in rest.chunks(2) {
            let name = pair[0].as_str();
            if !allowed.contains(&name) {
                return Err(format!("{command} has no option {name:?}"));
            }
            let value = pair.get(1).ok_or_else(|| format!("{name} wants a value"))?;
            if name == "--only" {
                options.only = Some(value.clone());
                continue;
            }
            if name == "--peers-allocator" {
                options.system_allocator = match value.as_str() {
                    "mimalloc" => false,
                    "system" => true,
                    _ => return Err(format!("{name} takes mimalloc or system")),
                };
                continue;
            }
            if name == "--lines" {
                options.lines = match value.as_str() {
                    "off" => Lines::Off,
                    "on" => Lines::On,
                    _ => return Err(format!("{name} takes off or on")),
                };
                continue;
            }
            if name == "--program" {
                options.program = Some(value.into());
                continue;
            }
            let number = value
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("{name} wants a number above 0"))?;
            *match name {
                "--seconds" => &mut options.seconds,
                "--clients" => &mut options.clients,
                "--count" => &mut options.count,
                "--times" => &mut options.times,
                "--rounds" => &mut options.rounds,
                "--patience" => &mut options.patience,
                _ => &mut options.seed,
            } = Some(number);
        }
        if command == "instructions" && options.program.is_none() {
            return Err("instructions wants --program".to_owned());
        }
        Ok(options)
    }
}

async fn run(options: &Options) -> Result<Vec<Report>> {
    if let Some(program) = options.program.clone() {
        let lines = options.lines;
        return Ok(vec![Instructions { program, lines }.run()?]);
    }
    let program = agent(TARGET)?;
    let short = options.command == "all";
    let mut reports = Vec::new();
    let wanted = |command: &str| short || options.command == command;
    let seconds = |usual: u64, short_one: u64| {
        let seconds = options
            .seconds
            .unwrap_or(if short { short_one } else { usual });
        Duration::from_secs(seconds)
    };
    let number = |given: Option<u64>, usual: usize, short_one: usize| match given {
        Some(number) => number as usize,
        None if short => short_one,
        None => usual,
    };
    if wanted("soak") {
        let mut soak = Soak::new(&program);
        soak.time = seconds(600, 30);
        soak.clients = number(options.clients, soak.clients, soak.clients);
        soak.seed = options.seed.unwrap_or(soak.seed);
        reports.push(soak.run().await?);
    }
    if wanted("in-flight") {
        let mut in_flight = InFlight::new(&program);
        in_flight.count = number(options.count, in_flight.count, 2_000);
        reports.push(in_flight.run().await?);
    }
    if wanted("hostile") {
        let mut hostile = Hostile::new(&program);
        hostile.time = seconds(60, 15);
        hostile.seed = options.seed.unwrap_or(hostile.seed);
        hostile.only.clone_from(&options.only);
        reports.push(hostile.run().await?);
    }
    if wanted("kill") {
        let mut kill = Kill::new(&program);
        kill.times = number(options.times, kill.times, 20);
        kill.seed = options.seed.unwrap_or(kill.seed);
        reports.push(kill.run().await?);
    }
    if wanted("routes") {
        let mut routes = Routes::new(agent(ROUTES)?);
        routes.time = seconds(10, 3);
        reports.push(routes.run().await?);
    }
    if wanted("restore") {
        let mut restore = Restore::new(agent(ROUTES)?);
        restore.times = number(options.times, restore.times, 2);
        reports.push(restore.run().await?);
    }
    Ok(reports)
}

/// The agent `name`, which is beside this program.
fn agent(name: &str) -> Result<PathBuf> {
    // `cargo run` builds only the program that it runs.
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--bin",
            name,
        ]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err(Error::other("the agent cannot be built"));
        }
    }
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = std::env::current_exe()?.with_file_name(name);
    if program.exists() {
        Ok(program)
    } else {
        Err(Error::other(format!(
            "there is no {}: cargo build --release -p agentcore-load",
            program.display()
        )))
    }
}
