//! [`Connection`]: what the requests of one connection share. [`Exchange`]: one of its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, Version, header};

use super::front::Front;
use super::request_body::RequestBody;
use super::router::{self, ReplyBody};
use crate::app::parts::Agent;
use crate::handler::invoke::Made;
use crate::handler::response::Response;
use crate::server::connection::framing::{Fault, FirstFault};
use crate::server::connection::half_close::{End, Socket};
use crate::server::connection::place::Place;
use crate::server::threads::wakeups::Batched;

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Full,
    /// A connection beyond the limit. It may ping, its invocations and sockets are refused, and it is closed after one request.
    Crowded,
    /// A connection to the admin port. It may ask for probes and metrics, and for nothing else.
    Operators,
    /// A connection from another machine while the dev page is on. It may ask for nothing.
    Foreign,
}

/// The port that a connection came to, of those for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The agent's own.
    Agent,
    /// The port of the router at this place among the agent's parts.
    Routes(usize),
    /// The port of the Model Context Protocol.
    #[cfg(feature = "mcp")]
    Mcp,
}

impl Port {
    /// The port that the agent's first listener is for.
    pub(crate) fn first(agent: &Agent) -> Self {
        #[cfg(feature = "mcp")]
        if agent.serves_only_mcp() {
            return Self::Mcp;
        }
        let _ = agent;
        Self::Agent
    }

    pub(crate) fn is_mcp(self) -> bool {
        match self {
            #[cfg(feature = "mcp")]
            Self::Mcp => true,
            Self::Agent | Self::Routes(_) => false,
        }
    }
}

/// One connection, as its requests see it.
pub(crate) struct Connection {
    pub(crate) front: Arc<Front>,
    pub(crate) admission: Admission,
    pub(crate) end: Arc<End>,
    pub(crate) port: Port,
    first_fault: FirstFault,
    /// How many requests have come so far.
    requests: AtomicU64,
    /// Counts this connection as open for as long as anything is left of it; `None` in a test.
    place: Option<Arc<Place>>,
}

impl Connection {
    pub(crate) fn new<T>(
        front: Arc<Front>,
        admission: Admission,
        socket: &Socket<T>,
        place: Option<Place>,
        port: Port,
    ) -> Self {
        Self {
            end: socket.end(),
            first_fault: socket.first_fault(),
            admission,
            port,
            place: place.map(Arc::new),
            ..Self::without_socket(front)
        }
    }

    /// The guard that counts the connection as open. It may outlive the server.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.place.clone()
    }

    /// A connection for requests that come as values, to `port`.
    pub(crate) fn without_socket_to(front: Arc<Front>, port: Port) -> Self {
        Self {
            port,
            ..Self::without_socket(front)
        }
    }

    /// A connection for requests that come as values.
    pub(crate) fn without_socket(front: Arc<Front>) -> Self {
        Self {
            end: Arc::new(End::new(front.connections.waiting())),
            front,
            admission: Admission::Full,
            port: Port::Agent,
            first_fault: FirstFault::default(),
            requests: AtomicU64::new(0),
            place: None,
        }
    }

    /// Begins the next request. Has to be called when hyper hands the request over, and not when its answer is first polled: by
    /// then hyper has read on.
    pub(crate) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Exchange {
        self.end.begin();
        Exchange {
            fault: {
                let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
                self.first_fault.for_request(number)
            },
            connection: Arc::clone(self),
            version: request.version(),
        }
    }
}

/// One request, until hyper has the whole reply to it.
pub(crate) struct Exchange {
    pub(crate) connection: Arc<Connection>,
    /// Why the request must be refused, if it must.
    pub(crate) fault: Option<Fault>,
    version: Version,
}

impl Exchange {
    pub(crate) fn front(&self) -> &Front {
        &self.connection.front
    }

    /// Sends a reply that the server makes itself.
    pub(crate) fn reply(
        self,
        reply: impl Into<http::Response<ReplyBody>>,
    ) -> http::Response<ReplyBody> {
        let mut reply = reply.into();
        if self.connection.admission == Admission::Crowded {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(header::CONNECTION, close);
        }
        reply.body_mut().exchange = Some(self);
        reply
    }

    /// Sends a reply that the workers have made. Its request is in flight until the last byte has left.
    pub(crate) fn pass_on(self, (reply, activity): Made) -> http::Response<ReplyBody> {
        let (parts, body) = reply.into_parts();
        let body = if body.as_bytes().is_none() {
            // If the client of a stream leaves, the producer is dropped.
            self.show_end();
            self.front().workers.batch(body)
        } else {
            Batched::direct(body)
        };
        let activity = Some((activity, Arc::clone(&self.connection.end)));
        http::Response::from_parts(parts, ReplyBody::new(body, activity, Some(self)))
    }

    /// Sends a reply to a request whose body has not been read, and discards the body.
    pub(crate) fn refuse<B: RequestBody>(
        self,
        request: Request<B>,
        reply: Response,
    ) -> http::Response<ReplyBody> {
        let reply = router::refuse(&self.connection, request, reply);
        self.reply(reply)
    }

    /// Called when the reply's body has failed. Resets the connection if nothing else tells the client, and returns whether it
    /// does: HTTP/1.0 has no chunks, so a body without a length ends with the connection and would look whole.
    pub(crate) fn break_off(&self, length: Option<u64>) -> bool {
        let looks_whole = self.version < Version::HTTP_11 && length.is_none();
        if looks_whole {
            self.connection.end.break_off();
        }
        looks_whole
    }

    /// Shows hyper the end from now on: if the client has left, the rest of the reply is not sent.
    pub(crate) fn show_end(&self) {
        self.connection.end.watch();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.end.over();
    }
}
