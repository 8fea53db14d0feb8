//! One socket from its upgrade to its end: the connection and the handler side by side.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::close::{CloseCode, CloseFrame};
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

/// What all sockets of a server have in common.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(super) settings: WsSettings,
    /// The bound on what is read ahead for all of them together.
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

/// How long before the end of the shutdown grace a socket is closed whose handler still works.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How long a stop waits for a client to answer a close frame. One that is there does so at once. If the process ended
/// before, the answer would be answered with a reset, and with that the client's system drops what the client has not read
/// yet.
const ANSWER: Duration = Duration::from_millis(200);

/// What a frame's header takes of it: up to 64 KiB, and beyond.
const SMALL_HEADER: usize = 4;
const LARGE_HEADER: usize = 10;

impl WsSettings {
    /// The most that one frame may carry.
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
    /// The socket, once: the macro has checked that one argument takes it.
    pub(crate) fn socket(&mut self) -> Result<WebSocket, Response> {
        self.socket.take().ok_or_else(internal_error)
    }
}

/// A handler that has its arguments and waits for its connection; or the reply of an argument that refused.
pub(crate) type Opened = Result<BoxFuture<Result<(), BoxError>>, Response>;

/// A socket whose handshake is answered.
pub(crate) struct Session {
    name: &'static str,
    scope: Arc<Scope>,
    sockets: Arc<Sockets>,
    work: DropOnWorkers<Work>,
}

/// What the user's code has made, and what it may have sent already.
struct Work {
    handler: BoxFuture<Result<(), BoxError>>,
    shared: Arc<Shared>,
    activity: Activity,
}

impl Session {
    /// Makes the handler's arguments, which is running the user's code: on the workers, below the request's scope. An
    /// argument that refuses the request is answered before anything is upgraded.
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
        // A refusal is the user's, and so is the body that it may have.
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
            let status = rejection.parts.status;
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

    /// Serves the socket over `io`, of which `ahead` has been read already. Runs on the workers, below the request's
    /// scope.
    ///
    /// When the server is told to stop, nothing more is received, so that a handler that waits for a message sees the
    /// end at once, and one that is working finishes and sees it then. Sending goes on working meanwhile. The close
    /// frame, 1001, is sent when the handler has returned, or when the grace is nearly over.
    ///
    /// The socket is in flight until the handler has returned and the close frame has left. The closing handshake comes
    /// behind that. A stop waits for the client's answer for [`ANSWER`] at most.
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
        // A task of its own: the connection is looked after whatever the handler does to its thread.
        let mut handler = request::spawn_in_scope(run_handler(name, handler));
        let mut returned = false;
        let mut stopped = false;
        let mut grace_ends = None;
        let mut called = false;
        let mut stopping = pin!(
            activity
                .scope()
                .instance()
                .stopping
                .clone()
                .cancelled_owned()
        );
        let mut cut_off = pin!(activity.scope().instance().until_cut_off());
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
                // First: what comes behind the signal is not received.
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
                    driver.stop_receiving();
                    let grace = sockets.shutdown_grace;
                    grace_ends = Some(Instant::now() + grace);
                    let last = grace.saturating_sub(LAST_CALL.min(grace / 4));
                    last_call.as_mut().reset(Instant::now() + last);
                }
                Happened::Returned(result) => {
                    returned = true;
                    driver.finish(match result {
                        Ok(Ended::Well) if stopped => going_away(),
                        Ok(Ended::Well) => CloseFrame::new(CloseCode::NORMAL, ""),
                        Ok(Ended::Badly) | Err(_) => {
                            CloseFrame::new(CloseCode::INTERNAL_ERROR, "internal error")
                        }
                    });
                }
                Happened::LastCall => {
                    called = true;
                    driver.finish(going_away());
                }
                Happened::CutOff => {
                    handler.abort();
                    return;
                }
                Happened::Tick => driver.tick(),
            }
        };
        activity.scope().cancel();
        drop(driver);
        // What the handler has sent, and the close frame, are a part of the work.
        let sent = tokio::select! {
            sent = closing::send(protocol, end) => sent,
            () = &mut cut_off => {
                handler.abort();
                return;
            }
        };
        let farewell = match sent {
            Ok(protocol) => Some(closing::shake_hands(
                protocol,
                sockets.read_ahead.per_socket(),
            )),
            Err(why) => {
                activity.scope().observed().note_unsent();
                tracing::debug!("a websocket was not closed: {why}");
                None
            }
        };
        let farewell = async {
            if let Some(farewell) = farewell {
                farewell.await;
            }
        };
        let mut farewell = pin!(farewell);
        // The client's answer to it is none: a client may sleep.
        let mut answered = false;
        if let (true, Some(end)) = (returned, grace_ends) {
            let left = end.saturating_duration_since(Instant::now());
            answered = timeout(ANSWER.min(left / 2), &mut farewell).await.is_ok();
        }
        let rest_of_the_work = async move {
            if !returned {
                // Work that has been accepted is finished, unless it is cut off. Its outcome has been logged.
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

/// What comes between the messages.
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

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
