//! `GET /ping`: the status as JSON, after the custom handler has been asked if there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;

use super::front::Front;
use super::phase::Phase;
use super::router::ReplyBody;
use super::single_flight::{Run, Runner, SingleFlight};
use crate::app::parts::Callback;

use crate::config::StampWhileBusy;
use crate::error::with_causes;
use crate::handler::hook::HookCall;
use crate::handler::response::Response;
use crate::report;
use crate::report::Kind;
use crate::report::panics;
use crate::report::stall::At;
use crate::request::{self, Scope};
use crate::tracker::PingStatus;
use crate::tracker::StatusView;
use crate::util::sync::Mutex;
use crate::util::time::unix_now;

/// How long a custom handler may take. The platform polls about every two seconds.
const DEADLINE: Duration = Duration::from_millis(250);

/// The least time between two warnings about a custom handler that fails.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Answers pings.
pub(crate) struct Pinger {
    custom: Option<Custom>,
    /// Whether the custom handler may be asked. `false` once the states that it may take are dropped.
    asks: AtomicBool,
    stamp_while_busy: StampWhileBusy,
    /// The last answer, with its status and stamp.
    last: Mutex<Option<(PingStatus, u32, Bytes)>>,
}

impl Pinger {
    pub(crate) fn new(
        custom: Option<Callback<PingStatus>>,
        stamp_while_busy: StampWhileBusy,
    ) -> Self {
        Self {
            custom: custom.map(Custom::new),
            asks: AtomicBool::new(true),
            stamp_while_busy,
            last: Mutex::new(None),
        }
    }

    /// The answer, if no custom handler has to be asked for it.
    pub(crate) fn answer(&self, front: &Front) -> Option<http::Response<ReplyBody>> {
        if front.phase.get() == Phase::Starting {
            let starting = Response::error("Starting");
            return Some(starting.with_status(StatusCode::SERVICE_UNAVAILABLE).into());
        }
        if self.custom.is_some() {
            return None;
        }
        front.notice_restore();
        Some(self.show(front.instance.tracker.status()))
    }

    /// Asks the custom handler, and returns the answer.
    pub(crate) async fn ask(&self, front: &Front) -> http::Response<ReplyBody> {
        front.notice_restore();
        self.refresh(front).await;
        self.show(front.instance.tracker.status())
    }

    /// Whether there is a custom handler that can be asked now.
    pub(crate) fn has_to_ask(&self, front: &Front) -> bool {
        let is_there = self.custom.is_some() && self.asks.load(Ordering::Relaxed);
        is_there && front.phase.get() != Phase::Starting
    }

    /// Stops asking the custom handler. Its last answer stands until the process ends.
    pub(crate) fn stop_asking(&self) {
        self.asks.store(false, Ordering::Relaxed);
    }

    /// Asks the custom handler, if there is one that can be asked. After it, the tracker has the status that `/ping` answers.
    /// Takes no longer than the handler's deadline.
    pub(crate) async fn refresh(&self, front: &Front) {
        let Some(custom) = self.custom.as_ref().filter(|_| self.has_to_ask(front)) else {
            return;
        };
        let tracker = &front.instance.tracker;
        match custom.ask(front).await {
            Ok(answer) => tracker.set_custom(answer.instead_of_automatic()),
            Err(problem) => {
                tracker.set_custom(None);
                custom.warn(&problem);
            }
        }
    }

    /// The status and the stamp of an answer.
    pub(crate) fn shown(&self, view: StatusView) -> (PingStatus, u32) {
        let status = view.effective();
        let refresh = status.is_busy() && self.stamp_while_busy == StampWhileBusy::Refresh;
        (status, if refresh { unix_now() } else { view.stamp })
    }

    fn show(&self, view: StatusView) -> http::Response<ReplyBody> {
        let (status, stamp) = self.shown(view);
        let body = self.body(status, stamp);
        let mut reply = http::Response::new(ReplyBody::in_memory(body));
        let json = HeaderValue::from_static("application/json");
        reply.headers_mut().insert(header::CONTENT_TYPE, json);
        reply
    }

    /// The body of an answer. Most pings get the bytes of the last one.
    fn body(&self, status: PingStatus, stamp: u32) -> Bytes {
        let mut last = self.last.lock();
        match &*last {
            Some((known, at, body)) if (*known, *at) == (status, stamp) => body.clone(),
            _ => {
                let body = format!(r#"{{"status":"{status}","time_of_last_update":{stamp}}}"#);
                last.insert((status, stamp, body.into())).2.clone()
            }
        }
    }
}

/// The result of a run of the custom handler.
type RunResult = Result<Reported, String>;

/// What the custom handler returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reported {
    status: PingStatus,
    /// The automatic status that the handler took as an argument, if it took one.
    taken: Option<PingStatus>,
}

impl Reported {
    /// The status that replaces the automatic one until the handler is asked again.
    ///
    /// `None` leaves the automatic status, which then changes at the event and not at the next ping. A handler that did not
    /// take the automatic status can only add to it, so its `Healthy` changes nothing. A handler that took it changes nothing
    /// by returning it.
    fn instead_of_automatic(self) -> Option<PingStatus> {
        let unchanged = self.taken.unwrap_or(PingStatus::Healthy);
        (self.status != unchanged).then_some(self.status)
    }
}

/// The user's ping handler. It runs on the workers, one run at a time, and no answer waits for it beyond its deadline.
struct Custom {
    handler: Callback<PingStatus>,
    /// Looked up once, and not for each run, because the front starts the runs.
    at: At,
    has_last_word: bool,
    runs: SingleFlight<RunResult>,
    warned: Mutex<Option<Instant>>,
}

impl Custom {
    fn new(handler: Callback<PingStatus>) -> Self {
        Self {
            has_last_word: handler.takes_automatic_status(),
            handler,
            at: At::hook("the ping handler"),
            runs: SingleFlight::default(),
            warned: Mutex::new(None),
        }
    }

    async fn ask(&self, front: &Front) -> RunResult {
        let run = self.join_or_begin(front);
        let deadline = run.began() + DEADLINE;
        match tokio::time::timeout_at(deadline, front.workers.batch(run.result())).await {
            Ok(result) => result.unwrap_or_else(|| Err("was cancelled".to_owned())),
            Err(_) => Err(format!(
                "took longer than {}",
                humantime::format_duration(DEADLINE)
            )),
        }
    }

    /// Joins the run in progress, or starts one. So concurrent pings, or a handler that hangs, start no further runs.
    fn join_or_begin(&self, front: &Front) -> Run<RunResult> {
        self.runs
            .join_or_begin(|_| false, |runner| self.begin(front, runner))
    }

    fn begin(&self, front: &Front, runner: Runner<RunResult>) {
        let call = Arc::clone(&self.handler.call);
        let place = self.handler.meta;
        let instance = Arc::clone(&front.instance);
        let scope = Scope::outside_requests(instance, Kind::Ping, place.name(), self.at);
        let instance = Arc::clone(&front.instance);
        let has_last_word = self.has_last_word;
        let run_handler = async move {
            let ask = async move {
                let automatic = instance.tracker.status().automatic();
                let answer = call(HookCall::of_ping(instance, automatic)).await;
                let taken = has_last_word.then_some(automatic);
                answer
                    .map(|status| Reported { status, taken })
                    .map_err(|error| format!("failed: {}", with_causes(&*error)))
            };
            let result = match panics::catch(ask).await {
                Ok(result) => result,
                Err(panic) => {
                    panic.log(&format!("ping handler {place}"));
                    Err("panicked".to_owned())
                }
            };
            runner.end(result);
        };
        request::spawn_boxed(front.workers.runtime(), scope, run_handler);
    }

    fn warn(&self, problem: &str) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            let (handler, problem) = (self.handler.meta, problem.to_owned());
            report::emit(move || {
                tracing::warn!(
                    "ping handler {handler} {problem}; /ping reports the automatic status (logged at most once a minute)"
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PingStatus::{Healthy, HealthyBusy};

    #[test]
    fn only_a_handler_that_took_the_automatic_status_can_lower_it() {
        for (taken, status, expected) in [
            (None, Healthy, None),
            (None, HealthyBusy, Some(HealthyBusy)),
            (Some(Healthy), Healthy, None),
            (Some(Healthy), HealthyBusy, Some(HealthyBusy)),
            (Some(HealthyBusy), HealthyBusy, None),
            (Some(HealthyBusy), Healthy, Some(Healthy)),
        ] {
            let reported = Reported { status, taken };
            assert_eq!(reported.instead_of_automatic(), expected, "{reported:?}");
        }
    }
}
