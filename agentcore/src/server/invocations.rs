//! `POST /invocations`, on the front: read the body, hand it to the workers, pass the reply on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use super::front::Front;
use super::lifecycle::Phase;
use super::request_body::{Read, RequestBody};
use super::service::{Link, ReplyBody, come_back, refuse};
use super::socket::Hidden;
use crate::body::Body;
use crate::concurrency::Refusal;
use crate::config::{BusyWhile, Settings};
use crate::context::{self, Activity, Arrival, Kind, Scope};
use crate::extract::Invocation;
use crate::invoke::{Job, Outgoing, Running, internal_error};
use crate::response::Response;
use crate::telemetry::{Outcome, Refused};

/// A request that will be answered, and is in flight from now on.
pub(super) struct Accepted<B> {
    activity: Activity,
    /// Without its headers, which the activity's scope has.
    head: http::request::Parts,
    body: B,
}

/// Lets a request in, whose body is still to come; or says why not.
pub(super) fn accept<B: RequestBody>(
    link: &Link,
    request: Request<B>,
) -> Result<Accepted<B>, Response> {
    let front = &link.front;
    match front.phase.get() {
        Phase::Starting => {
            return Err(refuse(
                request,
                front.unavailable("Starting", Refused::NotServing),
            ));
        }
        Phase::Serving => {}
        Phase::Draining => {
            return Err(refuse(
                request,
                front.unavailable("Shutting down", Refused::NotServing),
            ));
        }
    }
    front.notice_restore();
    // A browser's preflight, say, goes through the layers without being work.
    let is_work = request.uri().path() == "/invocations" && request.method() == Method::POST;
    let permit = if is_work {
        let session = context::session_id(request.headers());
        match front.instance.concurrency.admit(session) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refuse(request, front.no_room(refusal))),
        }
    } else {
        None
    };
    let (mut head, body) = request.into_parts();
    let entrypoint = front.agent.entrypoint.as_ref();
    let arrival = Arrival {
        kind: if is_work {
            Kind::Invocation
        } else {
            Kind::Other
        },
        name: entrypoint.map_or("", |entrypoint| entrypoint.options.name),
        counts: is_work && front.settings.busy_while == BusyWhile::Activity,
        headers: std::mem::take(&mut head.headers),
        permit,
    };
    Ok(Accepted {
        activity: Activity::begin(Arc::clone(&front.instance), arrival),
        head,
        body,
    })
}

/// The reply to an invocation.
pub(super) fn answer<B: RequestBody>(
    link: Arc<Link>,
    accepted: Accepted<B>,
    end: Hidden,
) -> impl Future<Output = http::Response<ReplyBody>> + Send + 'static {
    let Accepted { activity, body, .. } = accepted;
    run(link, activity, body, end, |front, activity, body| {
        let entrypoint = front.agent.entrypoint.as_ref()?;
        let job = Job {
            invocation: Invocation::new(Arc::clone(activity.scope()), body),
            options: entrypoint.options,
            errors: front.settings.errors,
            debug: front.settings.debug,
            activity,
        };
        Some((entrypoint.start)(&front.workers, job))
    })
}

/// The reply to any request, with the user's layers in between. They run on the workers, like everything of the user's.
pub(super) fn through_layers<B: RequestBody>(
    link: Arc<Link>,
    accepted: Accepted<B>,
    end: Hidden,
) -> impl Future<Output = http::Response<ReplyBody>> + Send + 'static {
    let Accepted {
        activity,
        head,
        body,
    } = accepted;
    run(link, activity, body, end, |front, activity, body| {
        let mut request = Request::from_parts(head, Body::from(body));
        *request.headers_mut() = activity.scope().headers().clone();
        let endpoint = front.endpoint.as_ref()?;
        Some(endpoint.start(&front.workers, request, activity))
    })
}

/// Reads the body, has `start` begin the work on the workers, and waits for its reply.
fn run<B: RequestBody>(
    link: Arc<Link>,
    activity: Activity,
    body: B,
    end: Hidden,
    start: impl FnOnce(&Front, Activity, Bytes) -> Option<JoinHandle<Outgoing>> + Send + 'static,
) -> impl Future<Output = http::Response<ReplyBody>> + Send + 'static {
    let front = Arc::clone(&link.front);
    let Settings {
        max_body_bytes,
        body_timeout,
        ..
    } = front.settings;
    let read = Read::new(body, max_body_bytes, body_timeout, Arc::clone(&link.end));
    let reply = async move {
        let front = &link.front;
        match read.await {
            Ok(body) => {
                if let Some(metrics) = &front.instance.metrics {
                    metrics.request_bytes.add(body.len() as u64);
                }
                let scope = Arc::clone(activity.scope());
                match start(front, activity, body) {
                    Some(running) => finish(&link, scope, running, end).await,
                    None => front.settings.errors.apply(internal_error()).into(),
                }
            }
            Err(problem) => {
                let headers = activity.scope().headers();
                let response = problem.into_response(headers, max_body_bytes, body_timeout);
                let status = response.status();
                activity.scope().note(Outcome::of(status), Some(status));
                front.settings.errors.apply(response).into()
            }
        }
    };
    UnlessCutOff { front, reply }
}

impl Front {
    /// Why an invocation is not let in, with the advice to come back soon.
    fn no_room(&self, refusal: Refusal) -> Response {
        let (status, why) = match refusal {
            Refusal::Full => (503, "Too many invocations"),
            Refusal::SessionBusy => (409, "The session is busy"),
            Refusal::QueueFull => (429, "Too many invocations of the session"),
        };
        self.count_refused(match refusal {
            Refusal::Full => Refused::Invocations,
            Refusal::SessionBusy | Refusal::QueueFull => Refused::Session,
        });
        come_back(
            self.settings
                .errors
                .apply(Response::error(why).with_status(status)),
        )
    }
}

/// Waits for the reply that the workers make, and passes it on.
async fn finish(
    link: &Link,
    scope: Arc<Scope>,
    running: JoinHandle<Outgoing>,
    end: Hidden,
) -> http::Response<ReplyBody> {
    let front = &link.front;
    let options = front
        .agent
        .entrypoint
        .as_ref()
        .map(|entrypoint| entrypoint.options);
    let watches = options.is_some_and(|options| options.watch_disconnect);
    let end = end.unless(watches);
    let cancel = options.is_some_and(|options| options.cancel_on_disconnect);
    let running = Running::new(running, Arc::clone(&scope), cancel);
    let left = CancelOnDrop(Some(scope));
    let finished = front.wakes.batch(running).await;
    left.disarm();
    match finished {
        Ok(outgoing) => {
            let (parts, body, activity) = outgoing.into_parts();
            // A stream's producer goes with its reader.
            let is_stream = body.as_bytes().is_none();
            let end = end.and_then(|end| end.unless(is_stream));
            let activity = activity.map(|activity| (activity, Arc::clone(&link.end)));
            let body = ReplyBody::new(front.wakes.batch(body), activity, end);
            http::Response::from_parts(parts, body)
        }
        // Panics of the handler are caught inside; this is one in the drop of what it left behind, or a runtime that
        // is being shut down.
        Err(_) => front.settings.errors.apply(internal_error()).into(),
    }
}

pin_project! {
    /// A reply, or that the shutdown has cut it off.
    struct UnlessCutOff<F> {
        front: Arc<Front>,
        #[pin]
        reply: F,
    }
}

impl<F: Future<Output = http::Response<ReplyBody>>> Future for UnlessCutOff<F> {
    type Output = http::Response<ReplyBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.front.instance.is_cut_off() {
            // No advice to come again: how far it came, nobody knows.
            let response = Response::error("Cut off by the shutdown").with_status(503);
            return Poll::Ready(self.front.settings.errors.apply(response).into());
        }
        self.project().reply.poll(cx)
    }
}

/// Cancels the request when its connection goes while its handler runs: this future is dropped with the connection.
struct CancelOnDrop(Option<Arc<Scope>>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(scope) = &self.0 {
            scope.cancel();
        }
    }
}
