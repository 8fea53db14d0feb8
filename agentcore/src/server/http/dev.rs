//! The dev page: shows the developer what the agent does, and sends it requests.
//!
//! ```text
//! service ── dev ─┬─ guard     (whether the request is this machine's own)
//!                 ├─ page.html (shows what the rest answers)
//!                 ├─ history   (busy or not, second by second)
//!                 └─ recent    (records each invocation while it is answered)
//! ```
//!
//! The front answers from atomics and lists, outside the layers. Requests of the page are no work: an open page does not make
//! the agent busy. A custom ping handler is asked as by `/ping`, within its deadline, so that the page says what `/ping`
//! says. If the page is off, it costs one branch for each request and one for each connection.

mod guard;
mod history;
#[cfg(feature = "durable")]
mod jobs;
mod recent;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

use self::history::History;
use self::recent::Recent;
use super::exchange::{Admission, Exchange};
use super::front::Front;
use super::operators;
use super::request_body::RequestBody;
use super::router::{Answer, dispatch, method_not_allowed, not_found};
use crate::app::describe::Description;
use crate::app::package;
use crate::app::parts::Agent;
use crate::config::{BusyWhile, DEV_PATHS as PATHS, Settings};
use crate::handler::response::Response;
use crate::request::secret_uuid;
use crate::util::fields::fields;
use crate::util::time::unix_now;

const PAGE: &str = include_str!("dev/page.html");

/// The path below the prefix that the page requests every second.
const STATE: &str = "state";

/// The most tasks that the page lists, the oldest first. It also shows how many more there are.
const MOST_TASKS: usize = 100;

pub(crate) struct Dev {
    /// The description of the agent, as JSON.
    agent: String,
    history: History,
    recent: Recent,
}

impl Dev {
    #[inline(never)]
    pub(crate) fn new(agent: &Agent, settings: &Settings) -> Self {
        struct Known {
            name: Cow<'static, str>,
            version: Option<&'static str>,
            agentcore: &'static str,
            invocations_path: String,
            /// The schemas of the entrypoint, of which the page makes a form.
            schema: Option<serde_json::Value>,
            registry: Description,
        }
        fields! { Known { name, version, agentcore, invocations_path, schema?, ..registry } }
        let known = Known {
            name: agent.package.name(),
            version: agent.package.version(),
            agentcore: package::AGENTCORE,
            invocations_path: settings.invocations_path.to_string(),
            #[cfg(feature = "schema")]
            schema: agent.schema.clone(),
            #[cfg(not(feature = "schema"))]
            schema: None,
            #[cfg(not(feature = "durable"))]
            registry: Description::new(agent),
            #[cfg(feature = "durable")]
            registry: Description::new(agent).with_durable(agent),
        };
        Self {
            // Strings, numbers and lists of them: this cannot fail. Pretty, because `--check` uses that code already.
            agent: serde_json::to_string_pretty(&known).unwrap_or_default(),
            history: History::default(),
            recent: Recent::new(settings.errors),
        }
    }

    /// Returns the page, or the answer to one of its requests, except for the state.
    fn route(&self, front: &Front, method: &Method, path: &str) -> Response {
        let reads = method == Method::GET || method == Method::HEAD;
        match path.strip_prefix(PATHS) {
            None | Some("agent" | STATE) if !reads => method_not_allowed("GET, HEAD"),
            None => page(secret_uuid()),
            Some("agent") => json_now(self.agent.clone()),
            Some(other) => match other.strip_prefix("tasks/").map(str::parse) {
                Some(Ok(ticket)) if method == Method::DELETE => cancel(front, ticket),
                Some(Ok(_)) => method_not_allowed("DELETE"),
                _ => not_found(),
            },
        }
    }

    /// The state of the agent, as JSON.
    async fn state(&self, front: &Front) -> String {
        let tracker = &front.instance.tracker;
        front.pinger.refresh(front).await;
        let running = tracker.running(MOST_TASKS).await;
        let (status, stamp) = front.pinger.shown(tracker.status());
        let more = running.more();
        let tasks = running.into_vec().into_iter();
        let tasks = tasks.map(|(began, (ticket, name, cancellable))| {
            json!({
                "id": ticket.to_string(),
                "name": name.as_ref(),
                "seconds": began.elapsed().as_secs_f64(),
                "cancellable": cancellable,
            })
        });
        let state = json!({
            "phase": operators::reason(front.phase.get()),
            "status": status.as_str(),
            "time_of_last_update": stamp,
            "now": unix_now(),
            "in_progress": tracker.in_progress(),
            "history": self.history.show(),
            "tasks": tasks.collect::<Vec<_>>(),
            "more_tasks": more,
            "invocations": self.recent.show(),
        });
        state.to_string()
    }
}

/// The admission of a connection. While the dev page is on, a connection from another machine may ask for nothing. The
/// address that the server listens on rules out such connections already, unless the machine forwards them.
pub(crate) fn admission(front: &Front, stream: &TcpStream, otherwise: Admission) -> Admission {
    let is_foreign = || {
        let peer = stream.peer_addr();
        !peer.is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
    };
    if front.dev().is_some() && is_foreign() {
        return Admission::Foreign;
    }
    otherwise
}

/// The refusal of an operator's request while the dev page is on, if it has to be refused.
pub(crate) fn refuse_operator<B>(front: &Front, request: &Request<B>) -> Option<Response> {
    refuse(front, Admission::Full, request)
}

/// The refusal of a request to another port than the agent's while the dev page is on, if it has to be refused.
pub(crate) fn refuse<B>(
    front: &Front,
    admission: Admission,
    request: &Request<B>,
) -> Option<Response> {
    front.dev()?;
    guard::refusal(request, admission, false).map(forbidden)
}

/// Answers one request while the dev page is on.
pub(crate) fn answer<B: RequestBody>(exchange: Exchange, request: Request<B>) -> Answer<B> {
    let front = &exchange.connection.front;
    let Some(dev) = front.dev() else {
        return dispatch(exchange, request);
    };
    let (path, method) = (request.uri().path(), request.method());
    let own = path == "/" || path.starts_with(PATHS);
    let refusal = guard::refusal(&request, exchange.connection.admission, own);
    let reads = method == Method::GET || method == Method::HEAD;
    if refusal.is_none() && reads && path.strip_prefix(PATHS) == Some(STATE) {
        return Answer::later(async move {
            let state = match exchange.connection.front.dev() {
                Some(dev) => json_now(dev.state(&exchange.connection.front).await),
                None => not_found(),
            };
            exchange.refuse(request, state)
        });
    }
    #[cfg(feature = "durable")]
    if let Some(job) = job_path(path).filter(|_| refusal.is_none()) {
        let asks = match (job.parse(), method) {
            (Ok(id), &Method::DELETE) => Some(Some(id)),
            (_, &Method::GET) if job.is_empty() => Some(None),
            _ => None,
        };
        if let Some(id) = asks {
            return Answer::later(async move {
                let front = &exchange.connection.front;
                let answer = match id {
                    Some(id) => jobs::cancel(front, id).await,
                    None => jobs::list(front).await,
                };
                exchange.refuse(request, answer)
            });
        }
    }
    let answer = match refusal {
        Some(why) => Some(forbidden(why)),
        None => own.then(|| dev.route(front, method, path)),
    };
    if let Some(answer) = answer {
        return Answer::now(exchange.refuse(request, answer));
    }
    if path != &*front.settings.invocations_path || method != Method::POST {
        return dispatch(exchange, request);
    }
    let record = dev.recent.begin();
    let answer = dispatch(exchange, request);
    Answer::later(async move {
        let Ok(reply) = answer.await;
        record.watch(reply)
    })
}

/// The job's id in a path of the page: empty in the path of the list, `None` in a path that is not about jobs.
#[cfg(feature = "durable")]
fn job_path(path: &str) -> Option<&str> {
    match path.strip_prefix(PATHS)?.strip_prefix("jobs")? {
        "" => Some(""),
        more => more.strip_prefix('/').filter(|id| !id.is_empty()),
    }
}

/// Records the status every second, for ever. One task on the front runs this.
pub(crate) async fn look_on(front: Arc<Front>) {
    let mut seconds = interval(Duration::from_secs(1));
    // Seconds in which the machine slept are not recorded.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while let Some(dev) = front.dev() {
        seconds.tick().await;
        front.pinger.refresh(&front).await;
        let invocations = match front.settings.busy_while {
            BusyWhile::Activity => dev.recent.count(),
            BusyWhile::Tasks => 0,
        };
        dev.history
            .note(front.instance.tracker.status(), invocations);
    }
}

fn cancel(front: &Front, ticket: u64) -> Response {
    if front.instance.tracker.abort(ticket) {
        return json_now(r#"{"cancelled":true}"#);
    }
    Response::error("there is no such task, or it cannot be cancelled")
        .with_status(StatusCode::NOT_FOUND)
}

fn forbidden(why: &str) -> Response {
    Response::rejection(StatusCode::FORBIDDEN, "Forbidden", why, None)
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn json_now(text: impl Into<String>) -> Response {
    guarded(Response::text(text), "application/json")
}

/// Returns the page. It may run its own script and load nothing. If the nonce could be guessed, the policy would admit any
/// script, so there is no page without random numbers.
fn page(nonce: Option<String>) -> Response {
    let Some(nonce) = nonce else {
        let error = "the system has no random numbers, which the page's policy needs";
        return Response::error(error).with_status(500);
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    );
    guarded(
        Response::text(PAGE.replace("{nonce}", &nonce)),
        "text/html; charset=utf-8",
    )
    .with_header(header::CONTENT_SECURITY_POLICY, policy)
}

/// Adds headers that keep the response out of caches and away from other pages.
fn guarded(response: Response, content_type: &'static str) -> Response {
    [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ]
    .into_iter()
    .fold(response, |response, (name, value)| {
        response.with_header(name, HeaderValue::from_static(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_page_without_a_nonce() {
        let refused = page(None);
        assert_eq!(refused.status(), 500);
        assert_eq!(refused.headers().get(header::CONTENT_SECURITY_POLICY), None);
        let body = refused.body().expect("a body in memory");
        assert!(body.starts_with(br#"{"error":"#), "no page");
        assert_eq!(page(secret_uuid()).status(), 200);
    }
}
