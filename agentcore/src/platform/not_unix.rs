//! Signals and socket options where there is no Unix.

use std::io;

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
