//! `POST /invocations`, on the front: read the body, hand it to the workers, pass the reply on.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request};
use tokio::task::{JoinError, JoinHandle};

use super::front::Front;
use super::lifecycle::Phase;
use super::request_body::{self, RequestBody};
use super::service::{Link, ReplyBody, come_back, not_found, refuse};
use super::socket::Hidden;
use crate::body::Body;
use crate::concurrency::Refusal;
use crate::config::BusyWhile;
use crate::context::{self, Activity, Arrival, Kind, Scope};
use crate::extract::Invocation;
use crate::instance::Instance;
use crate::invoke::{Job, Outgoing, internal_error};
use crate::response::Response;

pub(super) async fn answer<B: RequestBody>(
    link: &Link,
    request: Request<B>,
    end: Hidden,
) -> http::Response<ReplyBody> {
    let front = &link.front;
    let Some(entrypoint) = &front.agent.entrypoint else {
        return refuse(request, not_found());
    };
    let Accepted { activity, body, .. } = match accept(link, request).await {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let scope = Arc::clone(activity.scope());
    let job = Job {
        invocation: Invocation::new(Arc::clone(&scope), body),
        options: entrypoint.options,
        errors: front.settings.errors,
        debug: front.settings.debug,
        activity,
    };
    finish(link, scope, (entrypoint.start)(&front.workers, job), end).await
}

/// The same, with the user's layers in between. They run on the workers, like everything of the user's.
pub(super) async fn through_layers<B: RequestBody>(
    link: &Link,
    request: Request<B>,
    end: Hidden,
) -> http::Response<ReplyBody> {
    let front = &link.front;
    let Some(endpoint) = &front.endpoint else {
        return refuse(request, not_found());
    };
    let Accepted {
        activity,
        head,
        body,
    } = match accept(link, request).await {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let scope = Arc::clone(activity.scope());
    let mut request = Request::from_parts(head, Body::from(body));
    *request.headers_mut() = scope.headers().clone();
    finish(
        link,
        scope,
        endpoint.start(&front.workers, request, activity),
        end,
    )
    .await
}

/// A request that will be answered, and is in flight from now on.
struct Accepted {
    activity: Activity,
    /// Without its headers, which the activity's scope has.
    head: http::request::Parts,
    body: Bytes,
}

async fn accept<B: RequestBody>(
    link: &Link,
    request: Request<B>,
) -> Result<Accepted, http::Response<ReplyBody>> {
    let front = &link.front;
    match front.phase.get() {
        Phase::Starting => return Err(refuse(request, front.unavailable("Starting"))),
        Phase::Serving => {}
        Phase::Draining => return Err(refuse(request, front.unavailable("Shutting down"))),
    }
    let settings = &front.settings;
    front.notice_restore();
    // A browser's preflight, say, goes through the layers without being work.
    let is_work = request.uri().path() == "/invocations" && request.method() == Method::POST;
    let permit = if is_work {
        let admitted = front
            .instance
            .concurrency
            .admit(context::session_id(request.headers()));
        admitted.map_err(|refusal| front.no_room(refusal))
    } else {
        Ok(None)
    };
    let permit = match permit {
        Ok(permit) => permit,
        Err(response) => return Err(refuse(request, response)),
    };
    let (mut head, body) = request.into_parts();
    let arrival = Arrival {
        kind: Kind::Invocation,
        name: front
            .agent
            .entrypoint
            .as_ref()
            .map_or("", |entrypoint| entrypoint.options.name),
        counts: is_work && settings.busy_while == BusyWhile::Activity,
        headers: std::mem::take(&mut head.headers),
        permit,
    };
    let activity = Activity::begin(Arc::clone(&front.instance), arrival);

    match request_body::read(
        body,
        settings.max_body_bytes,
        settings.body_timeout,
        &link.end,
    )
    .await
    {
        Ok(body) => Ok(Accepted {
            activity,
            head,
            body,
        }),
        Err(problem) => {
            let headers = activity.scope().headers();
            let response =
                problem.into_response(headers, settings.max_body_bytes, settings.body_timeout);
            Err(settings.errors.apply(response).into())
        }
    }
}

impl Front {
    /// Why an invocation is not let in, with the advice to come back soon.
    fn no_room(&self, refusal: Refusal) -> Response {
        let (status, why) = match refusal {
            Refusal::Full => (503, "Too many invocations"),
            Refusal::SessionBusy => (409, "The session is busy"),
            Refusal::QueueFull => (429, "Too many invocations of the session"),
        };
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
    let left = CancelOnDrop(Some(scope));
    let running = Running {
        job: running,
        instance: &front.instance,
        cancel: options.is_some_and(|options| options.cancel_on_disconnect),
    };
    let finished = front.wakes.batch(running).await;
    left.disarm();
    match finished {
        Ok(outgoing) => {
            let (parts, body, activity) = outgoing.into_parts();
            // A stream's producer goes with its reader.
            let is_stream = body.as_bytes().is_none();
            let end = end.and_then(|end| end.unless(is_stream));
            let body = ReplyBody::new(front.wakes.batch(body), activity, end);
            http::Response::from_parts(parts, body)
        }
        // Panics of the handler are caught inside; this is one in the drop of what it left behind, or a runtime that
        // is being shut down.
        Err(_) => front.settings.errors.apply(internal_error()).into(),
    }
}

/// A job on the workers, as its connection sees it: this is dropped with the connection.
struct Running<'a> {
    job: JoinHandle<Outgoing>,
    instance: &'a Instance,
    /// Whether the job ends with its connection.
    cancel: bool,
}

impl Future for Running<'_> {
    type Output = Result<Outgoing, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.job).poll(cx)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.cancel || self.instance.is_cut_off() {
            self.job.abort();
        }
    }
}

/// `reply`, or that the shutdown has cut it off.
pub(super) async fn unless_cut_off(
    front: &Front,
    reply: impl Future<Output = http::Response<ReplyBody>>,
) -> http::Response<ReplyBody> {
    let mut reply = pin!(reply);
    let finished = std::future::poll_fn(|cx| {
        if front.instance.is_cut_off() {
            return Poll::Ready(None);
        }
        reply.as_mut().poll(cx).map(Some)
    });
    finished.await.unwrap_or_else(|| {
        // No advice to come again: how far it came, nobody knows.
        let response = Response::error("Cut off by the shutdown").with_status(503);
        front.settings.errors.apply(response).into()
    })
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
