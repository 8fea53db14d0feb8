//! Invocations: the front reads the body, hands it to the workers, and sends their reply.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::exchange::{Connection, Exchange};
use super::front::{Front, come_back};
#[cfg(feature = "mcp")]
use super::mcp;
use super::next::{self, Next};
use super::phase::Phase;
use super::request_body::{Problem, Read, RequestBody};
use super::router::{ReplyBody, refuse};
use crate::config::BusyWhile;
use crate::handler::invoke::{Client, Made};
use crate::handler::response::Response;
use crate::handler::response::internal_error;
use crate::headers;
use crate::metrics::Refused;
use crate::report::Kind;
use crate::report::Outcome;
use crate::request::admission::Refusal;
use crate::request::drops::DropOnWorkers;
use crate::request::{Activity, Arrival, Scope};
use crate::server::threads::handover::Work;
use crate::server::threads::wakeups::Batched;
use crate::util::BoxFuture;
use crate::util::spawn;

/// The future of the reply to a request that has been let in. The request is in flight. Nothing here is pinned.
pub(crate) struct Replying<B> {
    connection: Arc<Connection>,
    stage: Stage<B>,
    /// The request, until the reply's body holds it.
    exchange: Option<Exchange>,
}

enum Stage<B> {
    /// The front reads the body.
    Reading {
        read: Read<B>,
        activity: Activity,
        /// The head, if there are layers. The headers are in the activity's scope instead.
        head: Option<Box<http::request::Parts>>,
    },
    /// The body has been read, and the request waits for the restore hooks: the restore was noticed while the body came. A message
    /// of the Model Context Protocol waits only here, because its body tells whether it is a health probe, which does not wait.
    Restoring {
        restored: BoxFuture<bool>,
        activity: Activity,
        head: Option<Box<http::request::Parts>>,
        body: Bytes,
    },
    /// The workers make the reply.
    Making {
        reply: Batched<oneshot::Receiver<Made>>,
        left: CancelOnDrop,
    },
    Over,
}

/// Lets a request in before its body is read, or returns the refusal and the exchange.
pub(crate) fn accept<B: RequestBody>(
    exchange: Exchange,
    request: Request<B>,
) -> Result<Replying<B>, (Exchange, Response)> {
    match admit(&exchange.connection, request) {
        Ok(stage) => Ok(Replying {
            connection: Arc::clone(&exchange.connection),
            stage,
            exchange: Some(exchange),
        }),
        Err(refused) => Err((exchange, refused)),
    }
}

fn admit<B: RequestBody>(
    connection: &Connection,
    request: Request<B>,
) -> Result<Stage<B>, Response> {
    let front = &connection.front;
    match front.phase.get() {
        Phase::Starting => {
            let response = front.unavailable("Starting", Refused::NotServing);
            return Err(refuse(connection, request, response));
        }
        Phase::Serving => {}
        Phase::Draining => {
            let response = front.unavailable("Shutting down", Refused::NotServing);
            return Err(refuse(connection, request, response));
        }
    }
    let at = front.time_of_arrival();
    // Other requests, such as a browser's preflight, pass through the layers without being work.
    let is_mcp = connection.port.is_mcp();
    let is_invocation = request.uri().path() == &*front.settings.invocations_path
        && request.method() == Method::POST;
    let is_work = is_invocation && !is_mcp;
    #[cfg(feature = "mcp")]
    let is_large_call = is_mcp && mcp::is_large_call(front, &request);
    #[cfg(not(feature = "mcp"))]
    let is_large_call = false;
    let permit = if is_work || is_large_call {
        let session = || headers::session_id(request.headers());
        match front.instance.concurrency.admit(session) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refuse(connection, request, no_room(front, refusal))),
        }
    } else {
        None
    };
    #[cfg(feature = "durable")]
    if let Some(client) = &front.durable {
        client.note_invoked();
        if headers::session_id(request.headers()).is_some() {
            client.note_session();
        }
    }
    #[cfg(feature = "mcp")]
    let needs_head = front.has_layers || mcp::needs_head(connection, request.method());
    #[cfg(not(feature = "mcp"))]
    let needs_head = front.has_layers;
    let (mut head, body) = request.into_parts();
    let entrypoint = front.agent.entrypoint.as_ref();
    let arrival = Arrival {
        at,
        kind: if is_work {
            Kind::Invocation
        } else {
            Kind::Other
        },
        name: entrypoint.map_or("", |entrypoint| entrypoint.options.name),
        counts: is_work && front.settings.busy_while == BusyWhile::Activity,
        headers: std::mem::take(&mut head.headers),
        permit,
        route: None,
    };
    // They hold hyper's handle for upgrades, which is not for layers.
    head.extensions.clear();
    Ok(Stage::Reading {
        read: Read::new(body, &front.settings, Arc::clone(&connection.end)),
        activity: Activity::begin(Arc::clone(&front.instance), arrival),
        head: needs_head.then(|| Box::new(head)),
    })
}

impl<B: RequestBody> Future for Replying<B> {
    type Output = http::Response<ReplyBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.connection.front.instance.is_cut_off() {
            this.release_unfinished();
            this.stage = Stage::Over;
            // No `retry-after`: it is not known how far the invocation came.
            let response = Response::error("Cut off by the shutdown").with_status(503);
            return Poll::Ready(this.refuse(response));
        }
        if let Stage::Reading { read, .. } = &mut this.stage {
            let read = ready!(Pin::new(read).poll(cx));
            if let Some(answer) = this.hand_over(read) {
                return Poll::Ready(answer.into());
            }
        }
        if let Stage::Restoring { restored, .. } = &mut this.stage {
            let is_restored = ready!(restored.as_mut().poll(cx));
            if let Some(answer) = this.restored(is_restored) {
                return Poll::Ready(answer.into());
            }
        }
        let Stage::Making { reply, .. } = &mut this.stage else {
            return Poll::Pending;
        };
        let made = ready!(Pin::new(reply).poll(cx));
        Poll::Ready(this.pass_on(made))
    }
}

impl<B> Drop for Replying<B> {
    fn drop(&mut self) {
        self.release_unfinished();
    }
}

impl<B> Replying<B> {
    /// Releases the bytes of a body that will not be read whole. For a large one this takes milliseconds, so the workers do it.
    fn release_unfinished(&mut self) {
        let workers = self.connection.front.workers.runtime();
        match &mut self.stage {
            Stage::Reading { read, .. } => {
                if let Some(unfinished) = read.take_unfinished() {
                    drop(DropOnWorkers::on(workers, unfinished, "an unfinished body"));
                }
            }
            Stage::Restoring { body, .. } => {
                let body = std::mem::take(body);
                drop(DropOnWorkers::on(workers, body, "a body"));
            }
            Stage::Making { .. } | Stage::Over => {}
        }
    }
}

impl<B: RequestBody> Replying<B> {
    /// Hands the request to the workers, or returns the answer that the front itself has for it.
    fn hand_over(&mut self, read: Result<Bytes, Problem<B>>) -> Option<Response> {
        if read.is_err() {
            self.release_unfinished();
        }
        let Stage::Reading { activity, head, .. } = std::mem::replace(&mut self.stage, Stage::Over)
        else {
            return None;
        };
        let front = &self.connection.front;
        let body = match read {
            Ok(body) => body,
            Err(problem) => {
                let response = problem.into_response(activity.scope().headers(), &self.connection);
                let status = response.status();
                activity.scope().note(Outcome::of(status), Some(status));
                if let Some(rejection) = response.why_rejected() {
                    activity.scope().reject(rejection);
                }
                return Some(self.in_mode_of(&activity, response));
            }
        };
        if let Some(metrics) = &front.instance.metrics {
            metrics.request_bytes.add(body.len() as u64);
        }
        let restored = restoring(&self.connection, &activity, head.as_deref(), &body);
        if let Some(restored) = restored {
            self.stage = Stage::Restoring {
                restored,
                activity,
                head,
                body,
            };
            return None;
        }
        self.make(activity, head, body)
    }

    /// Goes on after the restore hooks, or returns the refusal if they have failed.
    fn restored(&mut self, is_restored: bool) -> Option<Response> {
        let Stage::Restoring {
            activity,
            head,
            body,
            ..
        } = std::mem::replace(&mut self.stage, Stage::Over)
        else {
            return None;
        };
        if is_restored {
            return self.make(activity, head, body);
        }
        let front = &self.connection.front;
        let refused = front.not_restored();
        let status = refused.status();
        activity.scope().note(Outcome::of(status), Some(status));
        #[cfg(feature = "mcp")]
        if self.connection.port.is_mcp() {
            return Some(mcp::refuse_message(
                &self.connection,
                &activity,
                body,
                refused,
            ));
        }
        drop(DropOnWorkers::on(front.workers.runtime(), body, "a body"));
        Some(self.in_mode_of(&activity, refused))
    }

    /// Hands a request that has been read to the workers, or returns the answer that the front itself has for it.
    fn make(
        &mut self,
        activity: Activity,
        head: Option<Box<http::request::Parts>>,
        body: Bytes,
    ) -> Option<Response> {
        let next = match next::decide(&self.connection, activity, head, body) {
            Ok(next) => next,
            Err(answer) => return Some(answer),
        };
        let front = &self.connection.front;
        let Next {
            what,
            unwanted,
            watches,
            reshape,
        } = next;
        let scope = Arc::clone(what.scope());
        let (sender, reply) = oneshot::channel();
        front.workers.push(Work {
            what,
            client: Client {
                reply: sender,
                errors: front.settings.errors,
                unwanted,
                reshape,
            },
        });
        if let Some(exchange) = self.exchange.as_ref().filter(|_| watches) {
            exchange.show_end();
        }
        self.stage = Stage::Making {
            reply: front.workers.batch(reply),
            left: CancelOnDrop::new(scope, front.workers.runtime()),
        };
        None
    }

    /// Turns what the workers have made into the reply.
    fn pass_on(
        &mut self,
        made: Result<Made, oneshot::error::RecvError>,
    ) -> http::Response<ReplyBody> {
        if let Stage::Making { left, .. } = std::mem::replace(&mut self.stage, Stage::Over) {
            left.disarm();
        }
        // The workers catch panics of the handler. There is no reply after a panic in the drop of what the handler left behind,
        // or from a runtime that is being shut down.
        let Ok(made) = made else {
            return self.refuse(internal_error());
        };
        match self.exchange.take() {
            Some(exchange) => exchange.pass_on(made),
            None => self.refuse(internal_error()),
        }
    }

    /// Makes the server's own reply in place of the workers'. Errors become in-band here and in the reply that the workers make.
    fn refuse(&self, response: Response) -> http::Response<ReplyBody> {
        self.in_mode(response).into()
    }

    /// The server's own reply to a request that has begun. Only an invocation has errors in-band, and what comes to the port of the
    /// Model Context Protocol.
    fn in_mode_of(&self, activity: &Activity, response: Response) -> Response {
        let is_invocation = activity.scope().kind() == Kind::Invocation;
        if is_invocation || self.connection.port.is_mcp() {
            self.in_mode(response)
        } else {
            response
        }
    }

    fn in_mode(&self, response: Response) -> Response {
        let errors = self.connection.front.settings.errors;
        #[cfg(feature = "mcp")]
        if self.connection.port.is_mcp() {
            return mcp::refusal(errors, response, None);
        }
        errors.apply(response)
    }
}

/// The end of the restore hooks; `None` if the request need not wait for it. Its body has been read.
fn restoring(
    connection: &Connection,
    activity: &Activity,
    head: Option<&http::request::Parts>,
    body: &Bytes,
) -> Option<BoxFuture<bool>> {
    #[cfg(feature = "mcp")]
    if connection.port.is_mcp() {
        return mcp::restoring(connection, activity, head, body);
    }
    let _ = (activity, head, body);
    connection.front.until_restored()
}

/// The refusal of an invocation, with `retry-after`.
pub(super) fn no_room(front: &Front, refusal: Refusal) -> Response {
    let (status, why) = match refusal {
        Refusal::Full => (503, "Too many invocations"),
        Refusal::SessionBusy => (409, "The session is busy"),
        Refusal::QueueFull => (429, "Too many invocations of the session"),
    };
    front.count_refused(match refusal {
        Refusal::Full => Refused::Invocations,
        Refusal::SessionBusy | Refusal::QueueFull => Refused::Session,
    });
    come_back(Response::error(why).with_status(status))
}

/// Cancels the request if its connection ends while its handler runs: hyper then drops the future that holds this.
pub(super) struct CancelOnDrop {
    scope: Option<Arc<Scope>>,
    workers: Handle,
}

impl CancelOnDrop {
    pub(super) fn new(scope: Arc<Scope>, workers: &Handle) -> Self {
        Self {
            scope: Some(scope),
            workers: workers.clone(),
        }
    }

    pub(super) fn disarm(mut self) {
        self.scope = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.take() {
            // `cancel` calls wakers of user futures, so it runs on a worker.
            spawn::boxed_on(&self.workers, async move { scope.cancel() });
        }
    }
}
