//! Asking connections to finish, and waiting until they have.
//!
//! As hyper-util's `GracefulShutdown`, which takes no connections that may be upgraded.

use std::future::Future;
use std::pin::pin;

use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::HttpService;
use tokio::sync::watch;

use crate::error::BoxError;

/// Every connection holds a receiver until it has ended. The value tells whether it has been asked to.
#[derive(Debug)]
pub(super) struct Graceful(watch::Sender<bool>);

impl Graceful {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// `connection`, asked to finish once the shutdown begins: after the request that it is at, and at once when it is
    /// at none. One that is upgraded has ended here.
    pub(super) fn watch<I, S, B>(
        &self,
        connection: UpgradeableConnection<I, S>,
    ) -> impl Future<Output = hyper::Result<()>> + use<I, S, B>
    where
        I: Read + Write + Unpin + Send + 'static,
        S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
        B: Body<Error: Into<BoxError>> + 'static,
    {
        let mut asked = self.0.subscribe();
        async move {
            let mut connection = pin!(connection);
            tokio::select! {
                biased;
                ended = &mut connection => return ended,
                _ = asked.wait_for(|asked| *asked) => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }

    /// Asks all connections to finish, and completes when they have.
    pub(super) async fn shutdown(self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}
