//! Signals and socket options of a Unix.

use std::io;

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
