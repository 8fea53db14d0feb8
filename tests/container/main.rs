//! An agent as a container runs it: one static binary, as PID 1, as a user without a name, in a root with nothing else in it. No
//! shell, no `/etc`, no `/proc`, no `/dev`, no `/tmp`.
//!
//! No engine is needed: `unshare` makes the namespaces. It needs root or user namespaces, and the linker needs a static libc.
//!
//! `AGENTCORE_TEST_BINARY=path cargo test -p agentcore-tests --test container` uses an `agent_macros` that was built
//! elsewhere, for example for musl.

#![cfg(target_os = "linux")]

mod build;
mod empty_root;
#[path = "../not_tested.rs"]
mod not_tested;

/// The agents and the client of the integration suite. This suite needs only few parts of it.
#[path = "../integration"]
#[expect(dead_code, reason = "shared with the suite `integration`")]
mod shared {
    pub(crate) mod support;
}
use shared::support;

use serde_json::json;

use empty_root::Container;

/// The limit for a stripped binary. A larger binary has not been stripped, or contains more than it should.
const MOST_BYTES: usize = 5_000_000;

#[test]
fn the_binary_needs_no_other_file_and_is_small() {
    let Some(binary) = build::static_agent() else {
        return;
    };
    let bytes = std::fs::read(binary).expect("the binary");
    assert_eq!(interpreter(&bytes), None, "it asks for a dynamic linker");
    assert!(bytes.len() < MOST_BYTES, "{} bytes", bytes.len());
    println!("{} bytes", bytes.len());
}

#[test]
fn it_serves_and_obeys_either_signal() {
    for signal in ["TERM", "INT"] {
        let Some(agent) = Container::start("serves", &[]) else {
            return;
        };
        assert!(agent.address().ip().is_unspecified(), "{}", agent.address());
        assert!(!agent.ping().busy);
        assert_eq!(
            agent.invoke(json!({ "action": "drop" })).parts(),
            (200, json!({ "dropped": true }))
        );
        agent.signal(signal);
        let (code, log) = agent.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal}: stopping")), "{log}");
    }
}

#[test]
fn it_is_an_init_where_it_can_be_started_once_more() {
    let Some(agent) = Container::start("init", &[]) else {
        return;
    };
    assert!(agent.has_init());

    // Neither `/proc` nor the name says where the program is.
    let agent = Container::start_as("agent", "no-init", &[("PATH", "/")]).expect("as before");
    assert!(!agent.has_init());
    assert!(!agent.ping().busy);
    agent.signal("TERM");
    let (code, log) = agent.wait();
    assert_eq!(code, Some(0), "{log}");
}

/// The message and the backtrace of a panic go to the log. For the backtrace std would read `/proc`.
#[test]
fn a_panic_costs_one_invocation() {
    let Some(agent) = Container::start("panic", &[]) else {
        return;
    };
    assert_eq!(
        agent.invoke(json!({ "action": "panic" })).parts(),
        (500, json!({ "error": "Internal server error" }))
    );
    assert!(!agent.ping().busy);
    agent.signal("TERM");
    let (code, log) = agent.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("a secret detail"), "{log}");
}

#[test]
fn work_in_progress_is_finished_and_pings_are_answered_to_the_end() {
    let Some(agent) = Container::start("drain", &[]) else {
        return;
    };
    let running = agent.invoke_later(json!({ "action": "wait", "gate": "g" }));
    agent.until_tasks(1);
    // This opens the gate, so it has to be in flight before the signal.
    let opener = agent.connect().begin_post().send(b"1\r\n{\r\n");
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");

    assert_eq!(agent.invoke(json!({})).status, 503);
    assert!(agent.ping().busy);

    let rest = br#""action": "open", "gate": "g"}"#;
    let opener = opener
        .send(format!("{:x}\r\n", rest.len()).as_bytes())
        .send(rest)
        .send(b"\r\n0\r\n\r\n");
    assert_eq!(opener.reply().json(), json!({ "opened": "g" }));
    assert_eq!(
        running.join().expect("a reply").parts(),
        (200, json!({ "passed": "g" }))
    );
    let (code, log) = agent.wait();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn what_does_not_finish_within_the_grace_is_named() {
    let Some(agent) = Container::start("grace", &[("AGENTCORE_SHUTDOWN_GRACE", "50ms")]) else {
        return;
    };
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    agent.signal("TERM");
    let (code, log) = agent.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(support::was_cut_off(&log, "task `gated`"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(agent) = Container::start("twice", &[("AGENTCORE_SHUTDOWN_GRACE", "10min")]) else {
        return;
    };
    agent.invoke(json!({ "action": "spawn", "gate": "never" }));
    agent.signal("TERM");
    agent.line_with("SIGTERM: stopping");
    agent.signal("TERM");
    let (code, log) = agent.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("again: stopping at once"), "{log}");
}

/// The dynamic linker that a little-endian, 64-bit ELF file asks for.
fn interpreter(elf: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let field = &elf[at..at + bytes];
        field
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let place = |at| usize::try_from(number(at, 8)).expect("a place in the file");
    assert_eq!(
        &elf[..6],
        b"\x7fELF\x02\x01",
        "an ELF file of 64 bits, little endian"
    );
    let (headers, size, count) = (place(32), number(54, 2), number(56, 2));
    (0..count)
        .map(|index| headers + usize::try_from(index * size).expect("a place in the file"))
        .find(|&header| number(header, 4) == PT_INTERP)
        .map(|header| {
            let name = &elf[place(header + 8)..][..place(header + 32)];
            String::from_utf8_lossy(name).into_owned()
        })
}
