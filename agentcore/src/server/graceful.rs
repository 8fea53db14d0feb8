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

/// What connections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Nothing,
    /// To finish the request that they are at.
    Finish,
    /// To look whether what they are at has been cut off.
    LookAgain,
}

/// Every connection holds a receiver until it has ended.
#[derive(Debug)]
pub(super) struct Graceful(watch::Sender<Ask>);

impl Graceful {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Ask::Nothing))
    }

    /// `connection`, asked to finish once the shutdown begins: after the request that it is at, and at once when it is
    /// at none. One that is upgraded has ended here. One that comes later is served, and not waited for.
    pub(super) fn watch<I, S, B>(
        &self,
        connection: UpgradeableConnection<I, S>,
    ) -> impl Future<Output = hyper::Result<()>> + use<I, S, B>
    where
        I: Read + Write + Unpin + Send + 'static,
        S: HttpService<Incoming, ResBody = B, Error: Into<BoxError>>,
        B: Body<Error: Into<BoxError>> + 'static,
    {
        let asked = Some(self.0.subscribe()).filter(|asked| *asked.borrow() == Ask::Nothing);
        async move {
            let mut connection = pin!(connection);
            let Some(mut asked) = asked else {
                return connection.await;
            };
            loop {
                // Polled behind every change: that is how it looks again.
                tokio::select! {
                    biased;
                    ended = &mut connection => return ended,
                    Ok(()) = asked.changed() => {
                        if *asked.borrow_and_update() == Ask::Finish {
                            connection.as_mut().graceful_shutdown();
                        }
                    }
                }
            }
        }
    }

    /// Has all connections look at what they are at.
    pub(super) fn look_again(&self) {
        self.0.send_replace(Ask::LookAgain);
    }

    /// Asks all connections to finish, and completes when they have.
    pub(super) async fn shutdown(&self) {
        self.0.send_replace(Ask::Finish);
        self.0.closed().await;
    }
}
