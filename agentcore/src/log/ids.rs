//! The ids of the request, session and trace that a line belongs to.

use crate::otel;
use crate::request::RequestContext;

/// The longest id that a line shows, in characters: a session id has at most 256.
const LONGEST: usize = 256;

/// The ids that are known where a line is written.
#[derive(Debug, Default)]
pub(super) struct Ids {
    pub(super) request: Option<String>,
    pub(super) session: Option<String>,
    pub(super) trace: Option<String>,
    pub(super) span: Option<String>,
    /// The attempt of a durable job that the line is written in.
    pub(super) job: Option<JobIds>,
}

/// The ids of an attempt of a durable job.
#[derive(Debug, Default)]
pub(super) struct JobIds {
    id: String,
    attempt: String,
    session: Option<Box<str>>,
}

impl JobIds {
    /// The ids of the caller's attempt.
    #[cfg(feature = "durable")]
    fn here() -> Option<Self> {
        let scope = crate::request::current()?;
        let job = scope.job()?;
        Some(Self {
            id: job.id.clone(),
            attempt: job.number.to_string(),
            session: job.session.clone(),
        })
    }

    /// `None`, because there are no durable jobs.
    #[cfg(not(feature = "durable"))]
    fn here() -> Option<Self> {
        None
    }
}

impl Ids {
    /// The ids of the caller's request. They are read only when a line is written: a request that writes none pays nothing.
    pub(super) fn here() -> Self {
        let context = RequestContext::current();
        let context = context.as_ref();
        let span = otel::current_span();
        let job = JobIds::here();
        let of_the_job = || job.as_ref()?.session.as_deref();
        let remote = || context.and_then(|context| context.trace_context().trace_id());
        Self {
            request: context.map(|context| shown(context.request_id())),
            session: context
                .and_then(RequestContext::session_id)
                .or_else(of_the_job)
                .map(shown),
            job,
            trace: span
                .map(|(trace, _)| format!("{trace:032x}"))
                .or_else(remote),
            span: span.map(|(_, span)| format!("{span:016x}")),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let job = self.job.as_ref();
        [
            ("requestId", self.request.as_deref()),
            ("sessionId", self.session.as_deref()),
            ("traceId", self.trace.as_deref()),
            ("spanId", self.span.as_deref()),
            ("jobId", job.map(|job| job.id.as_str())),
            ("jobAttempt", job.map(|job| job.attempt.as_str())),
        ]
        .into_iter()
        .filter_map(|(name, id)| Some((name, id?)))
    }
}

/// An id without control characters, cut to [`LONGEST`]. A client may send any text as an id.
fn shown(id: &str) -> String {
    let of_printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    id.chars().take(LONGEST).map(of_printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_on_one_line() {
        assert_eq!(shown("a\tb\nc\u{85}d"), "a b c d");
        assert_eq!(shown(&"ü".repeat(1000)), "ü".repeat(LONGEST));
    }
}
