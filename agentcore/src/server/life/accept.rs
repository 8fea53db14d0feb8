//! The accept loops, the limits on open connections, and the start of each connection's task.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::app::parts::Agent;
use crate::config::Settings;
use crate::platform;
use crate::report;
use crate::server::connection::half_close::Socket;
use crate::server::connection::place::Place;
use crate::server::connection::write_timeout::Timed;
use crate::server::http::dev;
use crate::server::http::exchange::{Admission, Connection, Port};
use crate::server::http::front::Front;
use crate::server::http::router;
use crate::util::spawn;

/// hyper's buffer limit for a connection, in bytes. With hyper's default of 400 KiB, a few large uploads at once delay pings
/// for tens of milliseconds.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// The buffer limit on the admin port, in bytes: the least that hyper accepts, and much more than probes need.
const ADMIN_BUFFER_BYTES: usize = 8 * 1024;

/// Descriptors that are kept for other things than connections.
const RESERVED_DESCRIPTORS: usize = 64;

/// Connections that may be open beyond the limit, so that a ping is answered even then.
const MOST_CROWDED: usize = 32;

/// How long a connection beyond the limit may be open. A ping needs less: a custom handler has 250 ms.
const CROWDED_LIFE: Duration = Duration::from_secs(1);

/// Connections that may be open to the admin port. A prober and a scraper need one each, and every further one takes a
/// descriptor from clients.
const MOST_ADMIN: usize = 64;

/// Connections that are accepted in a row. The kernel hands out connections faster than they can be served: if thousands were
/// accepted at once, a ping among them would wait for all of them.
const AT_A_TIME: u32 = 8;

/// The waits between attempts to accept when the process is out of descriptors or memory. Each is twice as long as the last.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Accepts connections on the first port for as long as the server lives. `open` counts the connections of all ports that are
/// within the limit. A listener that `is_inherited` is left once the stop begins: later connections wait for the next process,
/// which serves them. This one would refuse their invocations.
pub(crate) async fn accept_all(
    front: Arc<Front>,
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    is_inherited: bool,
) -> ! {
    let instance = Arc::clone(&front.instance);
    Budget::of(&front.settings).warn_of(front.settings.max_connections);
    let first = Port::first(&front.agent);
    if is_inherited {
        front.connections.await_first_requests();
    }
    let stopped = async {
        if is_inherited {
            instance.stopping.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = stopped => {}
        never = accept_each(front, listener, open, first) => match never {},
    }
    std::future::pending().await
}

/// Accepts for ever, on the listener of `port`.
pub(crate) async fn accept_each(
    front: Arc<Front>,
    listener: TcpListener,
    full: Arc<AtomicUsize>,
    port: Port,
) -> ! {
    let protocol = protocol(&front);
    let budget = Budget::of(&front.settings);
    // All ports share the descriptors for pings beyond the limit.
    let mut crowd = Bounded::new((budget.crowded / ports(&front.agent)).max(1));
    loop {
        for _ in 0..AT_A_TIME {
            let stream = accept(&listener).await;
            // Connections beyond the limit are not counted, so that their retries cannot take a place that is free.
            let is_crowded = full.load(Ordering::Relaxed) >= budget.clients;
            let place = Place::take((!is_crowded).then_some(&full), &front.instance);
            let admission = if is_crowded {
                Admission::Crowded
            } else {
                Admission::Full
            };
            let admission = dev::admission(&front, &stream, admission);
            let connection = serve(&front, &protocol, stream, admission, Some(place), port);
            if is_crowded {
                let crowded = connection.clone();
                spawn::boxed(async move {
                    sleep(CROWDED_LIFE).await;
                    crowded.abort();
                });
                crowd.add(connection);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// How many ports clients may come to.
fn ports(agent: &Agent) -> usize {
    let routers = agent.routers.iter();
    let routes = routers.filter(|router| router.port.is_some()).count();
    #[cfg(feature = "mcp")]
    let mcp = usize::from(agent.serves_mcp() && !agent.serves_only_mcp());
    #[cfg(not(feature = "mcp"))]
    let mcp = 0;
    1 + routes + mcp
}

/// A bounded set of open connections. The oldest one is closed for a new one: the new one may be a ping, and the others may
/// be an attempt to keep it out.
pub(crate) struct Bounded {
    most: usize,
    open: VecDeque<AbortHandle>,
}

impl Bounded {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            open: VecDeque::new(),
        }
    }

    pub(crate) fn add(&mut self, connection: AbortHandle) {
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= self.most {
            if let Some(oldest) = self.open.pop_front() {
                oldest.abort();
            }
        }
        self.open.push_back(connection);
    }
}

/// How many connections of each kind may be open, so that the process always has descriptors left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Connections with [`Admission::Full`].
    clients: usize,
    crowded: usize,
    pub(crate) admin: usize,
}

impl Budget {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self::within(
            platform::file_limit().unwrap_or(usize::MAX),
            settings.max_connections,
            settings.admin_port.is_some(),
        )
    }

    /// The budget of a process that may open `limit` files, if the settings ask for `asked` connections. A process with few
    /// descriptors uses most of them itself.
    fn within(limit: usize, asked: usize, has_admin_port: bool) -> Self {
        let share = |most: usize| most.min(limit / 8).max(1);
        let (crowded, admin) = (share(MOST_CROWDED), share(MOST_ADMIN));
        let own = RESERVED_DESCRIPTORS.min(limit / 4 * 3);
        let others = own + crowded + if has_admin_port { admin } else { 0 };
        Self {
            clients: asked.min(limit.saturating_sub(others).max(1)),
            crowded,
            admin,
        }
    }

    fn warn_of(&self, asked: usize) {
        let clients = self.clients;
        if clients < asked {
            report::emit(move || {
                tracing::warn!(
                    "at most {clients} connections instead of {asked}: the process may not open more files"
                );
            });
        }
    }
}

/// Returns the next connection. Errors are logged, and accepting is tried again.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    let mut wait = FIRST_WAIT;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client has left before its connection was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                report::emit(move || {
                    tracing::error!("cannot accept connections: {error}; trying again in {wait:?}");
                });
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Serves the admin port for ever.
pub(crate) async fn serve_admin(front: Arc<Front>, listener: TcpListener) {
    let mut protocol = protocol(&front);
    protocol.max_buf_size(ADMIN_BUFFER_BYTES);
    let mut open = Bounded::new(Budget::of(&front.settings).admin);
    loop {
        let stream = accept(&listener).await;
        open.add(serve(
            &front,
            &protocol,
            stream,
            Admission::Operators,
            None,
            Port::Agent,
        ));
    }
}

/// Serves one connection in a task of its own.
pub(crate) fn serve(
    front: &Arc<Front>,
    protocol: &http1::Builder,
    stream: TcpStream,
    admission: Admission,
    place: Option<Place>,
    port: Port,
) -> AbortHandle {
    // Replies are written whole, so waiting to fill a packet would only delay them. A failure costs that delay and no more.
    let _ = stream.set_nodelay(true);
    let stream = Timed::new(stream, front.settings.write_timeout);
    let socket = Socket::new(
        stream,
        front.connections.waiting(),
        Timed::reset_when_closed,
    );
    let connection = Arc::new(Connection::new(
        Arc::clone(front),
        admission,
        &socket,
        place,
        port,
    ));
    let waiting = Arc::clone(connection.end.waiting());
    let service = service_fn(move |request| router::answer(connection.begin(&request), request));
    let http = protocol.serve_connection(TokioIo::new(socket), service);
    let http = http.with_upgrades();
    spawn::boxed(front.connections.watch(http, waiting)).abort_handle()
}

pub(crate) fn protocol(front: &Front) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        // `Connections` has the timeout for heads.
        .header_read_timeout(None)
        .max_header_size(front.settings.max_header_bytes)
        .max_buf_size(MAX_BUFFER_BYTES)
        // The socket decides when hyper sees the end of what the client sends; see `half_close`.
        .half_close(true);
    protocol
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_for_the_process_for_pings_and_for_the_admin_port() {
        let budget = |clients, crowded, admin| Budget {
            clients,
            crowded,
            admin,
        };
        assert_eq!(
            Budget::within(usize::MAX, 10_240, true),
            budget(10_240, 32, 64)
        );
        assert_eq!(Budget::within(1024, 10_240, true), budget(864, 32, 64));
        assert_eq!(Budget::within(1024, 10_240, false), budget(928, 32, 64));
        assert_eq!(Budget::within(1024, 100, true), budget(100, 32, 64));
        for limit in 1..200 {
            let budget = Budget::within(limit, 10_240, true);
            assert!(budget.clients >= 1 && budget.crowded >= 1 && budget.admin >= 1);
        }
    }
}
