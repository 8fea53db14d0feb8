//! Platforms other than Linux. They have random numbers. The other functions are improvements that Linux alone has; here they do
//! nothing.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

/// Fills `bytes` with random bytes; false if the system has none.
pub(crate) fn random(bytes: &mut [u8]) -> bool {
    // This crate is needed only here: on Linux rustix, which the library needs in any case, has random numbers.
    getrandom::fill(bytes).is_ok()
}

/// Does nothing: niceness belongs to the process, or does not exist.
pub(crate) fn step_back() {}

/// Does nothing: by default the process may open its maximum of files.
pub(crate) fn raise_file_limit() {}

/// How many files the process may open: not known.
pub(crate) fn file_limit() -> Option<usize> {
    None
}

/// Fails: only Linux locks a file for that.
#[cfg(feature = "durable")]
pub(crate) fn lock_file(_: &std::fs::File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: listeners are passed on Linux only.
pub(crate) fn inherited_listeners(_: usize) -> io::Result<Vec<TcpListener>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "listeners can be passed on Linux only",
    ))
}

/// Does nothing: the system's own time-outs apply.
pub(crate) fn give_up_on_silent_peers<S>(_: &S, _: Duration) {}

/// `None`: only Linux tells.
pub(crate) fn unacknowledged(_: &tokio::net::TcpStream) -> Option<u32> {
    None
}

/// Does nothing.
pub(crate) fn end_when_silent(_: &tokio::net::TcpStream, _: Option<Duration>) {}

/// Whether this process is PID 1.
pub(crate) fn is_pid_1() -> bool {
    std::process::id() == 1
}

/// Returns `None`, so this process becomes the agent: containers of other systems have an init of their own.
pub(crate) fn init() -> io::Result<Option<ExitCode>> {
    Ok(None)
}
