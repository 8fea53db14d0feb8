//! The output of a binary's flags. Nothing starts meanwhile.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{Agent, failed_start, run};

const AGENT: &str = env!("CARGO_BIN_EXE_agent_macros");
const CONFIGURED: &str = env!("CARGO_BIN_EXE_configured");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The report of an agent that can start.
fn report(environment: &[(&str, &str)]) -> Value {
    let outcome = run(CONFIGURED, &["--check", "--json"], environment);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

fn setting(report: &Value, name: &str) -> Value {
    let settings = report["settings"].as_array().expect("settings");
    let found = settings.iter().find(|setting| setting["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn the_version_names_the_agents_crate_and_the_library() {
    for flag in ["--version", "-V"] {
        for binary in [AGENT, CONFIGURED, env!("CARGO_BIN_EXE_all_wrong")] {
            let outcome = run(binary, &[flag], &[]);
            assert_eq!(
                outcome.stdout,
                format!("agentcore-tests {VERSION} (agentcore {VERSION})\n")
            );
            assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
        }
    }
    // Without annotated functions the crate is not known.
    let outcome = run(env!("CARGO_BIN_EXE_no_entrypoint"), &["--version"], &[]);
    assert_eq!(
        outcome.stdout,
        format!("no_entrypoint (agentcore {VERSION})\n")
    );
}

#[test]
fn the_help_lists_flags_and_settings_whatever_is_wrong() {
    for flag in ["--help", "-h"] {
        let environment = [("AGENTCORE_PORT", "no port")];
        let outcome = run(env!("CARGO_BIN_EXE_all_wrong"), &[flag], &environment);
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
        for text in [
            "Usage: all_wrong [--check [--json]]",
            "--version",
            "  AGENTCORE_PORT [8080]\n      The port to listen on;",
            "\n      Takes a port number from 0 to 65535.\n",
            "AGENTCORE_ADMIN_PORT [none]",
        ] {
            assert!(outcome.stdout.contains(text), "{}", outcome.stdout);
        }
    }
}

#[test]
fn what_is_not_known_is_one_line_and_exit_code_2() {
    for (arguments, line) in [
        (
            &["--chekc"][..],
            "error: unknown flag `--chekc`; --help lists the flags\n",
        ),
        (
            &["--check", "--port=80"],
            "error: unknown flag `--port=80`; set the variable AGENTCORE_PORT instead (--help lists them all)\n",
        ),
        (&["--json"], "error: `--json` needs `--check`\n"),
        (
            &["serve"],
            "error: unexpected argument `serve`; an agent takes --help, --version and --check; arguments \
             after `--` are the program's\n",
        ),
    ] {
        let outcome = run(CONFIGURED, arguments, &[]);
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        assert_eq!((&*outcome.stderr, &*outcome.stdout), (line, ""));
    }
}

#[test]
fn what_is_behind_two_dashes_is_the_programs() {
    let mut command = std::process::Command::new(CONFIGURED);
    command.args(["--", "--help", "x"]);
    let agent = Agent::start_command(command, &[]);
    assert_eq!(
        agent.invoke(json!(null)).parts(),
        (200, json!(["--", "--help", "x"]))
    );
}

#[test]
fn flags_that_are_off_are_the_programs() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flags_off"));
    command.args(["--help", "--what"]);
    let agent = Agent::start_command(command, &[]);
    assert_eq!(
        agent.invoke(json!(null)).parts(),
        (200, json!(["--help", "--what"]))
    );
}

/// A start would fail and say so. Hooks would print something too.
#[test]
fn a_check_binds_nothing_and_runs_no_hook() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let environment = [("AGENTCORE_HOST", "127.0.0.1"), ("AGENTCORE_PORT", &port)];
    let (status, stderr) = failed_start(CONFIGURED, &environment);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("another process uses the port"), "{stderr}");

    let outcome = run(CONFIGURED, &["--check"], &environment);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    let said = "\nnot tried: whether the port is free, and the start hooks\n";
    assert!(outcome.stdout.ends_with(said), "{}", outcome.stdout);
}

#[test]
fn a_check_says_what_the_agent_consists_of_and_where_its_settings_come_from() {
    let environment = [
        ("AGENTCORE_HOST", "localhost"),
        ("AGENTCORE_PORT", " 9000 "),
        ("AGENTCORE_SHUTDOWN_GRACE", "1h"),
        ("AGENTCORE_PROT", "a secret detail"),
        ("AWS_SECRET_ACCESS_KEY", "a secret detail"),
        ("RUST_LOG", "debug"),
    ];
    let outcome = run(CONFIGURED, &["--check"], &environment);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    let text = outcome.stdout;
    assert!(!text.contains("secret"), "{text}");
    let begin = format!("agentcore-tests {VERSION} (agentcore {VERSION}) can start\n\n");
    assert!(text.starts_with(&begin), "{text}");
    let place = "(tests/fixtures/configured.rs:";
    for (begin, end) in [
        (
            format!("entrypoint      `handler` {place}"),
            "), within 1m 30s, dropped when its client leaves",
        ),
        (format!("websocket       `chat` {place}"), ")"),
        (format!("ping            `health` {place}"), ")"),
        (format!("tasks           `index` {place}"), ")"),
        (format!("                `a summary` {place}"), ")"),
        (
            format!("start hooks     `load` {place}"),
            "), within 1m, makes `configured::Model`",
        ),
        (format!("                `warm_up` {place}"), ")"),
        (format!("shutdown hooks  `unload` {place}"), ")"),
        ("layers          1".to_owned(), ""),
    ] {
        let found = text.lines().find(|line| line.starts_with(&begin));
        assert!(
            found.is_some_and(|line| line.ends_with(end)),
            "{begin}: {text}"
        );
    }
    for row in [
        ["port", "9000", "AGENTCORE_PORT"],
        ["host", "127.0.0.1", "AGENTCORE_HOST"],
        ["admin_port", "none", "default"],
        ["probes", "false", "default"],
        ["shutdown_grace", "3s", "builder"],
        ["ws_origins", "https://app.example.com", "builder"],
        ["log", "warn", "builder"],
        ["log_format", "json", "default"],
    ] {
        let found = text
            .lines()
            .any(|line| line.split_whitespace().eq(row.iter().copied()));
        assert!(found, "no {row:?} in {text}");
    }
    assert!(
        text.contains(
            "\nnote: AGENTCORE_PROT (did you mean AGENTCORE_PORT?) is set, but is not a setting\n"
        ),
        "{text}"
    );
}

#[test]
fn a_check_as_json_is_one_object_for_machines() {
    let report = report(&[
        ("AGENTCORE_HOST", "localhost"),
        ("AGENTCORE_DEBUG", "ON"),
        ("AGENTCORE_ADMIN_PORT", "9090"),
        ("AGENTCORE_MAX_CONNECTIONS", "7"),
        ("AGENTCORE_BODY_TIMEOUT", "90s"),
        ("AGENTCORE_MODEL", "a secret detail"),
    ]);
    assert!(!report.to_string().contains("secret"), "{report}");
    for (key, value) in [
        ("ok", json!(true)),
        ("name", json!("agentcore-tests")),
        ("version", json!(VERSION)),
        ("agentcore", json!(VERSION)),
        ("problems", json!([])),
        ("layers", json!(1)),
        ("unknown_variables", json!(["AGENTCORE_MODEL"])),
        ("not_tried", json!(["port", "start_hooks"])),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
    let line_of = |text: &str| {
        let source = include_str!("../fixtures/configured.rs");
        let before = source.lines().position(|line| line.contains(text));
        before.expect("such a line") + 1
    };
    let function = |name: &str, text: &str| json!({ "name": name, "file": "tests/fixtures/configured.rs", "line": line_of(text) });
    let with = |mut object: Value, more: Value| {
        let more = more.as_object().expect("an object").clone();
        object.as_object_mut().expect("an object").extend(more);
        object
    };
    assert_eq!(
        report["entrypoint"],
        with(
            function("handler", "async fn handler"),
            json!({ "timeout": "1m 30s", "idle_timeout": null, "on_disconnect": "cancel" })
        )
    );
    assert_eq!(report["websocket"], function("chat", "async fn chat"));
    assert_eq!(report["ping"], function("health", "fn health"));
    assert_eq!(
        report["tasks"],
        json!([
            function("index", "async fn index"),
            function("a summary", "async fn summarise")
        ])
    );
    assert_eq!(
        report["start_hooks"],
        json!([
            with(
                function("load", "fn load"),
                json!({ "timeout": "1m", "state": "configured::Model" })
            ),
            with(
                function("warm_up", "fn warm_up"),
                json!({ "timeout": null, "state": null })
            ),
        ])
    );
    assert_eq!(
        report["shutdown_hooks"],
        json!([function("unload", "fn unload")])
    );

    let expected = [
        ("host", "AGENTCORE_HOST", json!("127.0.0.1"), "environment"),
        ("port", "AGENTCORE_PORT", json!(8080), "default"),
        (
            "admin_port",
            "AGENTCORE_ADMIN_PORT",
            json!(9090),
            "environment",
        ),
        ("probes", "AGENTCORE_PROBES", json!(true), "default"),
        (
            "worker_threads",
            "AGENTCORE_WORKER_THREADS",
            json!(null),
            "default",
        ),
        (
            "body_timeout",
            "AGENTCORE_BODY_TIMEOUT",
            json!("1m 30s"),
            "environment",
        ),
        (
            "shutdown_grace",
            "AGENTCORE_SHUTDOWN_GRACE",
            json!("3s"),
            "builder",
        ),
        (
            "max_connections",
            "AGENTCORE_MAX_CONNECTIONS",
            json!(100),
            "builder",
        ),
        ("debug", "AGENTCORE_DEBUG", json!(true), "environment"),
        ("errors", "AGENTCORE_ERRORS", json!("http"), "default"),
        ("log", "AGENTCORE_LOG", json!("warn"), "builder"),
    ];
    for (name, variable, value, source) in expected {
        let found = setting(&report, name);
        assert_eq!(found["variable"], variable, "{name}");
        assert_eq!(found["value"], value, "{name}");
        assert_eq!(found["source"], source, "{name}");
        assert!(found["default"].is_string(), "{name}");
    }
    assert_eq!(setting(&report, "worker_threads")["default"], "one per CPU");
}

/// The names and the order of the values. Programs depend on them.
#[test]
fn the_settings_are_all_there_and_in_the_order_of_the_table() {
    let report = report(&[]);
    let names: Vec<_> = report["settings"]
        .as_array()
        .expect("settings")
        .iter()
        .map(|setting| setting["name"].as_str().expect("a name"))
        .collect();
    let table = include_str!("../../agentcore/docs/settings.md");
    let documented: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split('`').next())
        // They are there with the feature `durable`, which this agent is built without.
        .filter(|name| !name.starts_with("durable"))
        .collect();
    assert!(documented.len() > 20, "{documented:?}");
    assert_eq!(names, documented);
}

#[test]
fn a_variable_that_stands_in_for_another_is_named() {
    let outcome = run(
        AGENT,
        &["--check", "--json"],
        &[("RUST_LOG", "debug,hyper=off")],
    );
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let log = setting(&report, "log");
    assert_eq!(log["variable"], "RUST_LOG");
    assert_eq!(log["source"], "environment");
    let levels = log["value"].as_str().expect("text");
    assert!(
        levels.contains("debug") && levels.contains("hyper=off"),
        "{log}"
    );
}

#[test]
fn a_failing_check_says_what_a_start_says() {
    let pretty = ("AGENTCORE_LOG_FORMAT", "pretty");
    let wrong = [
        pretty,
        ("AGENTCORE_PORT", "eighty"),
        ("AGENTCORE_ADMIN_PORT", "-1"),
        ("AGENTCORE_LOG", "loud"),
    ];
    for (binary, environment, count) in [
        (env!("CARGO_BIN_EXE_all_wrong"), &wrong[..], 3 + 6),
        (env!("CARGO_BIN_EXE_all_wrong"), &[pretty], 6),
        (env!("CARGO_BIN_EXE_no_entrypoint"), &[pretty], 1),
        (AGENT, &wrong, 3),
    ] {
        let (status, said) = failed_start(binary, environment);
        assert_eq!(status.code(), Some(1));
        assert_eq!(said.lines().count(), count, "{said}");

        let outcome = run(binary, &["--check"], environment);
        assert_eq!(outcome.code, Some(1));
        assert_eq!((&*outcome.stderr, &*outcome.stdout), (&*said, ""));

        let outcome = run(binary, &["--check", "--json"], environment);
        assert_eq!(outcome.code, Some(1));
        assert_eq!(outcome.stderr, said);
        let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(report["ok"], false);
        assert_eq!(report["settings"], Value::Null);
        let problems = report["problems"].as_array().expect("problems");
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| format!("error: cannot start: {}", problem.as_str().expect("text")))
            .collect();
        assert_eq!(lines, said.lines().collect::<Vec<_>>());
    }
}
