//! One log line: an event, its spans and the ids of its request.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_core::ser::{Serialize, SerializeMap as _, Serializer};
use tracing::{Event, Level};

use super::fields::{Fields, LONGEST_TEXT, Said, Text};
use super::ids::Ids;
use super::spans::Around;
use crate::config::LogFormat;

/// The keys that every line may have. An event's field of one of these names gets the prefix `field.`.
const RESERVED: [&str; 11] = [
    "timestamp",
    "level",
    "message",
    "logger",
    "requestId",
    "sessionId",
    "traceId",
    "spanId",
    "jobId",
    "jobAttempt",
    "spans",
];

/// The most bytes of all texts in a line. In JSON, a control character of one byte becomes six.
const LONGEST_TEXTS: usize = 256 << 10;

/// The last second that a timestamp can show: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) struct Line<'a> {
    level: Level,
    target: &'a str,
    ids: Ids,
    message: Text,
    fields: Fields,
    /// The spans around the event, the outermost first.
    spans: Vec<Around>,
}

impl<'a> Line<'a> {
    /// The line of `event`, within `spans`, with the ids of the caller's request.
    pub(super) fn of(event: &'a Event<'_>, spans: Vec<Around>) -> Self {
        let mut fields = Fields::within(LONGEST_TEXTS);
        event.record(&mut fields);
        Self {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            ids: Ids::here(),
            message: fields.take_message(),
            fields,
            spans,
        }
    }

    /// A line of the library itself, which belongs to no request.
    pub(super) fn plain(level: Level, message: &str) -> Self {
        Self {
            level,
            target: "agentcore",
            ids: Ids::default(),
            message: Text::new(message, LONGEST_TEXT),
            fields: Fields::within(0),
            spans: Vec::new(),
        }
    }

    pub(super) fn render(&self, format: LogFormat) -> String {
        match format {
            // It has only strings, numbers and lists of strings, so this cannot fail.
            LogFormat::Json => serde_json::to_string(self).unwrap_or_default(),
            LogFormat::Pretty => self.to_string(),
        }
    }

    /// The message without the error or the reason that it ends with, and the name of the field that has that text. Either may be
    /// cut.
    fn message_without_error(&self) -> Option<(&str, &str)> {
        let texts = self
            .fields
            .values
            .iter()
            .filter(|(name, _)| ends_messages(name));
        let mut texts = texts.filter_map(|(name, said)| match said {
            Said::Text(text) => Some((*name, self.message_before(text)?)),
            Said::Plain(_) => None,
        });
        texts.next()
    }

    /// The part of the message before `text`, if the message ends with `text`.
    fn message_before(&self, text: &Text) -> Option<&str> {
        let begins = self.message.whole.checked_sub(text.whole)?;
        let (before, said) = self.message.kept.split_at_checked(begins)?;
        let is_said = said.starts_with(&text.kept) || text.kept.starts_with(said);
        before.strip_suffix(": ").filter(|_| is_said)
    }
}

/// A time as lines show it. A clock that is not set can be before 1970 or after the year 9999, which no timestamp can show. The
/// line then has the nearest time that one can show.
fn timestamp(time: SystemTime) -> humantime::Rfc3339Timestamp {
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last))
}

fn now() -> humantime::Rfc3339Timestamp {
    timestamp(SystemTime::now())
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format_args!("{}", now()))?;
        map.serialize_entry("level", self.level.as_str())?;
        // If the error's text has its own key, the message leaves it out.
        match self.message_without_error() {
            Some((_, brief)) => map.serialize_entry("message", brief)?,
            None => map.serialize_entry("message", &self.message.shown())?,
        }
        map.serialize_entry("logger", self.target)?;
        for (name, value) in self.ids.iter() {
            map.serialize_entry(name, value)?;
        }
        for (name, value) in &self.fields.values {
            match value {
                // A list of lines, as in Python's SDK.
                Said::Text(text) if *name == "stackTrace" => {
                    map.serialize_entry(name, &text.shown().lines().collect::<Vec<_>>())?;
                }
                said => map.serialize_entry(&key(name), said)?,
            }
        }
        if !self.spans.is_empty() {
            map.serialize_entry("spans", &self.spans)?;
        }
        map.end()
    }
}

impl Serialize for Around {
    /// Writes the span's name, with its fields beside it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        for (name, said) in &self.fields {
            match *name {
                "name" => map.serialize_entry("field.name", said)?,
                name => map.serialize_entry(name, said)?,
            }
        }
        map.end()
    }
}

impl fmt::Display for Around {
    /// Writes `request{method=GET uri=/}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (place, (name, said)) in self.fields.iter().enumerate() {
            let before = if place == 0 { "{" } else { " " };
            write!(f, "{before}{name}={said}")?;
        }
        if !self.fields.is_empty() {
            f.write_str("}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.shown();
        write!(f, "{} {:>5} ", now(), self.level)?;
        for span in &self.spans {
            write!(f, "{span}: ")?;
        }
        write!(f, "{}: {}", self.target, one_line(&message))?;
        let said = self.message_without_error().map(|(name, _)| name);
        let mut stack = None;
        for (name, value) in &self.fields.values {
            match value {
                Said::Text(text) if *name == "stackTrace" => stack = Some(text.shown()),
                Said::Text(_) if said == Some(name) => {}
                said => write!(f, " {}={said}", key(name))?,
            }
        }
        for (name, value) in self.ids.iter() {
            write!(f, " {name}={}", one_word(value))?;
        }
        let mut stack = stack.iter().flat_map(|stack| stack.lines());
        stack.try_for_each(|line| write!(f, "\n{}", one_line(line)))
    }
}

/// The key of an event's field.
fn key(name: &str) -> Cow<'_, str> {
    if RESERVED.contains(&name) {
        format!("field.{name}").into()
    } else {
        name.into()
    }
}

/// Escapes control characters, which could break the line or control a terminal. Any party may write a text, and no text may look
/// like a line of the log.
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

/// The text as a field's value: quoted, if it would look like several values.
pub(super) fn one_word(text: &str) -> Cow<'_, str> {
    let is_odd =
        |letter: char| letter.is_control() || letter.is_whitespace() || "=\"".contains(letter);
    if text.is_empty() || text.contains(is_odd) {
        format!("{text:?}").into()
    } else {
        text.into()
    }
}

/// Whether messages may end with the text of the field `name`. A line then has that text only once.
fn ends_messages(name: &str) -> bool {
    matches!(name, "errorMessage" | "reason")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn line(fields: Vec<(&'static str, Value)>) -> Line<'static> {
        let mut recorded = Fields::within(0);
        let values = fields.into_iter().map(|(name, value)| {
            let said = match value {
                Value::String(text) => Said::Text(Text::new(text, LONGEST_TEXT)),
                plain => Said::Plain(plain),
            };
            (name, said)
        });
        recorded.values.extend(values);
        Line {
            level: Level::ERROR,
            target: "my_agent",
            ids: Ids {
                request: Some("r\"1".to_owned()),
                session: Some("s 1".to_owned()),
                ..Ids::default()
            },
            message: Text::new("it \"broke\"\nbadly", LONGEST_TEXT),
            fields: recorded,
            spans: Vec::new(),
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
        ]);
        let text = text.render(LogFormat::Pretty);
        let end = r#": it "broke"\nbadly city=Paris errors=3 error="disk full" requestId="r\"1" sessionId="s 1""#;
        assert!(text.ends_with(&format!("{end}\na\nb")), "{text}");
    }

    fn failed(prefix: &str, error: &str) -> Line<'static> {
        let mut line = line(vec![("errorMessage", error.into())]);
        line.message = Text::new(format_args!("{prefix}{error}"), LONGEST_TEXT);
        line
    }

    #[test]
    fn an_errors_text_stands_once_in_a_line() {
        for error in ["disk full".to_owned(), "ü".repeat(LONGEST_TEXT)] {
            let line = failed("`handler` failed: ", &error);
            let beginning = &error[..8];
            let json = line.render(LogFormat::Json);
            let value: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["message"], "`handler` failed");
            let shown = value["errorMessage"].as_str().unwrap();
            assert!(shown.starts_with(beginning), "{shown}");
            assert!(json.len() < LONGEST_TEXT + 1000);
            let pretty = line.render(LogFormat::Pretty);
            assert!(pretty.contains(&format!("`handler` failed: {beginning}")));
            assert!(!pretty.contains("errorMessage"));
        }
        // A message that does not end with the error, or has nothing else, is left as it is.
        for (prefix, error) in [("", "disk full"), ("failed ", "disk full"), ("x: ", "")] {
            let line = failed(prefix, error);
            let json = line.render(LogFormat::Json);
            let value: Value = serde_json::from_str(&json).unwrap();
            let whole = format!("{prefix}{error}");
            let brief = whole.strip_suffix(": ").unwrap_or(&whole);
            assert_eq!(value["message"], brief);
        }
    }

    #[test]
    fn every_clock_has_a_timestamp() {
        let day = Duration::from_secs(24 * 3600);
        let shown = |time| timestamp(time).to_string();
        assert_eq!(shown(UNIX_EPOCH - day), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(UNIX_EPOCH + day), "1970-01-02T00:00:00.000Z");
        let far = UNIX_EPOCH + day * 366 * 9000;
        assert_eq!(shown(far), "9999-12-31T23:59:59.000Z");
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

    /// An event's field that is named like a line's key must not make a second key of that name.
    #[test]
    fn an_events_own_field_does_not_hide_ours() {
        let (sender, lines) = std::sync::mpsc::channel();
        struct Catch(std::sync::mpsc::Sender<String>);
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Catch {
            fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
                let line = Line::of(event, Vec::new());
                let _ = self.0.send(line.render(LogFormat::Json));
            }
        }
        let subscriber = super::super::spans::Registry::new().with(Catch(sender));
        tracing::subscriber::with_default(subscriber, || {
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
