//! The entry points for fuzzing: connections and WebSocket sessions over any stream, without a network.

use std::future::Future;
use std::sync::Arc;

use http::Request;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::connection::half_close::Socket;
use super::http::exchange::{Admission, Connection, Port};
use super::http::router;
use super::in_process::InProcess;
use super::life::accept::protocol;
use super::life::thread::FLUSH;

impl InProcess {
    /// Serves `io` as `accept` and the front serve a connection, until it has ended or `stop` completes and the shutdown is
    /// over. Calls `answered` with the method and the status of every answer that goes to hyper.
    pub(crate) async fn serve<T>(
        &self,
        io: T,
        crowded: bool,
        stop: impl Future<Output = ()>,
        answered: impl Fn(&http::Method, http::StatusCode) + Clone + Send + 'static,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let front = self.front();
        let socket = Socket::new(io, front.connections.waiting(), |_| ());
        let admission = if crowded {
            Admission::Crowded
        } else {
            Admission::Full
        };
        let connection = Arc::new(Connection::new(
            Arc::clone(front),
            admission,
            &socket,
            None,
            Port::Agent,
        ));
        let waiting = Arc::clone(connection.end.waiting());
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let answered = answered.clone();
            let method = request.method().clone();
            let answer = router::answer(connection.begin(&request), request);
            async move {
                let answer = answer.await;
                if let Ok(response) = &answer {
                    answered(&method, response.status());
                }
                answer
            }
        });
        let http = protocol(front).serve_connection(TokioIo::new(socket), service);
        let http = http.with_upgrades();
        let mut serving = tokio::spawn(front.connections.watch(http, waiting));
        tokio::select! {
            _ = &mut serving => return,
            () = stop => {}
        }
        // Work that is cut off is an error, which does not matter here.
        let _ = self.stop().await;
        let _ = tokio::time::timeout(FLUSH, front.connections.shutdown()).await;
        serving.abort();
        let _ = serving.await;
    }

    /// Opens a WebSocket like `open_socket`. `ahead` holds the bytes that were read after the handshake; the handle is that of
    /// the session's task.
    #[cfg(feature = "ws")]
    pub(crate) async fn open_session<T>(
        &self,
        headers: http::HeaderMap,
        io: T,
        ahead: bytes::Bytes,
    ) -> Result<JoinHandle<()>, http::StatusCode>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = super::http::websockets::open(self.front(), headers).await;
        let session = session.map_err(|refused| refused.status())?;
        let scope = Arc::clone(session.scope());
        Ok(tokio::spawn(crate::request::within(
            scope,
            session.run(io, ahead),
        )))
    }
}
