//! Accepting connections and keeping each alive.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

#[cfg(feature = "dev-page")]
use super::dev;
use super::front::Front;
use super::link::{Admission, Link};
use super::service;
use super::socket::Socket;
use crate::boxed;
use crate::instance::Instance;
use crate::os;

/// What is read from, or held back for, one connection at a time, in bytes. With hyper's own 400 KiB, a few large uploads
/// at once keep the front from its pings for tens of milliseconds.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// Descriptors that are left for other things than connections.
const RESERVED_DESCRIPTORS: usize = 64;

/// Connections that are accepted at a time. The kernel hands out a crowd faster than it can be served: accepted at once, a
/// ping among them would wait for thousands.
const AT_A_TIME: u32 = 8;

/// Waits between attempts to accept when the process is out of descriptors or memory.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Accepts for ever.
pub(super) async fn accept_all(front: Arc<Front>, listener: TcpListener) -> ! {
    let protocol = protocol(&front);
    let open = Arc::new(AtomicUsize::new(0));
    let most = most_connections(front.settings.max_connections);
    loop {
        for _ in 0..AT_A_TIME {
            let stream = accept(&listener).await;
            let place = Place::take(&open, &front.instance);
            let admission = if place.number > most {
                Admission::Crowded
            } else {
                Admission::Full
            };
            #[cfg(feature = "dev-page")]
            let admission = dev::admission(&front, &stream, admission);
            serve(&front, &protocol, stream, admission, Some(place));
        }
        tokio::task::yield_now().await;
    }
}

/// The next connection; survives every error.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    let mut wait = FIRST_WAIT;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client's own doing: it left before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!("cannot accept connections: {error}; trying again in {wait:?}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Keeps one connection alive, in a task of its own.
pub(super) fn serve(
    front: &Arc<Front>,
    protocol: &http1::Builder,
    stream: TcpStream,
    admission: Admission,
    place: Option<Place>,
) -> AbortHandle {
    // Replies are written whole; waiting to fill a packet would only delay them. Failing costs no more than that.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, front.connections.waiting(), os::reset_when_closed);
    let link = Arc::new(Link::new(Arc::clone(front), admission, &socket, place));
    let waiting = Arc::clone(link.end.waiting());
    let service = service_fn(move |request| service::answer(link.begin(&request), request));
    let connection = protocol.serve_connection(TokioIo::new(socket), service);
    let connection = connection.with_upgrades();
    boxed::spawn(front.connections.watch(connection, waiting)).abort_handle()
}

/// How HTTP is spoken, on every connection.
pub(super) fn protocol(front: &Front) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // `connections` keeps the time.
        .header_read_timeout(None)
        .max_header_size(front.settings.max_header_bytes)
        .max_buf_size(MAX_BUFFER_BYTES)
        // The socket looks for the end, and decides when it is one; see `socket`.
        .half_close(true);
    protocol
}

/// As many as asked for, or as the process may open. Beyond the latter nothing could be accepted, and no ping answered.
fn most_connections(asked: usize) -> usize {
    let limit = os::file_limit().map_or(usize::MAX, |limit| {
        limit.saturating_sub(RESERVED_DESCRIPTORS).max(1)
    });
    if limit < asked {
        tracing::warn!(
            "at most {limit} connections instead of {asked}: the process may not open more files"
        );
    }
    asked.min(limit)
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// One open connection in the count of them.
pub(super) struct Place {
    open: Arc<AtomicUsize>,
    number: usize,
    instance: Arc<Instance>,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>, instance: &Arc<Instance>) -> Self {
        if let Some(metrics) = &instance.metrics {
            metrics.connections.begin();
        }
        Self {
            instance: Arc::clone(instance),
            number: open.fetch_add(1, Ordering::Relaxed) + 1,
            open: Arc::clone(open),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(metrics) = &self.instance.metrics {
            metrics.connections.end();
        }
    }
}
