//! The server without sockets: requests are handed to the service as values.

use std::sync::Arc;

use http::{Request, Response};
#[cfg(fuzzing)]
use hyper::service::service_fn;
#[cfg(fuzzing)]
use hyper_util::rt::TokioIo;
#[cfg(fuzzing)]
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

#[cfg(fuzzing)]
use super::accept::protocol;
use super::front::Front;
#[cfg(fuzzing)]
use super::graceful::Graceful;
use super::lifecycle::Phase;
use super::request_body::RequestBody;
use super::service::{self, Admission, Link, ReplyBody};
use super::socket::End;
#[cfg(fuzzing)]
use super::socket::Socket;
use crate::agent::Agent;
use crate::config::Settings;
use crate::error::Error;
use crate::tasks::{BusyTracker, TrackerHandle};

/// One app, served to the caller's own runtime, with a status of its own.
pub(crate) struct InProcess {
    link: Arc<Link>,
    deliverer: JoinHandle<std::convert::Infallible>,
}

impl InProcess {
    /// Runs the start hooks.
    pub(crate) async fn start(mut agent: Agent, settings: Settings) -> Result<Self, Error> {
        let mut states = std::mem::take(&mut agent.states);
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let front = Arc::new(Front::new(agent, settings, tracker, Handle::current()));
        let deliverer = tokio::spawn(Arc::clone(&front.wakes).deliver());
        let link = Arc::new(Link {
            front,
            admission: Admission::Full,
            end: Arc::new(End::default()),
            _place: None,
        });
        let server = Self { link, deliverer };
        server.link.front.run_start_hooks(&mut states).await?;
        server.link.front.begin_serving(states);
        Ok(server)
    }

    pub(crate) async fn answer<B: RequestBody>(&self, request: Request<B>) -> Response<ReplyBody> {
        match service::answer(Arc::clone(&self.link), request, self.link.end.hide()).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Opens a socket over `io`, on which the handshake is over.
    #[cfg(feature = "ws")]
    pub(crate) async fn open_socket(
        &self,
        headers: http::HeaderMap,
        io: tokio::io::DuplexStream,
    ) -> Result<(), crate::response::Response> {
        let session = super::websockets::open(&self.link.front, headers).await?;
        let scope = Arc::clone(session.scope());
        tokio::spawn(crate::context::within(
            scope,
            session.run(io, bytes::Bytes::new()),
        ));
        Ok(())
    }

    pub(crate) fn tracker(&self) -> &BusyTracker {
        &self.link.front.instance.tracker
    }

    /// Lets work in progress finish, and runs the shutdown hooks.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let front = &self.link.front;
        front.phase.advance(Phase::Draining);
        front.instance.stopping.cancel();
        front.drain(front.settings.shutdown_grace).await
    }
}

/// What fuzzing needs beyond tests: the connections themselves, without a network below them.
#[cfg(fuzzing)]
impl InProcess {
    /// Serves `io` as `accept` and the front serve a connection, until it has ended or `stop` completes and the shutdown
    /// is over. `answered` is told the head of every answer that goes to hyper.
    pub(crate) async fn serve<T>(
        &self,
        io: T,
        crowded: bool,
        stop: impl Future<Output = ()>,
        answered: impl Fn(&http::Method, http::StatusCode) + Clone + Send + 'static,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let graceful = Graceful::new();
        let (socket, end) = Socket::new(io);
        let link = Arc::new(Link {
            front: Arc::clone(&self.link.front),
            admission: if crowded {
                Admission::Crowded
            } else {
                Admission::Full
            },
            end,
            _place: None,
        });
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let answered = answered.clone();
            let method = request.method().clone();
            let answer = service::answer(Arc::clone(&link), request, link.end.hide());
            async move {
                let answer = answer.await;
                if let Ok(response) = &answer {
                    answered(&method, response.status());
                }
                answer
            }
        });
        let connection = protocol(&self.link.front).serve_connection(TokioIo::new(socket), service);
        let mut connection = tokio::spawn(graceful.watch(connection.with_upgrades()));
        tokio::select! {
            _ = &mut connection => return,
            () = stop => {}
        }
        // Work that is cut off is an error, and no business of this.
        let _ = self.stop().await;
        let _ = tokio::time::timeout(super::front::FLUSH, graceful.shutdown()).await;
        connection.abort();
        let _ = connection.await;
    }

    /// As `open_socket`, with what had been read behind the handshake, and a handle on the whole session.
    #[cfg(feature = "ws")]
    pub(crate) async fn open_session<T>(
        &self,
        headers: http::HeaderMap,
        io: T,
        ahead: bytes::Bytes,
    ) -> Result<JoinHandle<()>, crate::response::Response>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = super::websockets::open(&self.link.front, headers).await?;
        let scope = Arc::clone(session.scope());
        Ok(tokio::spawn(crate::context::within(
            scope,
            session.run(io, ahead),
        )))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.deliverer.abort();
    }
}
