//! One invocation on the workers: calls the handler, limits its time, catches its panic, and reports its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_ENCODING;
use pin_project_lite::pin_project;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::config::ErrorMode;
use crate::error::timeout;
use crate::handler::body::Limits;
use crate::handler::debug_actions;
use crate::handler::extract::Invocation;
use crate::handler::response::{Outgoing, Response, panic_response};
use crate::report::panics;
use crate::report::{Failure, Kind, Outcome, Work};
use crate::request::{self, Activity};
use crate::util::BoxFuture;

/// The options of the entrypoint, from its attribute or from the `App`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) name: &'static str,
    /// The time limit for the handler, and for a streamed reply to its last item.
    pub(crate) timeout: Option<Duration>,
    /// The time limit between two items of a streamed reply.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) cancel_on_disconnect: bool,
    /// Whether a client that goes away has to be noticed while the handler runs.
    pub(crate) watch_disconnect: bool,
}

impl Options {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            timeout: None,
            idle_timeout: None,
            cancel_on_disconnect: false,
            watch_disconnect: false,
        }
    }
}

/// The input of one invocation.
pub(crate) struct Job {
    pub(crate) invocation: Invocation,
    pub(crate) options: Options,
    /// Whether debug actions are answered.
    pub(crate) debug: bool,
    pub(crate) activity: Activity,
}

/// Where an invocation runs.
pub(crate) enum RunIn<'a> {
    /// In a task of its own on the workers. Its reply goes to a client.
    Task(&'a Handle, Client),
    /// In the caller's task, which is that of the layers around the agent.
    Caller,
}

/// The client's side of an invocation.
pub(crate) struct Client {
    pub(crate) reply: ReplyTo,
    pub(crate) errors: ErrorMode,
    /// What happens to the work when the client has left.
    pub(crate) unwanted: Unwanted,
    pub(crate) reshape: Option<Reshape>,
}

/// Changes the reply once everything else has made it: the handler, the layers, and the answer to a panic. Runs on the workers.
pub(crate) type Reshape = Box<dyn FnOnce(Response) -> Response + Send>;

/// Runs an invocation. The future, if it is to run in the caller's task.
pub(crate) type Run = Arc<dyn Fn(Job, RunIn<'_>) -> Option<BoxFuture<Answer>> + Send + Sync>;

/// What happens to work when its reply is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// It goes on until the shutdown cuts it off, because accepted work is finished.
    Finishes,
    /// It is dropped.
    Stops,
}

impl Unwanted {
    /// For work whose reply a client waits for.
    pub(crate) fn by_client(cancels: bool) -> Self {
        if cancels { Self::Stops } else { Self::Finishes }
    }
}

/// The reply of a handler or a layer, and the invocation that it belongs to.
pub(crate) type Answer = (Response, Activity);

/// A finished reply on its way to the socket, and its invocation. The invocation is in flight until the activity is dropped.
pub(crate) type Made = (Outgoing, Activity);

/// The receiver of a reply.
pub(crate) type ReplyTo = oneshot::Sender<Made>;

/// Starts `job` in the task that `run_in` names. Called on a worker, where it is cheapest. It is generic, so that the handler's
/// future lives in its task and needs no box.
pub(crate) fn start<F, Fut>(job: Job, run_in: RunIn<'_>, call: F) -> Option<BoxFuture<Answer>>
where
    F: FnOnce(Invocation) -> Fut + Send + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let scope = Arc::clone(job.activity.scope());
    match run_in {
        RunIn::Task(workers, client) => {
            let answering = Answering::new(run(job, call), client);
            workers.spawn(request::within(scope, answering));
            None
        }
        RunIn::Caller => Some(Box::pin(request::within(scope, run(job, call)))),
    }
}

pin_project! {
    /// Sends a client the reply that `run` makes. (An async block would be twice as large, and it is moved into its task.)
    ///
    /// When the client has left, `unwanted` decides whether the work goes on.
    pub(crate) struct Answering<F> {
        #[pin]
        run: F,
        // `None` once it has been used or its receiver has gone.
        reply: Option<ReplyTo>,
        errors: ErrorMode,
        unwanted: Unwanted,
        reshape: Option<Reshape>,
        cut_off: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    }
}

impl<F> Answering<F> {
    /// Must be polled in the request's scope.
    pub(crate) fn new(run: F, client: Client) -> Self {
        Self {
            run,
            reply: Some(client.reply),
            errors: client.errors,
            unwanted: client.unwanted,
            reshape: client.reshape,
            cut_off: None,
        }
    }
}

impl<F: Future<Output = Answer>> Future for Answering<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Poll::Ready((mut response, activity)) = this.run.poll(cx) {
            if let Some(reshape) = this.reshape.take() {
                response = reshape(response);
            }
            let made = (leave(response, &activity, *this.errors), activity);
            let is_taken = this.reply.as_ref().is_some_and(|reply| !reply.is_closed());
            tell_end(&made, is_taken);
            // If the receiver has gone, the reply is dropped here, on a worker.
            if let Some(reply) = this.reply.take() {
                let _ = reply.send(made);
            }
            return Poll::Ready(());
        }
        if let Some(reply) = this.reply {
            ready!(reply.poll_closed(cx));
            *this.reply = None;
            match *this.unwanted {
                Unwanted::Finishes => *this.cut_off = request::until_cut_off(),
                Unwanted::Stops => {
                    // Before the drop, because an agent inside layers learns by it that the client has left.
                    if let Some(scope) = request::current() {
                        scope.cancel();
                    }
                    return Poll::Ready(());
                }
            }
        }
        match this.cut_off {
            Some(cut_off) => cut_off.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// The reply as it leaves the workers. Only an invocation has errors in-band: no platform routes other requests.
fn leave(response: Response, activity: &Activity, errors: ErrorMode) -> Outgoing {
    let is_invocation = activity.scope().kind() == Kind::Invocation;
    let errors = if is_invocation {
        errors
    } else {
        ErrorMode::Http
    };
    errors.apply(response).into_outgoing()
}

/// Writes the invocation's line, unless a stream is still to come. Called before the reply leaves, because the reply may be the
/// last thing that a stop waits for.
fn tell_end((outgoing, activity): &Made, is_taken: bool) {
    let scope = activity.scope();
    // An upgraded connection ends as a stream does.
    let is_stream = outgoing.body().as_bytes().is_none()
        || outgoing.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !is_taken {
        scope.observed().note_unsent();
    }
    scope.observed().answered(scope, is_stream);
}

#[expect(
    clippy::manual_async_fn,
    reason = "what an async function takes is twice in its future"
)]
fn run<F, Fut>(job: Job, call: F) -> impl Future<Output = Answer>
where
    F: FnOnce(Invocation) -> Fut,
    Fut: Future<Output = Response>,
{
    async move {
        let (options, activity) = (&job.options, &job.activity);
        activity.its_turn().await;
        let reply = async {
            let limits = Limits::begin(options.timeout, options.idle_timeout);
            let action = if job.debug {
                debug_actions::answer(job.invocation.body())
            } else {
                None
            };
            let response = match action {
                Some(answer) => answer,
                None => call(job.invocation).await,
            };
            // Inside the limits, because the first poll of a foreign body is user code too.
            response.settled(limits).await
        };
        let mut reply = pin!(panics::catch(reply));
        let response = match options.timeout {
            None => reply.await,
            Some(limit) => match Box::pin(timeout(limit, reply.as_mut())).await {
                Ok(response) => response,
                Err(late) => {
                    activity.scope().note(Outcome::Timeout, None);
                    // What the handler has left running is cancelled, whatever the handler's own drop does.
                    activity.scope().cancel();
                    reply.give_up(&called(activity));
                    Ok(Response::error(late.to_string())
                        .with_status(504)
                        .with_failure(&late))
                }
            },
        };
        let what = || called(activity);
        let response = response.unwrap_or_else(|panic| {
            request::note(panic.outcome());
            let response = panic_response(&panic);
            request::fail(Failure::panic(what(), panic));
            response
        });
        let status = response.status();
        activity.scope().note(Outcome::of(status), Some(status));
        if let Some(failure) = response.failure() {
            request::fail(Failure::reply(what(), status, failure));
        } else if let Some(rejection) = response.why_rejected() {
            activity.scope().reject(rejection);
        }
        (response, job.activity)
    }
}

/// The function that is called for a request, in log lines.
fn called(activity: &Activity) -> String {
    let scope = activity.scope();
    let work = Work::of(scope.kind()).unwrap_or(Work::Invocation);
    format!("{} `{}`", work.function(), scope.name())
}

impl ErrorMode {
    /// Applies the mode to `response`. Under [`InBand`](Self::InBand), error replies become 200s with their status in the body,
    /// because the platform drops the body of every other reply.
    pub(crate) fn apply(self, response: Response) -> Response {
        let status = response.status();
        if self == Self::Http || !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let Some(bytes) = response.body() else {
            // A stream with an error status has no body yet that could hold the status.
            return response.set_status(StatusCode::OK);
        };
        // A layer's reply may be empty or compressed.
        let is_text = !bytes.is_empty() && !response.headers().contains_key(CONTENT_ENCODING);
        let text = || std::str::from_utf8(bytes).ok().map(|text| json!(text));
        let body = is_text.then(|| serde_json::from_slice(bytes).ok().or_else(text));
        let mut body = match body.flatten() {
            Some(Value::Object(object)) => object,
            Some(other) => serde_json::Map::from_iter([("error".to_owned(), other)]),
            None => {
                let reason = status.canonical_reason().unwrap_or("error");
                serde_json::Map::from_iter([("error".to_owned(), reason.into())])
            }
        };
        body.insert("status".to_owned(), status.as_u16().into());
        response
            .set_status(StatusCode::OK)
            .without_header(&CONTENT_ENCODING)
            .with_json(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_band_errors_are_200_with_their_status_in_the_body() {
        let response = ErrorMode::InBand.apply(Response::error("no such city").with_status(404));
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.body(),
            Some(&br#"{"error":"no such city","status":404}"#[..])
        );
    }

    #[test]
    fn in_band_keeps_a_text_body_as_the_error() {
        let response = ErrorMode::InBand.apply(Response::text("later").with_status(503));
        assert_eq!(
            response.body(),
            Some(&br#"{"error":"later","status":503}"#[..])
        );
    }

    #[test]
    fn in_band_names_the_status_of_a_body_that_it_cannot_read() {
        let empty = Response::text("").with_status(408);
        let compressed = Response::text("\u{1f}").with_status(503);
        let compressed = compressed.with_header("content-encoding", "gzip");
        for (response, expected) in [
            (empty, &br#"{"error":"Request Timeout","status":408}"#[..]),
            (
                compressed,
                br#"{"error":"Service Unavailable","status":503}"#,
            ),
        ] {
            let response = ErrorMode::InBand.apply(response);
            assert_eq!(response.status(), 200);
            assert_eq!(response.body(), Some(expected));
            assert!(!response.headers().contains_key(CONTENT_ENCODING));
        }
    }

    #[test]
    fn good_replies_are_left_alone_in_both_modes() {
        for mode in [ErrorMode::Http, ErrorMode::InBand] {
            assert_eq!(
                mode.apply(Response::text("x").with_status(201)).status(),
                201
            );
        }
    }
}
