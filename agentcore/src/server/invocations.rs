//! `POST /invocations`, on the front: read the body, hand it to the workers, pass the reply on.

use std::sync::Arc;

use http::Request;

use super::front::AbortOnDrop;
use super::lifecycle::Phase;
use super::request_body::{self, RequestBody};
use super::service::{Link, ReplyBody, refuse};
use crate::config::BusyWhile;
use crate::context::{Activity, Scope};
use crate::extract::Invocation;
use crate::invoke::{Job, internal_error};

pub(super) async fn answer<B: RequestBody>(
    link: &Link,
    request: Request<B>,
) -> http::Response<ReplyBody> {
    let front = &link.front;
    match front.phase.get() {
        Phase::Starting => return refuse(request, front.unavailable("Starting")),
        Phase::Serving => {}
        Phase::Draining => return refuse(request, front.unavailable("Shutting down")),
    }
    let settings = &front.settings;
    let counts = settings.busy_while == BusyWhile::Activity;
    let (head, body) = request.into_parts();
    let activity = Activity::begin(Arc::clone(&front.instance), counts, head.headers);

    let body = match request_body::read(body, settings.max_body_bytes, settings.body_timeout).await
    {
        Ok(body) => body,
        Err(problem) => {
            let response = problem.into_response(
                activity.scope().headers(),
                settings.max_body_bytes,
                settings.body_timeout,
            );
            return settings.errors.apply(response).into();
        }
    };

    let entrypoint = &front.agent.entrypoint;
    let invocation = Invocation::new(Arc::clone(activity.scope()), body);
    let job = Job {
        invocation,
        options: entrypoint.options,
        errors: settings.errors,
        debug: settings.debug,
        activity,
    };
    // From here on the client has nothing more to say.
    let end = (!entrypoint.options.watch_disconnect).then(|| link.end.hide());
    let left = CancelOnDrop(Some(Arc::clone(job.activity.scope())));
    let running = (entrypoint.start)(&front.workers, job);
    let finished = if entrypoint.options.cancel_on_disconnect {
        // This future is dropped with its connection.
        front.wakes.batch(AbortOnDrop(running)).await
    } else {
        front.wakes.batch(running).await
    };
    left.disarm();
    match finished {
        Ok(outgoing) => {
            let (parts, body, activity) = outgoing.into_parts();
            // A stream's producer goes with its reader.
            let end = end.filter(|_| body.as_bytes().is_some());
            let body = ReplyBody::new(front.wakes.batch(body), activity, end);
            http::Response::from_parts(parts, body)
        }
        // Panics of the handler are caught inside; this is one in the drop of what it left behind, or a runtime that
        // is being shut down.
        Err(_) => settings.errors.apply(internal_error()).into(),
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
