//! Signals and socket options of a Unix.

#[cfg(feature = "durable")]
use std::fs::OpenOptions;
use std::io;
#[cfg(feature = "durable")]
use std::path::Path;

use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. They must be handled: the kernel has no default action for them in PID 1.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Lets a restarted agent bind its address while the kernel still keeps connections of its predecessor.
pub(crate) fn reuse_address(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)
}

/// Makes an empty file that no other user may read, unless there is a file.
#[cfg(feature = "durable")]
pub(crate) fn make_private_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(path).map(drop)
}

/// Tells the file at a path from others. `None` if there is none.
#[cfg(feature = "durable")]
pub(crate) fn identity_of_file(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

#[cfg(all(test, feature = "durable"))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn no_other_user_may_read_a_private_file() {
        let name = format!("agentcore-private-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        super::make_private_file(&path).unwrap();
        std::fs::write(&path, "kept").unwrap();
        super::make_private_file(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((mode & 0o777, &*text), (0o600, "kept"));
    }
}
