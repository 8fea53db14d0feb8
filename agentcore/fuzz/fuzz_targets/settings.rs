//! Starting with any environment: settings that make sense, or an error that names what does not.
//!
//! The input is lines of `NAME=value`; `AGENTCORE_` is put before every name but `RUST_LOG`.

#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use agentcore::__fuzz::{log, settings};
use libfuzzer_sys::fuzz_target;

/// All that are documented.
const VARIABLES: [&str; 33] = [
    "AGENTCORE_HOST",
    "AGENTCORE_PORT",
    "AGENTCORE_ADMIN_PORT",
    "AGENTCORE_PROBES",
    "AGENTCORE_LOG",
    "AGENTCORE_LOG_FORMAT",
    "AGENTCORE_DEBUG",
    "AGENTCORE_WORKER_THREADS",
    "AGENTCORE_MAX_BODY_BYTES",
    "AGENTCORE_MAX_JSON_NODES",
    "AGENTCORE_MAX_HEADER_BYTES",
    "AGENTCORE_MAX_CONNECTIONS",
    "AGENTCORE_HEADER_TIMEOUT",
    "AGENTCORE_BODY_TIMEOUT",
    "AGENTCORE_WRITE_TIMEOUT",
    "AGENTCORE_SHUTDOWN_GRACE",
    "AGENTCORE_MAX_INVOCATIONS",
    "AGENTCORE_SESSION_POLICY",
    "AGENTCORE_TASK_MAX_AGE",
    "AGENTCORE_ERRORS",
    "AGENTCORE_BUSY_WHILE",
    "AGENTCORE_WS_PING_INTERVAL",
    "AGENTCORE_WS_MAX_MESSAGE_BYTES",
    "AGENTCORE_WS_READ_AHEAD_BYTES",
    "AGENTCORE_WS_READ_AHEAD_TOTAL_BYTES",
    "AGENTCORE_WS_FRAME_BYTES",
    "AGENTCORE_WS_FRAMES_PER_SECOND",
    "AGENTCORE_WS_ORIGINS",
    "AGENTCORE_STAMP_WHILE_BUSY",
    "AGENTCORE_METRICS",
    "AGENTCORE_DEV",
    "RUST_LOG",
    "PORT",
];

/// "Up to a year", and a leap day.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let variables: BTreeMap<String, String> = text
        .split('\n')
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| match name {
            "RUST_LOG" => (name.to_owned(), value.to_owned()),
            name => (format!("AGENTCORE_{name}"), value.to_owned()),
        })
        .collect();
    let variable = |name: &str| {
        assert!(VARIABLES.contains(&name), "{name} is not documented");
        variables.get(name).cloned()
    };
    let spaced = |name: &str| variable(name).map(|value| format!(" {value}\t"));

    match settings(&variable) {
        Ok(found) => {
            assert!(
                found
                    .worker_threads
                    .is_none_or(|threads| (1..=1024).contains(&threads))
            );
            assert!(found.max_connections >= 1);
            assert!(found.durations.iter().all(|time| *time <= LONGEST));
            let [.., write_timeout, _, ping_interval] = found.durations;
            assert!(!write_timeout.is_zero(), "clients that are gone at once");
            assert!(!ping_interval.is_zero(), "pings without a pause");
            assert!(found.frame_bytes >= 128 && found.frames_per_second >= 4);
            let header = found.frame_bytes - found.frame_payload_bytes;
            let is_small = found.frame_payload_bytes <= 0xFFFF;
            assert!(
                header == if is_small { 4 } else { 10 } || header == 10,
                "{found:?}"
            );
            assert_eq!(
                settings(&spaced).ok(),
                Some(found),
                "space around values counts"
            );
        }
        Err(error) => {
            assert!(error.is_config());
            check(error.problems(), &variables);
            assert!(settings(&spaced).is_err(), "space around values counts");
        }
    }
    match log(&variable) {
        Ok(found) => assert_eq!(log(&spaced).ok(), Some(found)),
        Err(error) => {
            assert!(error.is_config());
            check(error.problems(), &variables);
            assert!(log(&spaced).is_err());
        }
    }
});

/// Every problem names a variable that is set, what it is, and what it takes.
fn check(problems: &[String], variables: &BTreeMap<String, String>) {
    assert!(!problems.is_empty());
    for problem in problems {
        let (name, rest) = problem.split_once(" is `").expect("a name");
        let value = variables.get(name).expect("a variable that is set");
        assert!(!value.trim().is_empty(), "{name} is as good as unset");
        if rest.ends_with("another port than AGENTCORE_PORT") {
            // As it was read: `+80` is 80.
            continue;
        }
        let rest = rest.strip_prefix(value.as_str()).expect("its value");
        assert!(rest.starts_with("`; it takes "), "{problem}");
    }
}
