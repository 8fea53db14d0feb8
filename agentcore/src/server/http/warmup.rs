//! The warm-up: a `POST` to the warm-up path runs the warm-up hooks.
//!
//! The platform sends it when a runtime is created or updated, before there is a session. It may come before `/ping` answers 200
//! or after, and more than once. At most one run is in progress; further requests wait for it. After a run that has succeeded,
//! requests are answered at once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::exchange::{Admission, Exchange};
use super::front::Front;
use super::hooks::{Hooks, Limit, Why};
use super::phase::Phase;
use super::request_body::{self, RequestBody};
use super::router::{Answer, method_not_allowed};
use super::single_flight::{Run, Runner, SingleFlight};
use crate::app::parts::PlatformHook;
use crate::handler::response::Response;
use crate::metrics::Refused;
use crate::report;
use crate::request::Instance;
use crate::util::spawn;

/// The warm-up of one agent.
pub(crate) struct Warmup(Arc<Shared>);

struct Shared {
    hooks: Hooks,
    runs: SingleFlight<Reply>,
}

/// The status and the body of a reply.
type Reply = (StatusCode, String);

/// Answers a request to the warm-up path.
pub(crate) fn answer<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    if let Some(refused) = refusal(&exchange, request.method()) {
        return Answer::now(exchange.refuse(request, refused));
    }
    let deadline = Instant::now() + exchange.front().settings.warmup_timeout;
    // The body says nothing that the hooks need.
    let (head, body) = request.into_parts();
    request_body::discard(&exchange.connection, &head, body);
    Answer::later(async move {
        let reply = warm_up(exchange.front(), deadline).await;
        exchange.reply(reply)
    })
}

/// The reply to a request that is not let in.
fn refusal(exchange: &Exchange, method: &Method) -> Option<Response> {
    let front = exchange.front();
    if !front.warmup.has_hooks() {
        return Some(no_hook());
    }
    if method != Method::POST {
        return Some(method_not_allowed("POST"));
    }
    if exchange.connection.admission == Admission::Crowded {
        return Some(front.unavailable("Too many connections", Refused::Connections));
    }
    shutting_down(front)
}

fn no_hook() -> Response {
    Response::error(
        "Not Found: this agent has no warm-up hook; annotate a function with `#[agentcore::on_warmup]`",
    )
    .with_status(StatusCode::NOT_FOUND)
}

fn shutting_down(front: &Front) -> Option<Response> {
    let is_over = front.phase.get() == Phase::Draining || front.instance.stopping.is_cancelled();
    is_over.then(|| front.unavailable("Shutting down", Refused::NotServing))
}

/// Waits for the start, and then for a run of the hooks.
async fn warm_up(front: &Front, deadline: Instant) -> Response {
    tokio::select! {
        () = front.phase.reached(Phase::Serving) => {}
        () = front.instance.stopping.cancelled() => {}
        () = sleep_until(deadline) => {
            let limit = humantime::format_duration(front.settings.warmup_timeout);
            let text = format!("the start hooks have not finished within {limit}");
            return Response::error(text).with_status(StatusCode::GATEWAY_TIMEOUT);
        }
    }
    if let Some(refused) = shutting_down(front) {
        return refused;
    }
    let limit = front.settings.warmup_timeout;
    // A run ends at the deadline of the request that has begun it, which is the earliest one.
    let all = Limit::Whole {
        until: deadline,
        limit,
    };
    match front.warmup.join_or_begin(all).result().await {
        Some((StatusCode::OK, body)) => Response::text(body).with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        Some((status, text)) => Response::error(text).with_status(status),
        None => front.unavailable("Shutting down", Refused::NotServing),
    }
}

impl Warmup {
    fn has_hooks(&self) -> bool {
        !self.0.hooks.is_empty()
    }

    pub(crate) fn new(hooks: Vec<PlatformHook>, instance: Arc<Instance>, workers: Handle) -> Self {
        Self(Arc::new(Shared {
            hooks: Hooks::new(hooks, "warm-up hook", instance, workers),
            runs: SingleFlight::default(),
        }))
    }

    /// The run that has succeeded or is in progress; otherwise another one begins.
    fn join_or_begin(&self, limit: Limit) -> Run<Reply> {
        self.0.runs.join_or_begin(
            |(status, _)| *status == StatusCode::OK,
            |runner| drop(spawn::boxed(Arc::clone(&self.0).run(runner, limit))),
        )
    }
}

impl Shared {
    /// Runs the hooks. A client that leaves does not end the run.
    async fn run(self: Arc<Self>, runner: Runner<Reply>, limit: Limit) {
        let began = Instant::now();
        let failure = match self.hooks.run(limit).await {
            Ok(ran) => {
                let body = report(&ran, began.elapsed());
                return runner.end((StatusCode::OK, body));
            }
            Err(failure) => failure,
        };
        let status = match failure.why {
            Why::Failed(_) | Why::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Why::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Why::CutOff => StatusCode::SERVICE_UNAVAILABLE,
        };
        let reply = (status, failure.text());
        failure.settle(runner, reply).await;
    }
}

/// The body of a run that has succeeded, which is logged as well.
fn report(ran: &[(&'static str, Duration)], took: Duration) -> String {
    let milliseconds = |took: Duration| (took.as_secs_f64() * 1e6).round() / 1e3;
    let hooks: Vec<_> = ran
        .iter()
        .map(|(name, took)| json!({ "name": name, "duration_ms": milliseconds(*took) }))
        .collect();
    let text: Vec<_> = ran
        .iter()
        .map(|(name, took)| format!("`{name}` {:.1} ms", milliseconds(*took)))
        .collect();
    let all = milliseconds(took);
    report::emit(move || {
        tracing::info!("warmed up after {all:.1} ms: {}", text.join(", "));
    });
    json!({ "hooks": hooks, "duration_ms": all }).to_string()
}
