//! The server without sockets, for tests: requests are passed to the service as values.

use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response};

use super::http::exchange::{Connection, Port};
use super::http::front::Front;
use super::http::phase::Phase;
use super::http::request_body::RequestBody;
use super::http::router::{self, ReplyBody};
use super::life::thread::Life;
use crate::app::parts::Agent;
use crate::config::Settings;
use crate::error::Error;
use crate::request::Scope;
use crate::request::TrackerHandle;
use crate::tracker::BusyTracker;

/// One app that runs on the caller's runtime, with a status of its own.
pub(crate) struct InProcess {
    life: Life,
}

impl InProcess {
    /// Runs the start hooks.
    pub(crate) async fn start(
        agent: Agent,
        #[cfg_attr(
            not(feature = "durable"),
            expect(unused_mut, reason = "nothing is set")
        )]
        mut settings: Settings,
    ) -> Result<Self, Error> {
        #[cfg(feature = "durable")]
        {
            settings.durable.store = crate::config::Store::memory();
        }
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let mut life = Life::in_process(agent, settings, tracker);
        life.begin();
        life.start().await?;
        life.begin_serving();
        #[cfg(feature = "durable")]
        crate::durable::Worker::begin_here(
            &life.front.instance,
            life.front.settings.shutdown_grace,
            super::http::jobs_gate::JobsGate::new(&life.front),
        );
        Ok(Self { life })
    }

    pub(super) fn front(&self) -> &Arc<Front> {
        &self.life.front
    }

    pub(crate) fn invocations_path(&self) -> &str {
        &self.front().settings.invocations_path
    }

    pub(crate) fn warmup_path(&self) -> &str {
        &self.front().settings.warmup_path
    }

    /// Does what follows a restore from a snapshot.
    pub(crate) fn restore(&self) {
        self.front().restored();
    }

    /// Answers a request to the port of routes, if `port` names one, and else to the agent's. `None` if no routes have it.
    pub(crate) async fn answer_on<B: RequestBody>(
        &self,
        port: Option<u16>,
        request: Request<B>,
    ) -> Option<Response<ReplyBody>> {
        let mut routers = self.front().agent.routers.iter();
        let port = match port {
            None => Port::Agent,
            port => Port::Routes(routers.position(|router| router.port == port)?),
        };
        Some(self.answer_to(port, request).await)
    }

    #[cfg(test)]
    pub(crate) async fn answer<B: RequestBody>(&self, request: Request<B>) -> Response<ReplyBody> {
        self.answer_to(Port::Agent, request).await
    }

    async fn answer_to<B: RequestBody>(
        &self,
        port: Port,
        request: Request<B>,
    ) -> Response<ReplyBody> {
        // A new connection for each request: there is no socket that would report when a reply has been sent.
        let front = Arc::clone(self.front());
        let connection = Arc::new(Connection::without_socket_to(front, port));
        let mut answer = router::answer(connection.begin(&request), request);
        let mut cut_off = pin!(self.front().instance.until_cut_off());
        let mut was_cut_off = false;
        loop {
            // The answer notices at its next poll that everything is cut off.
            tokio::select! {
                biased;
                Ok(response) = &mut answer => return response,
                () = &mut cut_off, if !was_cut_off => was_cut_off = true,
            }
        }
    }

    /// Opens a WebSocket over `io`, on which the handshake is over.
    #[cfg(feature = "ws")]
    pub(crate) async fn open_socket(
        &self,
        headers: http::HeaderMap,
        io: tokio::io::DuplexStream,
    ) -> Result<(), Box<crate::handler::response::Outgoing>> {
        let session = super::http::websockets::open(self.front(), headers).await?;
        let scope = Arc::clone(session.scope());
        tokio::spawn(crate::request::within(
            scope,
            session.run(io, bytes::Bytes::new()),
        ));
        Ok(())
    }

    /// The client of the store of durable jobs, if the app has durable tasks.
    #[cfg(feature = "durable")]
    pub(crate) fn durable(&self) -> Option<&Arc<crate::durable::Client>> {
        self.front().durable.as_ref()
    }

    pub(crate) fn tracker(&self) -> &BusyTracker<Scope> {
        &self.front().instance.tracker
    }

    /// Waits for work in progress, and runs the shutdown hooks.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let front = self.front();
        front.phase.advance(Phase::Draining);
        front.instance.stopping.cancel();
        front.instance.stop_told.cancel();
        let grace = front.settings.shutdown_grace;
        self.life
            .drain(grace, &mut None)
            .await
            .cut_off
            .into_result()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::Future as _;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;
    use tokio::runtime::Handle;

    use bytes::Bytes;
    use http_body::{Body, Frame, SizeHint};
    use tokio::sync::mpsc;
    use tower_layer::Identity;

    use super::*;
    use crate::testing::TestClient;
    use crate::{App, Config, Json};

    /// A body of which only these pieces arrive.
    struct Begun {
        announced: u64,
        pieces: VecDeque<Bytes>,
    }

    impl Body for Begun {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.pieces.pop_front();
            piece.map_or(Poll::Pending, |piece| {
                Poll::Ready(Some(Ok(Frame::data(piece))))
            })
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.announced)
        }
    }

    /// The workers are the test's own runtime, which runs nothing until the test waits, so their tasks can be counted.
    #[tokio::test]
    async fn a_large_body_that_is_not_whole_is_released_by_a_task_of_the_workers() {
        let handler = |Json(event): Json<u32>| async move { Json(event) };
        let app = App::new().entrypoint("handler", handler);
        let (agent, settings) = app.into_agent_for_tests().unwrap();
        let server = InProcess::start(agent, settings).await.unwrap();
        let alive = || Handle::current().metrics().num_alive_tasks();
        for (announced, tasks) in [(10_000, 0), (10_000_000, 1)] {
            let pieces = VecDeque::from([(); 2].map(|()| Bytes::from_static(b"begun")));
            let request = Request::post("/invocations").body(Begun { announced, pieces });
            let mut answer = Box::pin(server.answer(request.unwrap()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(answer.as_mut().poll(&mut context).is_pending());
            let before = alive();
            // The client leaves.
            drop(answer);
            assert_eq!(alive() - before, tasks, "{announced} bytes");
        }
    }

    /// Sends `"dropped"` when it is dropped.
    struct Told(mpsc::UnboundedSender<&'static str>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    /// An app whose handler waits for ever, and the events of that handler.
    fn endless() -> (App, mpsc::UnboundedReceiver<&'static str>) {
        let (sender, events) = mpsc::unbounded_channel();
        let handler = move || {
            let told = Told(sender.clone());
            async move {
                let _ = told.0.send("runs");
                std::future::pending::<Json<()>>().await
            }
        };
        let config = Config::new().shutdown_grace(Duration::from_millis(10));
        (
            App::new().entrypoint("endless", handler).config(config),
            events,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_cut_off_is_told_in_whichever_task_it_is_awaited() {
        for layered in [false, true] {
            let (app, mut events) = endless();
            let app = if layered {
                app.layer(Identity::new())
            } else {
                app
            };
            let agent = std::sync::Arc::new(TestClient::new(app).await.unwrap());
            let invoked = {
                let agent = std::sync::Arc::clone(&agent);
                tokio::spawn(async move { agent.invoke(()).await })
            };
            assert_eq!(events.recv().await, Some("runs"));
            assert!(agent.shutdown().await.unwrap_err().is_cut_off());
            assert_eq!(invoked.await.unwrap().status(), 503);
            assert_eq!(events.recv().await, Some("dropped"), "layered: {layered}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_cancels_nothing_through_layers_either() {
        for layered in [false, true] {
            let (sender, mut events) = mpsc::unbounded_channel();
            let (open, gate) = tokio::sync::watch::channel(false);
            let app = App::new().entrypoint("gated", move || {
                let (sender, mut gate) = (sender.clone(), gate.clone());
                async move {
                    let _ = sender.send("runs");
                    let _ = gate.wait_for(|open| *open).await;
                    let _ = sender.send("finished");
                    Json(())
                }
            });
            let app = if layered {
                app.layer(Identity::new())
            } else {
                app
            };
            let agent = TestClient::new(app).await.unwrap();
            tokio::select! {
                _ = agent.invoke(()) => unreachable!("the gate is closed"),
                event = events.recv() => assert_eq!(event, Some("runs")),
            }
            // The paused clock advances only when everything that the disconnect triggers has been done.
            tokio::time::sleep(Duration::from_secs(1)).await;
            open.send_replace(true);
            assert_eq!(events.recv().await, Some("finished"), "layered: {layered}");
            agent.idle().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_takes_the_handler_along_through_layers_too() {
        for layered in [false, true] {
            let (app, mut events) = endless();
            let app = app.cancel_on_disconnect();
            let app = if layered {
                app.layer(Identity::new())
            } else {
                app
            };
            let agent = TestClient::new(app).await.unwrap();
            tokio::select! {
                _ = agent.invoke(()) => unreachable!("it is endless"),
                event = events.recv() => assert_eq!(event, Some("runs")),
            }
            assert_eq!(events.recv().await, Some("dropped"), "layered: {layered}");
            agent.idle().await;
        }
    }
}
