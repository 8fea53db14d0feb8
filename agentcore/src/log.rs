//! The log of programs that set none up: lines on stderr, JSON for machines, plain on a terminal.

mod fields;
mod ids;
mod line;
mod spans;
mod writer;

use std::io::IsTerminal as _;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::config::{Config, Environment, Filter, LogFormat, Reader, Source, table};
use crate::otel;
use line::Line;
pub(crate) use line::one_line;
use spans::{Records, Registry};
pub(crate) use writer::{flush, last_line, line};

/// The levels that are logged, and the form of the lines.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    filter: Filter,
}

impl Log {
    /// Reads the program's values, `AGENTCORE_LOG` or else `RUST_LOG`, and `AGENTCORE_LOG_FORMAT`. `env` records the problems;
    /// the log is usable even then.
    pub(crate) fn read(config: &Config, env: &mut Reader<'_>) -> Self {
        let (filter, format) = config.log_options();
        let written = env.written(&table::LOG, filter);
        // Other programs read `RUST_LOG` too, some with a richer syntax. A value that does not parse here is not a mistake.
        let variable = env.environment.variable;
        let general = || {
            let targets = variable("RUST_LOG")?.trim().parse().ok()?;
            Some((Filter(targets), Source::Environment("RUST_LOG")))
        };
        let info = || Filter(Targets::new().with_default(tracing::Level::INFO));
        let (filter, source) = env
            .find(&table::LOG, written)
            .or_else(general)
            .unwrap_or_else(|| (info(), Source::Default));
        env.record(&table::LOG, Some(&filter), source);
        let format = env.computed(&table::LOG_FORMAT, format, LogFormat::of_stderr);
        Self { format, filter }
    }

    /// Makes this log the process's subscriber, unless the program has set one.
    pub(crate) fn install(self) {
        #[cfg(feature = "otel")]
        if let Some(spans) = otel::span_layer() {
            // The filter applies to lines, not to traced spans.
            let lines = self.format.layer().with_filter(self.filter.into_targets());
            let subscriber = tracing_subscriber::registry().with(spans).with(lines);
            let _ = tracing::subscriber::set_global_default(subscriber);
            return;
        }
        let subscriber = Registry::new()
            .with(self.filter.into_targets())
            .with(self.format.layer());
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

pub(crate) fn report_problems() {
    for problem in otel::problems() {
        tracing::warn!("{problem}");
    }
}

impl LogFormat {
    pub(crate) fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Pretty
        } else {
            Self::Json
        }
    }

    /// The format that the environment sets, or else the default. A wrong value is reported when the agent starts.
    pub(crate) fn of_environment(environment: &Environment<'_>) -> Self {
        Reader::new(environment).computed(&table::LOG_FORMAT, None, Self::of_stderr)
    }

    /// A layer that writes every event as a line.
    pub(crate) fn layer<S: Subscriber>(self) -> impl Layer<S> + Send + Sync + use<S> {
        writer::look(self);
        Lines {
            format: self,
            spans: Records::new(),
        }
    }

    /// Renders a line that no filter applies to: the start line, or why the start failed.
    pub(crate) fn line(self, level: tracing::Level, message: &str) -> String {
        Line::plain(level, message).render(self)
    }
}

/// Writes events as lines, with the spans around them.
struct Lines {
    format: LogFormat,
    spans: Records,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        self.spans.begin(attributes, id);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.spans.record(id, values);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let around = self.spans.around(event);
        line(Line::of(event, around).render(self.format));
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        self.spans.owner.enter(id);
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        self.spans.owner.exit(id);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.spans.close(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_format_stops_the_start_and_a_foreign_rust_log_does_not() {
        let with = |name: &'static str, value: &'static str| {
            let variable = move |asked: &str| (asked == name).then(|| value.to_owned());
            let environment = Environment {
                variable: &variable,
                in_container: false,
            };
            let mut env = Reader::new(&environment);
            let _ = Log::read(&Config::new(), &mut env);
            env.finish().map(|_| ())
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
        for nonsense in [",,", "info,my_agent=", "info,=debug", "info,my[span]=debug"] {
            assert!(with("AGENTCORE_LOG", nonsense).is_err(), "{nonsense}");
        }
    }
}
