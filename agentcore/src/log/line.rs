//! One line: what an event says, and of which request.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::ids::Ids;
use crate::config::LogFormat;

/// The keys that every line may have. An event's own field of the same name stands beside it under another.
const RESERVED: [&str; 8] = [
    "timestamp",
    "level",
    "message",
    "logger",
    "requestId",
    "sessionId",
    "traceId",
    "spanId",
];

pub(super) struct Line<'a> {
    level: Level,
    target: &'a str,
    ids: Ids,
    fields: Fields,
}

impl<'a> Line<'a> {
    /// What `event` says here and now.
    pub(super) fn of(event: &'a Event<'_>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            ids: Ids::here(),
            fields,
        }
    }

    /// One of no request, said by the library itself.
    pub(super) fn plain(level: Level, message: &str) -> Self {
        Self {
            level,
            target: "agentcore",
            ids: Ids::default(),
            fields: Fields {
                message: message.to_owned(),
                others: Vec::new(),
            },
        }
    }

    /// Whether the message has it already.
    fn says(&self, text: &str) -> bool {
        self.fields.message.contains(text)
    }

    pub(super) fn render(&self, format: LogFormat) -> String {
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
        for (name, value) in self.ids.iter() {
            map.serialize_entry(name, value)?;
        }
        for (name, value) in &self.fields.others {
            match value {
                // A list of lines, as Python's.
                Value::String(text) if name == "stackTrace" => {
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
            one_line(&self.fields.message)
        )?;
        let mut stack = None;
        for (name, value) in &self.fields.others {
            match value {
                Value::String(text) if name == "stackTrace" => stack = Some(text),
                Value::String(text) if name == "errorMessage" && self.says(text) => {}
                Value::String(text) => write!(f, " {name}={}", one_word(text))?,
                value => write!(f, " {name}={value}")?,
            }
        }
        for (name, value) in self.ids.iter() {
            write!(f, " {name}={}", one_word(value))?;
        }
        let mut stack = stack.into_iter().flat_map(|stack| stack.lines());
        stack.try_for_each(|line| write!(f, "\n{}", one_line(line)))
    }
}

/// Without what would break the line, or a terminal: texts are from anywhere, and a line that somebody else has written
/// must not look like one of ours.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\t' {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line.into()
}

/// As the value of a field: in quotes, where it would look like more than one.
fn one_word(text: &str) -> Cow<'_, str> {
    let is_odd =
        |letter: char| letter.is_control() || letter.is_whitespace() || "=\"".contains(letter);
    if text.is_empty() || text.contains(is_odd) {
        format!("{text:?}").into()
    } else {
        text.into()
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        let name = if RESERVED.contains(&name) {
            Cow::Owned(format!("field.{name}"))
        } else {
            Cow::Borrowed(name)
        };
        self.others.push((name, value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.push(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.push(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: Vec<(&'static str, Value)>) -> Line<'static> {
        let others = fields.into_iter();
        Line {
            level: Level::ERROR,
            target: "my_agent",
            ids: Ids {
                request: Some("r\"1".to_owned()),
                session: Some("s 1".to_owned()),
                ..Ids::default()
            },
            fields: Fields {
                message: "it \"broke\"\nbadly".to_owned(),
                others: others.map(|(name, value)| (name.into(), value)).collect(),
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
        assert_eq!(value["requestId"], "r\"1");
        assert_eq!(value["sessionId"], "s 1");
        assert_eq!(value["errorType"], "panic");
        assert_eq!(value["stackTrace"], serde_json::json!(["a", "b"]));
        assert_eq!(value.get("traceId"), None);
    }

    #[test]
    fn a_pretty_line_ends_with_the_ids_and_has_the_stack_below() {
        let text = line(vec![
            ("stackTrace", "a\nb".into()),
            ("city", "Paris".into()),
            ("errors", 3.into()),
            ("error", "disk full".into()),
            ("errorMessage", "badly".into()),
        ]);
        let text = text.render(LogFormat::Pretty);
        let end = r#": it "broke"\nbadly city=Paris errors=3 error="disk full" requestId="r\"1" sessionId="s 1""#;
        assert!(text.ends_with(&format!("{end}\na\nb")), "{text}");
    }

    #[test]
    fn nobody_elses_text_is_a_line_of_its_own_or_moves_the_cursor() {
        let text = line(vec![("city", "x requestId=1\n\u{1b}[2J".into())]);
        let text = text.render(LogFormat::Pretty);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(
            text.contains(r#"city="x requestId=1\n\u{1b}[2J""#),
            "{text}"
        );
    }

    /// What an event calls as we call ours must not make a second key of the same name.
    #[test]
    fn an_events_own_field_does_not_hide_ours() {
        let (sender, lines) = std::sync::mpsc::channel();
        struct Catch(std::sync::mpsc::Sender<String>);
        impl tracing::Subscriber for Catch {
            fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
                tracing::span::Id::from_u64(1)
            }
            fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
            fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
            fn event(&self, event: &Event<'_>) {
                let _ = self.0.send(Line::of(event).render(LogFormat::Json));
            }
            fn enter(&self, _: &tracing::span::Id) {}
            fn exit(&self, _: &tracing::span::Id) {}
        }
        tracing::subscriber::with_default(Catch(sender), || {
            tracing::info!(level = 3, requestId = "forged", other = true, "hello");
        });
        let text = lines.recv().unwrap();
        assert_eq!(text.matches("\"level\"").count(), 1, "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["field.level"], 3);
        assert_eq!(value.get("requestId"), None);
        assert_eq!(value["field.requestId"], "forged");
        assert_eq!(value["other"], true);
    }
}
