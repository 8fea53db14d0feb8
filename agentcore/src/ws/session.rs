//! One socket from its upgrade to its end: its connection and its handler, side by side.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::close::{CloseCode, CloseFrame};
use super::connection::Connection;
use super::read_ahead::ReadAhead;
use super::shared::{Driver, Shared};
use super::socket::WebSocket;
use super::transport::{Io, Transport};
use super::{closing, error};
use crate::config::WsSettings;
use crate::error::{BoxError, with_causes};
use crate::handler::body::Limits;
use crate::handler::extract::Invocation;
use crate::handler::response::internal_error;
use crate::handler::response::{Outgoing, Response};
use crate::report::panics;
use crate::report::{Failure, Outcome};
use crate::request::drops::DropOnWorkers;
use crate::request::{self, Activity, Scope};
use crate::util::BoxFuture;

/// What all sockets of a server share.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(super) settings: WsSettings,
    /// The bound on what is read ahead for all sockets together.
    pub(super) read_ahead: ReadAhead,
    pub(super) shutdown_grace: Duration,
}

impl Sockets {
    pub(crate) fn new(settings: WsSettings, shutdown_grace: Duration) -> Self {
        let (per_socket, total) = (settings.read_ahead_bytes, settings.read_ahead_total_bytes);
        Self {
            settings,
            read_ahead: ReadAhead::new(per_socket, total),
            shutdown_grace,
        }
    }
}

/// How long before the end of the shutdown grace a socket is closed if its handler still runs.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How long a stop waits for a client to answer a close frame. A live client answers at once. If the process ended earlier, the
/// kernel would answer with a reset, and the client's system would then drop what the client has not read yet.
const ANSWER: Duration = Duration::from_millis(200);

/// The length of a frame's header: for payloads below 64 KiB, and for larger ones.
const SMALL_HEADER: usize = 4;
const LARGE_HEADER: usize = 10;

impl WsSettings {
    /// The largest payload of one frame, in bytes.
    pub(super) fn payload_bytes(&self) -> usize {
        let small = self.frame_bytes - SMALL_HEADER;
        if small <= usize::from(u16::MAX) {
            small
        } else {
            self.frame_bytes - LARGE_HEADER
        }
    }
}

/// What a handler's arguments are made from: the socket, and the request's head.
#[derive(Debug)]
pub struct Opening {
    socket: Option<WebSocket>,
    pub(crate) invocation: Invocation,
}

impl Opening {
    /// Takes the socket. It is there once: the macro has checked that one argument takes it.
    pub(crate) fn socket(&mut self) -> Result<WebSocket, Response> {
        self.socket.take().ok_or_else(internal_error)
    }
}

/// A handler that has its arguments and waits for its connection; or the reply of an argument that refused the request.
pub(crate) type Opened = Result<BoxFuture<Result<(), BoxError>>, Response>;

/// A socket whose handshake has been answered.
pub(crate) struct Session {
    name: &'static str,
    scope: Arc<Scope>,
    sockets: Arc<Sockets>,
    work: DropOnWorkers<Work>,
}

/// The values that user code has made. They are dropped on the workers.
struct Work {
    handler: BoxFuture<Result<(), BoxError>>,
    shared: Arc<Shared>,
    activity: Activity,
}

impl Session {
    /// Makes the handler's arguments. This runs user code, so it runs on the workers, in the request's scope. If an argument
    /// refuses the request, its reply is sent and nothing is upgraded.
    pub(crate) async fn open(
        name: &'static str,
        open: impl FnOnce(Opening) -> Opened,
        sockets: Arc<Sockets>,
        activity: Activity,
    ) -> Result<Self, Box<Outgoing>> {
        let (socket, shared) = WebSocket::new();
        let opening = Opening {
            socket: Some(socket),
            invocation: Invocation::new(Arc::clone(activity.scope()), Bytes::new()),
        };
        // A refusal may be user code, and so may its body.
        let opened = panics::catch(async move {
            match open(opening) {
                Ok(handler) => Ok(handler),
                Err(rejection) => {
                    let rejection = rejection.settled(Limits::default()).await;
                    if let Some(failure) = rejection.failure() {
                        let what = format!("websocket handler `{name}`");
                        request::fail(Failure::reply(what, rejection.status(), failure));
                    } else if let (Some(why), Some(scope)) =
                        (rejection.why_rejected(), request::current())
                    {
                        scope.reject(why);
                    }
                    Err(Box::new(rejection.into_outgoing()))
                }
            }
        });
        let opened = opened.await.unwrap_or_else(|panic| {
            request::fail(Failure::panic(format!("websocket handler `{name}`"), panic));
            request::note(Outcome::Panic);
            Err(Box::new(internal_error().into_outgoing()))
        });
        let handler = opened.inspect_err(|rejection| {
            let status = rejection.status();
            activity.scope().note(Outcome::of(status), Some(status));
        })?;
        Ok(Self {
            name,
            scope: Arc::clone(activity.scope()),
            sockets,
            work: DropOnWorkers::new(
                Work {
                    handler,
                    shared,
                    activity,
                },
                "a websocket handler",
            ),
        })
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Serves the socket over `io`; `ahead` holds the bytes that have been read already. It runs on the workers, in the request's
    /// scope.
    ///
    /// When the server is told to stop, nothing more is received: a handler that waits for a message sees the end at once, and
    /// one that works sees it when it next receives. Sending still works. The close frame, 1001, is sent when the handler has
    /// returned, or when the grace is nearly over.
    ///
    /// The socket is in flight until the handler has returned and the close frame has left. The closing handshake follows. A stop
    /// waits for the client's answer for [`ANSWER`] at most.
    pub(crate) async fn run(self, io: impl Io, ahead: Bytes) {
        let Self {
            name,
            sockets,
            mut work,
            ..
        } = self;
        let Some(work) = work.take() else {
            return;
        };
        let Work {
            handler,
            shared,
            activity,
        } = work;
        let transport = Transport::new(io, ahead, sockets.settings.frames_per_second);
        let mut driver = Driver::new(shared, transport, &sockets);
        // A separate task: the driver runs even if the handler blocks its thread.
        let mut handler = request::spawn_in_scope(run_handler(name, handler));
        let mut returned = false;
        let mut stopped = false;
        let mut grace_ends = None;
        let mut called = false;
        let instance = activity.scope().instance();
        let mut stopping = pin!(instance.stopping.clone().cancelled_owned());
        let mut cut_off = pin!(instance.until_cut_off());
        let mut last_call = pin!(sleep_until(Instant::now()));
        let mut ticks = interval_at(
            Instant::now() + sockets.settings.ping_interval,
            sockets.settings.ping_interval,
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let going_away = || CloseFrame::new(CloseCode::GOING_AWAY, "");

        let (protocol, end) = loop {
            let happened = tokio::select! {
                biased;
                // First: nothing that comes after the signal is received.
                () = &mut stopping, if !stopped => Happened::Stop,
                ended = driver.drive() => break ended,
                result = &mut handler, if !returned => Happened::Returned(result),
                () = &mut last_call, if stopped && !called => Happened::LastCall,
                () = &mut cut_off => Happened::CutOff,
                _ = ticks.tick() => Happened::Tick,
            };
            match happened {
                Happened::Stop => {
                    stopped = true;
                    driver.change(Connection::stop_receiving);
                    let grace = sockets.shutdown_grace;
                    grace_ends = Some(Instant::now() + grace);
                    let last = grace.saturating_sub(LAST_CALL.min(grace / 4));
                    last_call.as_mut().reset(Instant::now() + last);
                }
                Happened::Returned(result) => {
                    returned = true;
                    let frame = match result {
                        Ok(Ended::Well) if stopped => going_away(),
                        Ok(Ended::Well) => CloseFrame::new(CloseCode::NORMAL, ""),
                        Ok(Ended::Badly) | Err(_) => {
                            CloseFrame::new(CloseCode::INTERNAL_ERROR, "internal error")
                        }
                    };
                    driver.change(|connection| connection.finish(frame));
                }
                Happened::LastCall => {
                    called = true;
                    driver.change(|connection| connection.finish(going_away()));
                }
                Happened::CutOff => {
                    handler.abort();
                    return;
                }
                Happened::Tick => driver.change(Connection::tick),
            }
        };
        activity.scope().cancel();
        drop(driver);
        // Sending the handler's messages and the close frame is part of the work.
        let sent = tokio::select! {
            sent = closing::send(protocol, end) => sent,
            () = &mut cut_off => {
                handler.abort();
                return;
            }
        };
        if let Err(why) = &sent {
            activity.scope().observed().note_unsent();
            tracing::debug!("a websocket was not closed: {why}");
        }
        let mut farewell = pin!(async {
            if let Ok(protocol) = sent {
                closing::shake_hands(protocol, sockets.read_ahead.per_socket()).await;
            }
        });
        // The client's answer is not part of it: a client may sleep.
        let mut answered = false;
        if let (true, Some(end)) = (returned, grace_ends) {
            let left = end.saturating_duration_since(Instant::now());
            answered = timeout(ANSWER.min(left / 2), &mut farewell).await.is_ok();
        }
        let rest_of_the_work = async move {
            if !returned {
                // Accepted work is finished, unless it is cut off. `run_handler` records its outcome.
                tokio::select! {
                    _ = &mut handler => {}
                    () = &mut cut_off => handler.abort(),
                }
            }
            drop(activity);
        };
        let rest_of_the_farewell = async {
            if !answered {
                farewell.await;
            }
        };
        tokio::join!(rest_of_the_farewell, rest_of_the_work);
    }
}

/// An event of a session other than the end of its connection.
enum Happened {
    Stop,
    Returned(Result<Ended, JoinError>),
    LastCall,
    CutOff,
    Tick,
}

enum Ended {
    Well,
    Badly,
}

async fn run_handler(name: &'static str, handler: BoxFuture<Result<(), BoxError>>) -> Ended {
    match panics::catch(handler).await {
        Ok(Ok(())) => {
            request::note(Outcome::Success);
            Ended::Well
        }
        Ok(Err(error)) => {
            let failure = with_causes(&*error);
            let left = error::is_of_the_client(&*error);
            request::note(if left {
                Outcome::Cancelled
            } else {
                Outcome::Error
            });
            if left {
                tracing::debug!("websocket handler `{name}` ended: {failure}");
            } else {
                request::fail(Failure::error(
                    format!("websocket handler `{name}`"),
                    failure,
                ));
            }
            Ended::Badly
        }
        Err(panic) => {
            request::note(panic.outcome());
            request::fail(Failure::panic(format!("websocket handler `{name}`"), panic));
            Ended::Badly
        }
    }
}
