//! The log that a program gets which sets none up itself: lines on stderr, JSON for machines, plain on a terminal.

mod writer;

use std::fmt;
use std::io::IsTerminal as _;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, LogFormat, Reader, Source, Value as Setting, table};
use writer::EventWriter;
pub(crate) use writer::{flush, line, never_wait};

/// What is logged.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Targets);

impl Setting for Filter {
    /// Reads `info,my_agent=debug`. A bare word has to be a level: taken for the name of a target, a typo would silence
    /// everything else.
    fn parse(text: &str) -> Option<Self> {
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
        Some(Self(targets))
    }

    fn show(&self) -> Value {
        self.0.to_string().into()
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("warning") {
        Some(LevelFilter::WARN)
    } else {
        text.parse().ok()
    }
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    filter: Filter,
}

impl Log {
    /// From the program, `AGENTCORE_LOG` or else `RUST_LOG`, and `AGENTCORE_LOG_FORMAT`. What is wrong, `env` knows; the
    /// log can be written to all the same.
    pub(crate) fn read(config: &Config, env: &mut Reader<'_>) -> Self {
        let (filter, format) = config.log_options();
        let written = env.written(&table::LOG, filter);
        // Others read RUST_LOG too, some with a richer syntax; what cannot be read here is not a mistake.
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

    /// Becomes the process's subscriber, unless the program has set one.
    pub(crate) fn install(self) {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(EventWriter::default)
            .event_format(Lines(self.format));
        let subscriber = tracing_subscriber::registry()
            .with(self.filter.0)
            .with(lines);
        let _ = tracing::subscriber::set_global_default(subscriber);
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

    /// A line of its own, whatever the filter says: the start, and why there was none.
    pub(crate) fn line(self, level: tracing::Level, message: &str) -> String {
        let line = Line {
            level,
            target: "agentcore",
            fields: Fields {
                message: message.to_owned(),
                others: Vec::new(),
            },
        };
        line.render(self)
    }
}

/// Formats events.
struct Lines(LogFormat);

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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            fields,
        };
        writeln!(writer, "{}", line.render(self.0))
    }
}

struct Line<'a> {
    level: tracing::Level,
    target: &'a str,
    fields: Fields,
}

impl Line<'_> {
    fn render(&self, format: LogFormat) -> String {
        match format {
            // Strings, numbers and lists of strings: nothing that could fail.
            LogFormat::Json => serde_json::to_string(self).unwrap_or_default(),
            LogFormat::Pretty => self.to_string(),
        }
    }
}

fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(SystemTime::now())
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format_args!("{}", now()))?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("message", &self.fields.message)?;
        map.serialize_entry("logger", self.target)?;
        for (name, value) in &self.fields.others {
            match value {
                // A list of lines, as Python's.
                Value::String(text) if *name == "stackTrace" => {
                    map.serialize_entry(name, &text.lines().collect::<Vec<_>>())?;
                }
                value => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:>5} {}: {}",
            now(),
            self.level,
            self.target,
            self.fields.message
        )?;
        for (name, value) in &self.fields.others {
            match value {
                Value::String(text) if *name == "stackTrace" => write!(f, "\n{text}")?,
                // Said in the message already.
                _ if name.starts_with("error") => {}
                Value::String(text) => write!(f, " {name}={text}")?,
                value => write!(f, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.others.push((name, text.into())),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, value.into())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.push((field.name(), value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn line(fields: Vec<(&'static str, Value)>) -> Line<'static> {
        Line {
            level: tracing::Level::ERROR,
            target: "my_agent",
            fields: Fields {
                message: "it \"broke\"\nbadly".to_owned(),
                others: fields,
            },
        }
    }

    #[test]
    fn a_json_line_is_one_line_with_the_keys_of_the_python_sdk() {
        let text = line(vec![
            ("errorType", "panic".into()),
            ("stackTrace", "a\nb".into()),
        ])
        .render(LogFormat::Json);
        assert!(!text.contains('\n'), "{text}");
        assert!(text.starts_with(r#"{"timestamp":"2"#), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "ERROR");
        assert_eq!(value["message"], "it \"broke\"\nbadly");
        assert_eq!(value["logger"], "my_agent");
        assert_eq!(value["errorType"], "panic");
        assert_eq!(value["stackTrace"], serde_json::json!(["a", "b"]));
    }

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
    }
}
