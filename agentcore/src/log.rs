//! The log that a program gets which sets none up itself: lines on stderr, JSON for machines, plain on a terminal.

mod ids;
mod line;
mod writer;

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Environment, Reader};
use crate::error::{Error, Kind};
use line::Line;
use writer::EventWriter;
pub(crate) use writer::{flush, line, never_wait};

/// Reads `info,my_agent=debug`. A bare word has to be a level: taken for the name of a target, a typo would silence
/// everything else.
fn filter(text: &str) -> Option<Targets> {
    let mut targets = Targets::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        targets = match part.split_once('=') {
            Some((target, of)) => targets.with_target(target.trim(), level(of)?),
            None => targets.with_default(level(part)?),
        };
    }
    Some(targets)
}

fn level(text: &str) -> Option<LevelFilter> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("warning") {
        Some(LevelFilter::WARN)
    } else {
        text.parse().ok()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One flat JSON object a line, with the keys of Python's SDK.
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) format: Format,
    filter: Targets,
}

impl Log {
    /// From `AGENTCORE_LOG` or else `RUST_LOG`, and `AGENTCORE_LOG_FORMAT`.
    pub(crate) fn from_environment(environment: &Environment<'_>) -> Result<Self, Error> {
        let mut env = Reader::new(environment);
        let format = Format::wanted(&mut env);
        let allowed =
            "a level (error, warn, info, debug, trace, off) or a list such as info,my_agent=debug";
        let filter = env.value("AGENTCORE_LOG", allowed, filter);
        // Others read RUST_LOG too, some with a richer syntax; what cannot be read here is not a mistake.
        let general =
            || (environment.variable)("RUST_LOG").and_then(|text| text.trim().parse().ok());
        let filter = filter.or_else(general);
        if !env.problems.is_empty() {
            return Err(Error::several(Kind::Config, env.problems));
        }
        Ok(Self {
            format: format.unwrap_or_else(Format::of_stderr),
            filter: filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO)),
        })
    }

    /// Becomes the process's subscriber, unless the program has set one.
    pub(crate) fn install(self) {
        #[cfg(feature = "otel")]
        if let Some(spans) = crate::telemetry::spans() {
            // What is logged is one thing, and what is traced another.
            let lines = self.format.layer().with_filter(self.filter);
            let subscriber = tracing_subscriber::registry().with(spans).with(lines);
            let _ = tracing::subscriber::set_global_default(subscriber);
            return;
        }
        let subscriber = tracing_subscriber::registry()
            .with(self.filter)
            .with(self.format.layer());
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

impl Format {
    pub(crate) fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Pretty
        } else {
            Self::Json
        }
    }

    /// As the environment wants it; a mistake in there is reported where the agent is started.
    pub(crate) fn of_environment(environment: &Environment<'_>) -> Self {
        let wanted = Self::wanted(&mut Reader::new(environment));
        wanted.unwrap_or_else(Self::of_stderr)
    }

    fn wanted(env: &mut Reader<'_>) -> Option<Self> {
        let choices = [("json", Self::Json), ("pretty", Self::Pretty)];
        env.choice("AGENTCORE_LOG_FORMAT", &choices)
    }

    /// Writes every event as a line.
    pub(crate) fn layer<S>(self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_subscriber::fmt::layer()
            .with_writer(EventWriter::default)
            .event_format(Lines(self))
    }

    /// A line of its own, whatever the filter says: the start, and why there was none.
    pub(crate) fn line(self, level: tracing::Level, message: &str) -> String {
        Line::plain(level, message).render(self)
    }
}

/// Formats events.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", Line::of(event).render(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_format_stops_the_start_and_a_foreign_rust_log_does_not() {
        let with = |name: &'static str, value: &'static str| {
            let variable = move |asked: &str| (asked == name).then(|| value.to_owned());
            Log::from_environment(&Environment {
                variable: &variable,
                in_container: false,
            })
            .map(|_| ())
        };
        let error = with("AGENTCORE_LOG_FORMAT", "xml").unwrap_err();
        assert_eq!(
            error.to_string(),
            "AGENTCORE_LOG_FORMAT is `xml`; it takes json or pretty"
        );
        assert!(with("RUST_LOG", "info,[span{field=1}]=trace/regex").is_ok());
        assert!(with("AGENTCORE_LOG", "debug,hyper=off").is_ok());
        assert!(with("AGENTCORE_LOG", "warning").is_ok());
        assert!(with("AGENTCORE_LOG", "wran").is_err());
        assert!(with("AGENTCORE_LOG", "info,hyper=loud").is_err());
    }
}
