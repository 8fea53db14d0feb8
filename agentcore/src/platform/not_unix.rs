//! Signals and socket options where there is no Unix.

#[cfg(feature = "durable")]
use std::fs::OpenOptions;
use std::io;
#[cfg(feature = "durable")]
use std::path::Path;

use tokio::net::TcpSocket;
use tokio::signal::windows::{CtrlC, ctrl_c};

/// Ctrl-C, the only request to stop that the library gets here.
#[derive(Debug)]
pub(crate) struct Signals(CtrlC);

impl Signals {
    /// Listens from now on, also before [`next`](Self::next) is called.
    pub(crate) fn new() -> io::Result<Self> {
        ctrl_c().map(Self)
    }

    /// Waits for the next signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        match self.0.recv().await {
            Some(()) => "Ctrl-C",
            None => std::future::pending().await,
        }
    }
}

/// Does nothing: on Windows the option lets two processes listen on one port.
pub(crate) fn reuse_address(_: &TcpSocket) -> io::Result<()> {
    Ok(())
}

/// Makes an empty file, unless there is a file. Who may read it, the folder says.
#[cfg(feature = "durable")]
pub(crate) fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).map(drop)
}

/// Tells the file at a path from others, where the system says so. A file that is open cannot be moved or deleted here.
#[cfg(feature = "durable")]
pub(crate) fn identity_of_file(_: &Path) -> Option<(u64, u64)> {
    None
}
