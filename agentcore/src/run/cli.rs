//! The flags that every agent has. They only ask for information; the [settings](crate::Config) configure the agent.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

#[cfg(feature = "schema")]
use crate::app::openapi::Version as OpenApiVersion;
use crate::app::package::{self, Package};
use crate::config::table;

/// The exit code after arguments that are not understood, as with most programs.
const MISUSED: u8 = 2;

/// The action that the arguments ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    Help,
    Version,
    Check {
        json: bool,
    },
    /// Print the schemas.
    #[cfg(feature = "schema")]
    Schema,
    /// Print the OpenAPI document.
    #[cfg(feature = "schema")]
    OpenApi(OpenApiVersion),
}

impl Command {
    /// Reads this process's arguments. On an error, prints it and returns the exit code.
    pub(crate) fn of_process() -> Result<Self, ExitCode> {
        parse(std::env::args_os().skip(1)).map_err(|problem| {
            // Written directly, because there is no log yet.
            let _ = writeln!(std::io::stderr(), "error: {problem}");
            ExitCode::from(MISUSED)
        })
    }
}

/// Reads arguments, without the program's name.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let (mut check, mut json) = (false, false);
    for argument in arguments {
        match &*argument.to_string_lossy() {
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            "--check" => check = true,
            "--json" => json = true,
            #[cfg(feature = "schema")]
            "--schema" => return Ok(Command::Schema),
            #[cfg(feature = "schema")]
            "--openapi" | "--openapi=3.1" => return Ok(Command::OpenApi(OpenApiVersion::V3_1)),
            #[cfg(feature = "schema")]
            "--openapi=3.0" => return Ok(Command::OpenApi(OpenApiVersion::V3_0)),
            #[cfg(feature = "schema")]
            other if other.starts_with("--openapi=") => {
                return Err(format!("`{other}`: the versions are 3.0 and 3.1"));
            }
            "--" => break,
            other => return Err(unknown(other)),
        }
    }
    match (check, json) {
        (true, json) => Ok(Command::Check { json }),
        (false, true) => Err("`--json` needs `--check`".to_owned()),
        (false, false) => Ok(Command::Serve),
    }
}

/// The message about an unknown argument, with what to do instead.
fn unknown(argument: &str) -> String {
    let Some(flag) = argument.strip_prefix('-') else {
        return format!(
            "unexpected argument `{argument}`; an agent takes --help, --version and --check; arguments after `--` are the program's"
        );
    };
    let flag = flag.trim_start_matches('-');
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    let name = name.replace('-', "_");
    // Other servers have flags for their settings, so people try them.
    let setting = table::ALL.iter().find(|setting| setting.name() == name);
    match setting {
        Some(setting) => format!(
            "unknown flag `{argument}`; set the variable {} instead (--help lists them all)",
            setting.variable()
        ),
        None => format!("unknown flag `{argument}`; --help lists the flags"),
    }
}

/// The lines of the help about the flags that need the feature `schema`.
#[cfg(feature = "schema")]
const SCHEMA_FLAGS: &str = "      \
      --schema   Print the JSON Schemas of the payload, the reply and the tools, as JSON.
      --openapi[=3.0|3.1]
                 Print the OpenAPI document of the agent, as JSON. The default version is 3.1.
";
#[cfg(not(feature = "schema"))]
const SCHEMA_FLAGS: &str = "";

/// What `--help` prints.
pub(crate) fn help(package: Package) -> String {
    let program = package::program().unwrap_or_else(|| "agent".to_owned());
    let mut text = format!(
        "\
{package}
An agent server: POST /invocations, unless AGENTCORE_INVOCATIONS_PATH is set; GET /ping.

Usage: {program} [--check [--json]] [--help] [--version] [-- ..]

  -h, --help     Print this.
  -V, --version  Print name and version.
      --check    Check the agent and its settings, print the result, and exit: with 0 if the agent can
                 start, with 1 and the reasons otherwise. Nothing starts: no port is bound, no start hook runs.
      --json     With --check: as JSON.
{SCHEMA_FLAGS}      --         The arguments after it are the program's.

Settings are environment variables. What the program itself sets wins over them.
"
    );
    for setting in table::ALL {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n  {} [{}]\n      {}.\n      Takes {}.\n",
            setting.variable(),
            plain(&setting.default()),
            capital(&plain(setting.meaning())),
            setting.takes(),
        );
    }
    text
}

/// The text without Markdown's marks.
pub(crate) fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Prints the requested text on stdout.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // The reader may close the pipe when it has read enough.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn flags_are_recognised_in_any_order() {
        for (arguments, command) in [
            (&[][..], Command::Serve),
            (&["--help"], Command::Help),
            (&["-h"], Command::Help),
            (&["--check", "--help", "--what"], Command::Help),
            (&["--version"], Command::Version),
            (&["-V"], Command::Version),
            (&["--check"], Command::Check { json: false }),
            (&["--check", "--check"], Command::Check { json: false }),
            (&["--json", "--check"], Command::Check { json: true }),
            (&["--check", "--json", "--"], Command::Check { json: true }),
        ] {
            assert_eq!(parsed(arguments), Ok(command), "{arguments:?}");
        }
    }

    #[test]
    fn what_is_behind_two_dashes_is_the_programs_own() {
        assert_eq!(parsed(&["--", "--help", "x"]), Ok(Command::Serve));
        assert_eq!(
            parsed(&["--check", "--", "--json"]),
            Ok(Command::Check { json: false })
        );
    }

    #[test]
    fn what_is_not_known_is_named_with_what_to_do_instead() {
        for (argument, problem) in [
            ("--prot", "unknown flag `--prot`; --help lists the flags"),
            ("-p", "unknown flag `-p`; --help lists the flags"),
            ("-", "unknown flag `-`; --help lists the flags"),
            ("---help", "unknown flag `---help`; --help lists the flags"),
            (
                "--max-body-bytes=1000",
                "unknown flag `--max-body-bytes=1000`; set the variable AGENTCORE_MAX_BODY_BYTES instead (--help lists \
                 them all)",
            ),
            (
                "--port",
                "unknown flag `--port`; set the variable AGENTCORE_PORT instead (--help lists them all)",
            ),
            (
                "serve",
                "unexpected argument `serve`; an agent takes --help, --version and --check; arguments after `--` are \
                 the program's",
            ),
            (
                "",
                "unexpected argument ``; an agent takes --help, --version and --check; arguments after `--` are the \
                 program's",
            ),
            ("--json", "`--json` needs `--check`"),
        ] {
            assert_eq!(parsed(&[argument]), Err(problem.to_owned()));
        }
    }

    #[test]
    fn the_help_is_for_a_terminal_and_names_every_setting() {
        let help = help(Package::new(Some("my-agent"), Some("0.3.0")));
        assert!(help.starts_with("my-agent 0.3.0 (agentcore "), "{help}");
        for setting in table::ALL {
            assert!(help.contains(setting.variable()), "{help}");
            assert!(help.contains(setting.takes()), "{help}");
        }
        assert!(!help.contains('`'), "{help}");
        let longest = help.lines().map(str::len).max();
        assert!(longest < Some(160), "{longest:?}");
    }
}
