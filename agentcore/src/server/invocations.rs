//! `POST /invocations`, on the front: read the body, hand it to the workers, pass the reply on.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

use super::front::{AbortOnDrop, Front};
use super::lifecycle::Phase;
use super::request_body;
use super::service::{ReplyBody, refuse};
use crate::config::BusyWhile;
use crate::context::Activity;
use crate::extract::Invocation;
use crate::invoke::{Job, internal_error};

pub(super) async fn answer(
    front: &Arc<Front>,
    request: Request<Incoming>,
) -> http::Response<ReplyBody> {
    let states = match (front.phase.get(), front.states.get()) {
        (Phase::Serving, Some(states)) => states,
        (Phase::Draining, _) => return refuse(request, front.unavailable("Shutting down")),
        _ => return refuse(request, front.unavailable("Starting")),
    };
    let settings = &front.settings;
    let activity = Activity::begin(
        front.tracker.clone(),
        settings.busy_while == BusyWhile::Activity,
    );

    let (head, body) = request.into_parts();
    let body = match request_body::read(body, settings.max_body_bytes, settings.body_timeout).await
    {
        Ok(body) => body,
        Err(problem) => {
            let response = problem.into_response(
                &head.headers,
                settings.max_body_bytes,
                settings.body_timeout,
            );
            return settings.errors.apply(response).into();
        }
    };

    let entrypoint = &front.agent.entrypoint;
    let invocation = Invocation::new(head, body, Arc::clone(states));
    let job = Job {
        invocation,
        options: entrypoint.options,
        errors: settings.errors,
        activity,
    };
    let running = (entrypoint.start)(&front.workers, job);
    let finished = if entrypoint.options.cancel_on_disconnect {
        // This future is dropped with its connection.
        front.wakes.batch(AbortOnDrop(running)).await
    } else {
        front.wakes.batch(running).await
    };
    match finished {
        Ok(outgoing) => {
            let (parts, body, activity) = outgoing.into_parts();
            let body = ReplyBody::new(front.wakes.batch(body), Some(activity));
            http::Response::from_parts(parts, body)
        }
        // Panics of the handler are caught inside; this is one in the drop of what it left behind, or a runtime that
        // is being shut down.
        Err(_) => settings.errors.apply(internal_error()).into(),
    }
}
