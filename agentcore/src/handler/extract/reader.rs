//! [`Reader`]: a deserializer of a [`Document`] that can change single values of it.

use std::cell::Cell;
use std::fmt;

use serde_core::de::value::{
    BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer,
};
use serde_core::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_core::forward_to_deserialize_any;

use super::document::{Document, Id, Value};

/// What happens to some values of a document. A *marker* is a value that fits no type of JSON. Errors quote it, and so name
/// the value that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Replaces the values by markers.
    Replace,
    /// Removes the values.
    Remove,
    /// Adds a marker directly after each of the values. In a map it has the key of the value.
    Follow,
    /// Adds an entry at the end of each of the maps. It has this key, and its value is a marker.
    Insert(&'static str),
    /// Adds an entry at the end of each of the maps. It has this key, and its value is `null`.
    InsertNull(&'static str),
}

/// A change, and the values that it is made at.
#[derive(Debug)]
pub(super) struct Edit {
    change: Change,
    /// For each value up to the last of them, whether it is one of them.
    at: Vec<bool>,
}

impl Edit {
    pub(super) fn new(change: Change, at: &[Id]) -> Self {
        let mut is_at = vec![false; at.iter().max().map_or(0, |last| last + 1)];
        at.iter().for_each(|&id| is_at[id] = true);
        Self { change, at: is_at }
    }

    fn change_at(&self, id: Id) -> Option<Change> {
        let is_at = self.at.get(id).is_some_and(|is_at| *is_at);
        is_at.then_some(self.change)
    }
}

/// The first byte of a marker. It is not UTF-8, so it is in no text. The digits of the value's index follow.
const MARK: u8 = 0xff;

thread_local! {
    /// The marker of the last error about one, even if that error was dropped.
    static MARKED: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Takes the marker of the last error about one.
pub(super) fn take_marked() -> Option<Id> {
    MARKED.take()
}

/// The error of a document that does not fit.
#[derive(Debug)]
pub(super) struct Fault {
    /// The text that `serde_json` gives the error.
    pub(super) text: String,
    pub(super) cause: Cause,
    /// What is expected in the place of a value, in words.
    pub(super) expected: String,
    /// The marker that the error is about.
    pub(super) marker: Option<Id>,
}

/// What an error reports about the value.
#[derive(Debug)]
pub(super) enum Cause {
    /// The text at this address is not expected, or there is no variant or field of that name.
    Text(usize),
    /// This value is not expected.
    Value(Value<'static>),
    /// There is no field of the name.
    Missing(&'static str),
    Other,
}

impl Fault {
    fn new(error: &serde_json::Error, cause: Cause) -> Self {
        Self {
            text: error.to_string(),
            cause,
            expected: String::new(),
            marker: None,
        }
    }

    /// A fault about the marker that `digits` are from.
    fn about(mut self, digits: Option<&str>) -> Self {
        self.marker = digits.and_then(|digits| digits.parse().ok());
        if self.marker.is_some() {
            MARKED.set(self.marker);
        }
        self
    }

    fn of_value(error: &serde_json::Error, found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let cause = match found {
            Unexpected::Unit => Cause::Value(Value::NULL),
            Unexpected::Bool(value) => Cause::Value(Value::Scalar(value.into())),
            Unexpected::Unsigned(value) => Cause::Value(Value::Scalar(value.into())),
            Unexpected::Signed(value) => Cause::Value(Value::Scalar(value.into())),
            Unexpected::Float(value) => Cause::Value(Value::Scalar(value.into())),
            Unexpected::Str(text) => Cause::Text(text.as_ptr() as usize),
            Unexpected::Seq => Cause::Value(Value::List),
            Unexpected::Map => Cause::Value(Value::Map),
            _ => Cause::Other,
        };
        let digits = match found {
            Unexpected::Bytes([MARK, digits @ ..]) => std::str::from_utf8(digits).ok(),
            _ => None,
        };
        let fault = Self {
            expected: expected.to_string(),
            ..Self::new(error, cause)
        };
        fault.about(digits)
    }

    fn of_name(error: &serde_json::Error, name: &str) -> Self {
        // Serde has converted the bytes of a marker to text.
        let digits = name.strip_prefix(char::REPLACEMENT_CHARACTER);
        Self::new(error, Cause::Text(name.as_ptr() as usize)).about(digits)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(&Error::custom(text), Cause::Other)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of_value(&Error::invalid_type(found, expected), found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::of_value(&Error::invalid_value(found, expected), found, expected)
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Self {
        Self::of_name(&Error::unknown_variant(name, expected), name)
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        Self::of_name(&Error::unknown_field(name, expected), name)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(&Error::missing_field(name), Cause::Missing(name))
    }
}

/// What a reader reads.
#[derive(Clone, Copy, Debug)]
enum Source<'d> {
    Value(Id),
    Key(&'d str),
    Marker(Id),
    Null,
}

/// Deserializes a document, with one change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    edit: &'d Edit,
    source: Source<'d>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>, edit: &'d Edit) -> Self {
        let source = match edit.change_at(0) {
            Some(Change::Replace) => Source::Marker(0),
            _ => Source::Value(0),
        };
        Self {
            document,
            edit,
            source,
        }
    }

    /// The values in this list or map, with their keys, after the change. The items of a list have empty keys.
    fn children(self, id: Id) -> Vec<(Self, Self)> {
        let reading = |source| Self { source, ..self };
        let mut children = Vec::new();
        let mut add = |key, source| children.push((reading(Source::Key(key)), reading(source)));
        for child in self.document.children(id) {
            let key = self.document.key(child).unwrap_or_default();
            match self.edit.change_at(child) {
                Some(Change::Replace) => add(key, Source::Marker(child)),
                Some(Change::Remove) => {}
                Some(Change::Follow) => {
                    add(key, Source::Value(child));
                    // This marker stands for no value.
                    add(key, Source::Marker(Id::MAX));
                }
                _ => add(key, Source::Value(child)),
            }
        }
        match self.edit.change_at(id) {
            Some(Change::Insert(key)) => add(key, Source::Marker(id)),
            Some(Change::InsertNull(key)) => add(key, Source::Null),
            _ => {}
        }
        children
    }

    fn entries(self, map: Id) -> MapDeserializer<'d, std::vec::IntoIter<(Self, Self)>, Fault> {
        MapDeserializer::new(self.children(map).into_iter())
    }

    /// The number or the boolean that a key has in quotes.
    fn scalar_in_key(self) -> Option<serde_json::Value> {
        let Source::Key(key) = self.source else {
            return None;
        };
        let number = key.parse().map(serde_json::Value::Number);
        number
            .or_else(|_| key.parse().map(serde_json::Value::Bool))
            .ok()
    }
}

fn visit_scalar<'de, V: Visitor<'de>>(
    value: &serde_json::Value,
    visitor: V,
) -> Result<V::Value, Fault> {
    match value {
        serde_json::Value::Bool(value) => visitor.visit_bool(*value),
        serde_json::Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                visitor.visit_u64(value)
            } else if let Some(value) = number.as_i64() {
                visitor.visit_i64(value)
            } else {
                visitor.visit_f64(number.as_f64().unwrap_or_default())
            }
        }
        _ => visitor.visit_unit(),
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Defines the methods for types that a key may be in quotes.
macro_rules! scalars {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.scalar_in_key() {
                Some(value) => visit_scalar(&value, visitor),
                None => self.deserialize_any(visitor),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let id = match self.source {
            Source::Value(id) => id,
            Source::Key(key) => return visitor.visit_borrowed_str(key),
            Source::Marker(id) => {
                let digits = id.to_string().into_bytes();
                return visitor.visit_byte_buf([vec![MARK], digits].concat());
            }
            Source::Null => return visitor.visit_unit(),
        };
        match self.document.value(id) {
            Value::Scalar(value) => visit_scalar(value, visitor),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List => {
                let items = self.children(id).into_iter().map(|(_, item)| item);
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Value::Map => visitor.visit_map(self.entries(id)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let is_null = match self.source {
            Source::Value(id) => *self.document.value(id) == Value::NULL,
            Source::Null => true,
            Source::Key(_) | Source::Marker(_) => false,
        };
        if is_null {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text = match self.source {
            Source::Key(key) => key,
            Source::Value(id) => match self.document.value(id) {
                Value::Text(text) => text,
                Value::Map => {
                    return visitor.visit_enum(MapAccessDeserializer::new(self.entries(id)));
                }
                _ => return self.deserialize_any(visitor),
            },
            Source::Marker(_) | Source::Null => return self.deserialize_any(visitor),
        };
        visitor.visit_enum(BorrowedStrDeserializer::new(text))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
