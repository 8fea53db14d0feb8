//! The log line of the end of an invocation, a socket or a task.
//!
//! Each has one line, with the error if there was one. [`Failure`] is that error before it is written.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use tracing::Level;

use super::outcome::{Kind, Outcome};
use super::panics::Panic;
use super::rejection::Rejection;
use super::{emit, without_waiting};

/// Writes an event whose level is known only at run time.
macro_rules! event_at {
    ($level:expr, $($event:tt)+) => {
        match $level {
            Level::ERROR => tracing::event!(target: "agentcore", Level::ERROR, $($event)+),
            Level::WARN => tracing::event!(target: "agentcore", Level::WARN, $($event)+),
            Level::INFO => tracing::event!(target: "agentcore", Level::INFO, $($event)+),
            Level::DEBUG => tracing::event!(target: "agentcore", Level::DEBUG, $($event)+),
            Level::TRACE => tracing::event!(target: "agentcore", Level::TRACE, $($event)+),
        }
    };
}

/// Why work failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The code that failed, such as "entrypoint `handler`".
    what: Cow<'static, str>,
    cause: Cause,
}

#[derive(Clone, Debug)]
enum Cause {
    /// An error, with the text of its causes.
    Error(String),
    /// An error whose reply has a status that is no server error.
    Refusal(StatusCode, String),
    /// The event that ended the work, as the rest of a sentence.
    Stopped(String),
    Panic(Panic),
    /// A panic that the program caught, so that the work went on.
    CaughtPanic(Panic),
    /// A layer has dropped the call, and returned this reply or this error.
    Dropped {
        status: StatusCode,
        error: Option<String>,
        is_error: bool,
    },
    /// The library has rejected the request. That is the client's mistake, so the line keeps its usual level.
    Rejected(Rejection),
}

impl Failure {
    fn new(what: impl Into<Cow<'static, str>>, cause: Cause) -> Self {
        let what = what.into();
        Self { what, cause }
    }

    /// An error of `what`; `text` includes the causes.
    pub(crate) fn error(what: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self::new(what, Cause::Error(text.into()))
    }

    /// An error of `what` that was answered with `status`.
    pub(crate) fn reply(what: String, status: StatusCode, text: &str) -> Self {
        if status.is_server_error() {
            Self::error(what, text)
        } else {
            Self::new(what, Cause::Refusal(status, text.to_owned()))
        }
    }

    /// A limit has ended `what`; `how` is the rest of the sentence.
    pub(crate) fn stopped(what: impl Into<Cow<'static, str>>, how: impl Into<String>) -> Self {
        Self::new(what, Cause::Stopped(how.into()))
    }

    pub(crate) fn panic(what: impl Into<Cow<'static, str>>, panic: Panic) -> Self {
        Self::new(what, Cause::Panic(panic))
    }

    /// A panic that code of the program caught. It says nothing about the work in which it happened.
    pub(super) fn caught_panic(panic: Panic) -> Self {
        Self::new("a panic that the program caught", Cause::CaughtPanic(panic))
    }

    /// A layer has dropped the call of `what`, and returned a reply with `status`, or an `error`. `is_late` says that a time
    /// limit was the reason.
    pub(crate) fn dropped(
        what: String,
        status: StatusCode,
        error: Option<&str>,
        is_late: bool,
    ) -> Self {
        let dropped = Cause::Dropped {
            status,
            error: error.map(str::to_owned),
            is_error: is_late || status.is_server_error(),
        };
        Self::new(what, dropped)
    }

    /// The level of the line; `None` for the usual one.
    fn level(&self) -> Option<Level> {
        match self.cause {
            Cause::Error(_) | Cause::Stopped(_) | Cause::Panic(_) | Cause::CaughtPanic(_) => {
                Some(Level::ERROR)
            }
            Cause::Dropped { is_error, .. } if is_error => Some(Level::ERROR),
            Cause::Refusal(..) | Cause::Dropped { .. } => Some(Level::WARN),
            Cause::Rejected(_) => None,
        }
    }

    /// The message of the line, for a reply with `status`.
    fn message(&self, status: Option<u16>) -> String {
        let what = &self.what;
        match &self.cause {
            Cause::Error(text) => format!("{what} failed: {text}"),
            Cause::Refusal(status, text) => format!("{what} answered {status}: {text}"),
            Cause::Stopped(how) => format!("{what} {how}"),
            Cause::Panic(panic) if panic.limit().is_some() => {
                format!("{what} was cancelled: {}", panic.message())
            }
            Cause::Panic(panic) => format!("{what} panicked: {}", panic.message()),
            Cause::CaughtPanic(panic) => format!("{what}: {}", panic.message()),
            Cause::Dropped {
                error: Some(error), ..
            } => format!("{what} was cancelled: a layer failed: {error}"),
            Cause::Dropped { status, .. } => format!(
                "{what} was cancelled: a layer answered {} in its place",
                status.as_u16()
            ),
            Cause::Rejected(Rejection { reason, .. }) => match status {
                Some(status) => format!("{what} answered {status}: {reason}"),
                None => format!("{what} was not called: {reason}"),
            },
        }
    }

    /// The fields of the line beside its message.
    fn details(&self) -> Details<'_> {
        let mut details = Details::default();
        match &self.cause {
            Cause::Error(text) => details.message = Some(text),
            Cause::Dropped { error, .. } => details.message = error.as_deref(),
            Cause::Refusal(..) | Cause::Stopped(_) => {}
            Cause::Panic(panic) if panic.limit().is_some() => {}
            Cause::Panic(panic) | Cause::CaughtPanic(panic) => {
                details.of_type = Some("panic");
                details.message = Some(panic.message());
                details.location = panic.location.as_deref();
                details.stack = panic.backtrace.as_deref();
            }
            Cause::Rejected(rejection) => {
                details.reason = Some(&rejection.reason);
                details.path = rejection.path.as_deref();
            }
        }
        details
    }

    /// Writes a line for the failure alone. It is for work whose end has no line, or has had it.
    pub(crate) fn log(self) {
        emit(move || {
            let details = self.details();
            event_at!(
                self.level().unwrap_or(Level::INFO),
                errorType = details.of_type,
                errorMessage = details.message,
                location = details.location,
                stackTrace = details.stack,
                "{}",
                self.message(None)
            );
        });
    }
}

#[derive(Default)]
struct Details<'a> {
    of_type: Option<&'static str>,
    message: Option<&'a str>,
    location: Option<&'a str>,
    stack: Option<&'a str>,
    /// Why a request was rejected.
    reason: Option<&'a str>,
    path: Option<&'a str>,
}

/// Work whose end has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Invocation,
    #[cfg(feature = "ws")]
    Socket,
    Route,
    #[cfg(feature = "mcp")]
    Tool,
    Task,
}

impl Work {
    /// The work that a request of this kind is; `None` if its end has no line.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Invocation => Some(Self::Invocation),
            #[cfg(feature = "ws")]
            Kind::Socket => Some(Self::Socket),
            Kind::Route | Kind::IdleRoute => Some(Self::Route),
            #[cfg(feature = "mcp")]
            Kind::Tool => Some(Self::Tool),
            Kind::Other | Kind::Ping | Kind::Hook => None,
        }
    }

    /// The value of the line's field `kind`.
    fn kind(self) -> &'static str {
        match self {
            Self::Invocation => "invocation",
            #[cfg(feature = "ws")]
            Self::Socket => "websocket",
            Self::Route => "route",
            #[cfg(feature = "mcp")]
            Self::Tool => "tool",
            Self::Task => "task",
        }
    }

    /// The failure of a request to the function `name` that the library has rejected.
    pub(crate) fn rejected(self, name: &str, rejection: Rejection) -> Failure {
        let what = format!("{} `{name}`", self.function());
        Failure::new(what, Cause::Rejected(rejection))
    }

    /// The word for the function in messages.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Invocation => "entrypoint",
            #[cfg(feature = "ws")]
            Self::Socket => "websocket handler",
            Self::Route => "router",
            #[cfg(feature = "mcp")]
            Self::Tool => "tool",
            Self::Task => "task",
        }
    }
}

/// How work has ended.
pub(crate) struct Ended<'a> {
    pub(crate) work: Work,
    pub(crate) name: &'a str,
    /// The task's id, if the program knows it.
    pub(crate) task_id: Option<String>,
    /// The method and the path of a request to a route.
    pub(crate) route: Option<&'a str>,
    /// Whether a layer made the reply, and not the function.
    pub(crate) by_layer: bool,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) took: Duration,
    pub(crate) failure: Option<&'a Failure>,
}

impl Ended<'_> {
    /// Writes the line. `usual` is the level for work that has not failed. The line of such work does not wait for room on
    /// stderr: otherwise a stderr that nothing reads would stop an agent that logs nothing itself.
    pub(crate) fn log(&self, usual: Level) {
        if self.failure.and_then(Failure::level).is_some() {
            self.write(usual);
        } else {
            without_waiting(|| self.write(usual));
        }
    }

    fn write(&self, usual: Level) {
        let details = self.failure.map(Failure::details).unwrap_or_default();
        event_at!(
            self.level(usual),
            kind = self.work.kind(),
            name = self.name,
            taskId = self.task_id.as_deref(),
            route = self.route,
            outcome = self.outcome.name(),
            status = self.status,
            durationMs = milliseconds(self.took),
            reason = details.reason,
            path = details.path,
            errorType = details.of_type,
            errorMessage = details.message,
            location = details.location,
            stackTrace = details.stack,
            "{}",
            self.message()
        );
    }

    fn level(&self, usual: Level) -> Level {
        match (self.failure.and_then(Failure::level), self.outcome) {
            (Some(level), _) => level,
            // An error without a failure has reached other code of the program, which reports it.
            (None, _) if self.work == Work::Task => usual,
            (None, Outcome::Error | Outcome::Panic | Outcome::Timeout) => Level::ERROR,
            (None, _) => usual,
        }
    }

    fn message(&self) -> String {
        if let Some(failure) = self.failure {
            return failure.message(self.status);
        }
        let (function, name) = (self.work.function(), self.name);
        match (self.outcome, self.status) {
            (Outcome::Cancelled, None) if self.work == Work::Task => {
                format!("{function} `{name}` was cancelled")
            }
            (Outcome::Cancelled, None) => {
                format!("{function} `{name}` was cancelled: the client has left")
            }
            (Outcome::Cancelled, Some(status)) => {
                format!("{function} `{name}` answered {status} after the client had left")
            }
            (_, Some(status)) if self.by_layer => {
                format!("a layer answered {status} for {function} `{name}`")
            }
            (_, Some(status)) => format!("{function} `{name}` answered {status}"),
            (Outcome::Success, None) => format!("{function} `{name}` ended"),
            (outcome, None) => format!("{function} `{name}` ended: {}", outcome.name()),
        }
    }
}

/// Milliseconds with three decimal places.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TimedOut;
    use crate::report::panics;

    fn ended(outcome: Outcome, status: Option<u16>, failure: Option<&Failure>) -> Ended<'_> {
        Ended {
            work: Work::Invocation,
            name: "handler",
            task_id: None,
            route: None,
            by_layer: false,
            outcome,
            status,
            took: Duration::from_micros(12_345),
            failure,
        }
    }

    #[test]
    fn the_level_is_the_usual_one_unless_the_work_has_failed() {
        for (outcome, status, level) in [
            (Outcome::Success, Some(200), Level::DEBUG),
            (Outcome::ClientError, Some(404), Level::DEBUG),
            (Outcome::Cancelled, None, Level::DEBUG),
            (Outcome::Error, Some(503), Level::ERROR),
            (Outcome::Panic, Some(500), Level::ERROR),
            (Outcome::Timeout, Some(504), Level::ERROR),
        ] {
            assert_eq!(ended(outcome, status, None).level(Level::DEBUG), level);
        }
        let entrypoint = || "entrypoint `handler`".to_owned();
        let refusal = Failure::reply(entrypoint(), StatusCode::IM_A_TEAPOT, "no coffee");
        let error = Failure::reply(entrypoint(), StatusCode::BAD_GATEWAY, "no tea");
        for (failure, level) in [(&refusal, Level::WARN), (&error, Level::ERROR)] {
            let ended = ended(Outcome::Success, Some(200), Some(failure));
            assert_eq!(ended.level(Level::DEBUG), level);
        }
    }

    #[test]
    fn a_task_whose_error_others_have_is_as_usual() {
        for (outcome, message) in [
            (Outcome::Success, "task `handler` ended"),
            (Outcome::Error, "task `handler` ended: error"),
            (Outcome::Panic, "task `handler` ended: panic"),
            (Outcome::Timeout, "task `handler` ended: timeout"),
            (Outcome::Cancelled, "task `handler` was cancelled"),
        ] {
            let ended = Ended {
                work: Work::Task,
                ..ended(outcome, None, None)
            };
            assert_eq!(
                (ended.level(Level::DEBUG), &*ended.message()),
                (Level::DEBUG, message)
            );
        }
        let late = Failure::stopped("task `handler`", "timed out after 1s");
        assert_eq!(late.message(None), "task `handler` timed out after 1s");
    }

    #[test]
    fn only_a_panic_that_ended_the_work_is_said_of_the_work() {
        // `resume_unwind` does not call the panic hook, so nothing is printed.
        let panic = panics::guard(|| -> () { std::panic::resume_unwind(Box::new("no luck")) });
        let panic = panic.unwrap_err();
        let failure = Failure::panic("entrypoint `handler`", panic.clone());
        assert_eq!(
            failure.message(None),
            "entrypoint `handler` panicked: no luck"
        );
        let caught = Failure::caught_panic(panic);
        assert_eq!(
            caught.message(None),
            "a panic that the program caught: no luck"
        );
        assert_eq!(caught.details().of_type, Some("panic"));
        let limit = Panic::of_limit(TimedOut::new(Duration::from_secs(1)));
        let cancelled = Failure::panic("entrypoint `handler`", limit);
        assert_eq!(
            cancelled.message(None),
            "entrypoint `handler` was cancelled: a task timed out after 1s"
        );
    }

    #[test]
    fn the_message_says_what_has_happened() {
        let entrypoint = || "entrypoint `handler`".to_owned();
        let refusal = Failure::reply(entrypoint(), StatusCode::IM_A_TEAPOT, "no coffee");
        let error = Failure::error("the stream", "it is broken");
        for (outcome, status, failure, message) in [
            (
                Outcome::Success,
                Some(200),
                None,
                "entrypoint `handler` answered 200",
            ),
            (Outcome::Success, None, None, "entrypoint `handler` ended"),
            (
                Outcome::Cancelled,
                None,
                None,
                "entrypoint `handler` was cancelled: the client has left",
            ),
            (
                Outcome::Cancelled,
                Some(200),
                None,
                "entrypoint `handler` answered 200 after the client had left",
            ),
            (
                Outcome::ClientError,
                Some(418),
                Some(&refusal),
                "entrypoint `handler` answered 418 I'm a teapot: no coffee",
            ),
            (
                Outcome::Error,
                Some(200),
                Some(&error),
                "the stream failed: it is broken",
            ),
        ] {
            assert_eq!(ended(outcome, status, failure).message(), message);
        }
    }

    #[test]
    fn a_duration_is_in_milliseconds() {
        assert_eq!(
            milliseconds(Duration::from_micros(12_345)).to_string(),
            "12.345"
        );
        assert_eq!(
            milliseconds(Duration::from_secs(3600)).to_string(),
            "3600000"
        );
    }
}
