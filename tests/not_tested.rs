//! Skips a test for which this machine lacks something. Each test binary includes this file by its path.

use std::fmt::Display;
use std::io::Write as _;

/// Says that a test, or a part of it, cannot run here. The caller then returns, and the test passes.
///
/// # Panics
///
/// If `AGENTCORE_TEST_ALL` is set, as in the gate, where no test may be skipped.
#[track_caller]
pub(crate) fn not_tested(because: impl Display) {
    assert!(
        std::env::var_os("AGENTCORE_TEST_ALL").is_none(),
        "not tested here, because {because}; and AGENTCORE_TEST_ALL is set"
    );
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    // The harness hides the text of `eprintln!` when a test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{test}: not tested here, because {because}"
    );
}
