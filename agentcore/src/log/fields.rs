//! The fields of an event or of a span, with a bound on their texts.
//!
//! An event can carry a text of any length, such as an error that quotes a client, and lines wait in a queue in memory.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde_core::ser::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};

use super::line::one_word;
use crate::util::text::boundary;

/// The most bytes of one text. A deep stack fits.
pub(super) const LONGEST_TEXT: usize = 64 << 10;

/// A text of which only the beginning may be kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) kept: String,
    /// The length of the whole text, in bytes.
    pub(super) whole: usize,
    most: usize,
}

impl Text {
    /// Keeps up to `most` bytes. The rest is counted, but never in memory.
    pub(super) fn new(text: impl fmt::Display, most: usize) -> Self {
        let mut new = Self {
            kept: String::new(),
            whole: 0,
            most,
        };
        // An implementation may fail half-way. What it has written stays.
        let _ = write!(new, "{text}");
        new
    }

    fn cut(mut self, most: usize) -> Self {
        self.kept.truncate(boundary(&self.kept, most));
        self.most = most;
        self
    }

    /// The text, with a mark if it is cut.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        let (kept, whole) = (self.kept.len(), self.whole);
        if kept == whole {
            return Cow::Borrowed(&self.kept);
        }
        format!("{} [cut: {kept} of {whole} bytes]", self.kept).into()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // After the first cut, everything is left out.
        let is_whole = self.kept.len() == self.whole;
        self.whole += text.len();
        if is_whole {
            let room = boundary(text, self.most - self.kept.len());
            self.kept.push_str(&text[..room]);
        }
        Ok(())
    }
}

/// The value of a field.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Text(Text),
    /// A number or a truth value.
    Plain(Value),
}

impl Said {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.kept.len(),
            Self::Plain(_) => 0,
        }
    }

    /// The value, cut to at most `most` bytes of text.
    fn within(self, most: usize) -> Self {
        match self {
            Self::Text(text) if text.kept.len() > most => Self::Text(text.cut(most)),
            within => within,
        }
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(&text.shown()),
            Self::Plain(value) => value.serialize(serializer),
        }
    }
}

impl fmt::Display for Said {
    /// Writes it as the value of a field in a pretty line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&one_word(&text.shown())),
            Self::Plain(value) => value.fmt(f),
        }
    }
}

/// The fields of one event or of one span.
pub(super) struct Fields {
    pub(super) values: Vec<(&'static str, Said)>,
    /// How many more bytes of text fit.
    room: usize,
}

impl Fields {
    /// No fields yet. Their texts have up to `room` bytes together.
    pub(super) fn within(room: usize) -> Self {
        Self {
            values: Vec::new(),
            room,
        }
    }

    fn text(&mut self, text: impl fmt::Display) -> Text {
        let text = Text::new(text, self.room.min(LONGEST_TEXT));
        self.room -= text.kept.len();
        text
    }

    fn push_text(&mut self, field: &Field, text: impl fmt::Display) {
        let text = self.text(text);
        self.values.push((field.name(), Said::Text(text)));
    }

    fn push_plain(&mut self, field: &Field, value: impl Into<Value>) {
        self.values.push((field.name(), Said::Plain(value.into())));
    }

    /// Takes out the message. An event may have a number of that name, which stays a field.
    pub(super) fn take_message(&mut self) -> Text {
        let mut message = Text::default();
        self.values.retain_mut(|(name, said)| match said {
            Said::Text(text) if *name == "message" => {
                message = std::mem::take(text);
                false
            }
            _ => true,
        });
        message
    }

    /// Adds fields that were recorded later. A field that has a value gets the new one.
    pub(super) fn merge(&mut self, later: Self) {
        for (name, said) in later.values {
            let place = self.values.iter().position(|(known, _)| *known == name);
            let before = place.map(|place| self.values[place].1.bytes());
            let room = self.room + before.unwrap_or(0);
            let said = said.within(room);
            self.room = room - said.bytes();
            match place {
                Some(place) => self.values[place].1 = said,
                None => self.values.push((name, said)),
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push_plain(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let mut fields = Fields::within(20 * LONGEST_TEXT);
        let text = fields.text("ü".repeat(LONGEST_TEXT));
        assert!(text.kept.len() <= LONGEST_TEXT);
        let end = format!("ü [cut: {LONGEST_TEXT} of {} bytes]", 2 * LONGEST_TEXT);
        assert!(text.shown().ends_with(&end), "{}", text.kept.len());
        // Only one of the letter's two bytes fits.
        assert_eq!(Text::new("aü", 2).shown(), "a [cut: 1 of 3 bytes]");
        assert_eq!(
            Text::new(format_args!("ü{}", "b"), 1).shown(),
            " [cut: 0 of 3 bytes]"
        );
        assert_eq!(Text::new("aü", 3).shown(), "aü");
        for _ in 0..20 {
            fields.text("x".repeat(LONGEST_TEXT));
        }
        assert_eq!(fields.room, 0);
        assert_eq!(fields.text("x").shown(), " [cut: 0 of 1 bytes]");
    }
}
