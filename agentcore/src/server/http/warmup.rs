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
use super::hooks::{Hooks, Why};
use super::phase::Phase;
use super::request_body::RequestBody;
use super::router::{Answer, method_not_allowed, refuse};
use super::single_flight::{Run, Runner, SingleFlight};
use crate::app::parts::PlatformHook;
use crate::handler::response::Response;
use crate::metrics::Refused;
use crate::report;
use crate::request::Instance;
use crate::util::spawn;

/// How long a hook that was given up may take to end before its request is answered. The next request then runs the hooks again.
const UNTIL_OVER: Duration = Duration::from_secs(1);

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
    let front = exchange.front();
    let refused = if !front.warmup.has_hooks() {
        Some(no_hook())
    } else if request.method() != Method::POST {
        Some(method_not_allowed("POST"))
    } else if exchange.connection.admission == Admission::Crowded {
        Some(front.unavailable("Too many connections", Refused::Connections))
    } else {
        shutting_down(front)
    };
    let is_refused = refused.is_some();
    // The body says nothing that the hooks need.
    let refused = refuse(&exchange.connection, request, refused.unwrap_or_default());
    if is_refused {
        return Answer::now(exchange.reply(refused));
    }
    let deadline = Instant::now() + front.settings.warmup_timeout;
    Answer::later(async move {
        let reply = warm_up(exchange.front(), deadline).await;
        exchange.reply(reply)
    })
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
    match front.warmup.join_or_begin(deadline, limit).result().await {
        Some((StatusCode::OK, body)) => Response::text(body).with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        Some((status, text)) => Response::error(text).with_status(status),
        None => front.unavailable("Shutting down", Refused::NotServing),
    }
}

impl Warmup {
    pub(crate) fn has_hooks(&self) -> bool {
        !self.0.hooks.is_empty()
    }

    pub(crate) fn new(hooks: Vec<PlatformHook>, instance: Arc<Instance>, workers: Handle) -> Self {
        Self(Arc::new(Shared {
            hooks: Hooks::new(hooks, "warm-up hook", instance, workers),
            runs: SingleFlight::default(),
        }))
    }

    /// The run that has succeeded or is in progress; otherwise another one begins.
    fn join_or_begin(&self, deadline: Instant, limit: Duration) -> Run<Reply> {
        self.0.runs.join_or_begin(
            |(status, _)| *status == StatusCode::OK,
            |runner| {
                drop(spawn::boxed(
                    Arc::clone(&self.0).run(runner, deadline, limit),
                ))
            },
        )
    }
}

impl Shared {
    /// Runs the hooks. A client that leaves does not end the run.
    async fn run(self: Arc<Self>, runner: Runner<Reply>, deadline: Instant, limit: Duration) {
        let began = Instant::now();
        let failure = match self.hooks.run(limit, Some((deadline, limit))).await {
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
        let patience = match failure.why {
            // There is no next request.
            Why::CutOff => Duration::ZERO,
            _ => UNTIL_OVER,
        };
        let reply = (status, failure.text());
        failure.settle(runner, reply, patience).await;
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
