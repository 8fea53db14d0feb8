//! Leaving out a test for which this machine lacks something. Each test binary takes this file in by its path.

use std::fmt::Display;
use std::io::Write as _;

/// Says that a test, or a part of one, cannot run here. The caller returns then, and the test passes.
///
/// # Panics
///
/// Where `AGENTCORE_TEST_ALL` is set, as it is in the gate: there nothing may be left out.
#[track_caller]
pub(crate) fn not_tested(because: impl Display) {
    assert!(
        std::env::var_os("AGENTCORE_TEST_ALL").is_none(),
        "not tested here, because {because}; and AGENTCORE_TEST_ALL is set"
    );
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // Not `eprintln!`, whose text the harness keeps to itself when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{test}: not tested here, because {because}"
    );
}
