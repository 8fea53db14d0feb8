//! Signals, and what sockets need where there is no Unix.

use std::io;

use tokio::net::TcpSocket;

/// Ctrl-C, which is all that can be told from a kill.
#[derive(Debug)]
pub(crate) struct Signals;

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

/// Does nothing: on Windows the option lets two processes listen on one port.
pub(crate) fn reuse_address(_: &TcpSocket) -> io::Result<()> {
    Ok(())
}
