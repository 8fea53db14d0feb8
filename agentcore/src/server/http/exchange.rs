//! What the requests of one connection share, and what each of them has for itself.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, Version, header};

use super::front::Front;
use super::request_body::RequestBody;
use super::router::{self, ReplyBody};
use crate::handler::response::Response;
use crate::server::connection::framing::{Fault, FirstFault};
use crate::server::connection::half_close::{End, Socket};
use crate::server::connection::place::Place;

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Full,
    /// One too many: it may ping, is told to come back for the rest, and is closed after one request.
    Crowded,
    /// To the admin port: what operators ask, and nothing else.
    Operators,
    /// From elsewhere, where only this machine is answered: nothing.
    #[cfg(feature = "dev-page")]
    Foreign,
}

/// One connection, as its requests see it.
pub(crate) struct Connection {
    pub(crate) front: Arc<Front>,
    pub(crate) admission: Admission,
    pub(crate) end: Arc<End>,
    first_fault: FirstFault,
    /// That have been made so far.
    requests: AtomicU64,
    /// Among the open connections, as long as anything is left of this one; none in a test.
    #[cfg_attr(
        not(feature = "ws"),
        expect(dead_code, reason = "it counts until its drop")
    )]
    place: Option<Arc<Place>>,
}

impl Connection {
    pub(crate) fn new<T>(
        front: Arc<Front>,
        admission: Admission,
        socket: &Socket<T>,
        place: Option<Place>,
    ) -> Self {
        Self {
            end: socket.end(),
            first_fault: socket.first_fault(),
            admission,
            place: place.map(Arc::new),
            ..Self::without_socket(front)
        }
    }

    /// The connection's place among the open ones, which may outlive the server.
    #[cfg(feature = "ws")]
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.place.clone()
    }

    /// For requests that come as values.
    pub(crate) fn without_socket(front: Arc<Front>) -> Self {
        Self {
            end: Arc::new(End::new(front.connections.waiting())),
            front,
            admission: Admission::Full,
            first_fault: FirstFault::default(),
            requests: AtomicU64::new(0),
            place: None,
        }
    }

    /// The next request has come. Said when hyper hands it over, and not when its answer is first polled: by then hyper has
    /// read on.
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

/// One request, and the reply to it, until hyper has that whole.
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    /// Why the request is not to be answered.
    pub(crate) fault: Option<Fault>,
    version: Version,
}

impl Exchange {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// A reply of the server's own, on its way out.
    pub(crate) fn reply(
        self,
        reply: impl Into<http::Response<ReplyBody>>,
    ) -> http::Response<ReplyBody> {
        let mut reply = reply.into();
        if self.admission == Admission::Crowded {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(header::CONNECTION, close);
        }
        reply.body_mut().exchange = Some(self);
        reply
    }

    /// The same, without having read the body.
    pub(crate) fn refuse<B: RequestBody>(
        self,
        request: Request<B>,
        reply: Response,
    ) -> http::Response<ReplyBody> {
        let reply = router::refuse(&self, request, reply);
        self.reply(reply)
    }

    /// The reply's body has failed. Whether the connection is reset for it, which is where nothing else tells the client:
    /// HTTP/1.0 has no chunks, and a body of which no length has been said ends with the connection.
    pub(crate) fn break_off(&self, length: Option<u64>) -> bool {
        let looks_whole = self.version < Version::HTTP_11 && length.is_none();
        if looks_whole {
            self.connection.end.break_off();
        }
        looks_whole
    }

    /// Shows the end from now on, if whoever has left needs no answer: the rest of the reply is not sent any more.
    pub(crate) fn show_end(&self) {
        self.connection.end.watch();
    }
}

impl Deref for Exchange {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.end.over();
    }
}
