//! [`Document`]: a JSON document in memory, and a deserializer over it that can change single values.
//!
//! [`locate`](super::locate) uses it to decode a payload of the wrong shape again, and to find the value that is wrong.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde_core::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde_core::de::{
    DeserializeSeed, Deserializer, Error, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde_core::forward_to_deserialize_any;
use serde_path_to_error::{Path, Segment};

use super::checked::{Budget, Checked};

/// The index of a value. Values are numbered in the order in which they begin; the whole document is 0.
pub(super) type Id = usize;

pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'t, str>),
    List(Vec<Id>),
    Map(Vec<(Cow<'t, str>, Id)>),
}

struct Node<'t> {
    value: Value<'t>,
    /// The value that directly contains this one. For the document, its own index.
    parent: Id,
    /// The position among the children of the parent.
    place: usize,
    /// The last value inside this one, or this one.
    last: Id,
}

pub(super) struct Document<'t> {
    text: &'t str,
    nodes: Vec<Node<'t>>,
    /// The markers of all values, one after the other.
    markers: Vec<u8>,
}

/// The first byte of a marker. It is not UTF-8, so it is in no text.
const MARK: u8 = 0xff;
/// The length of a marker in bytes: [`MARK`], and the value's index in decimal digits.
const MARKER: usize = 1 + DIGITS;
const DIGITS: usize = 7;

impl<'t> Document<'t> {
    /// Reads `text`. `None` if it has more than `most` values and keys.
    pub(super) fn read(text: &'t str, most: usize) -> Option<Self> {
        let budget = Budget::new(most.min(10_usize.pow(DIGITS as u32) - 1));
        let mut nodes = Vec::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let root = Build {
            nodes: &mut nodes,
            parent: 0,
            place: 0,
        };
        root.deserialize(Checked::new(&mut deserializer, &budget))
            .ok()?;
        let mut markers = Vec::with_capacity((nodes.len() + 1) * MARKER);
        for id in 0..=nodes.len() {
            markers.push(MARK);
            markers.extend(format!("{id:0DIGITS$}").bytes());
        }
        Some(Self {
            text,
            nodes,
            markers,
        })
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn value(&self, id: Id) -> &Value<'t> {
        &self.nodes[id].value
    }

    pub(super) fn parent(&self, id: Id) -> &Value<'t> {
        self.value(self.nodes[id].parent)
    }

    pub(super) fn last(&self, id: Id) -> Id {
        self.nodes[id].last
    }

    pub(super) fn is_container(&self, id: Id) -> bool {
        matches!(self.value(id), Value::List(_) | Value::Map(_))
    }

    /// The values directly in this one.
    pub(super) fn children(&self, id: Id) -> Vec<Id> {
        match self.value(id) {
            Value::List(items) => items.clone(),
            Value::Map(entries) => entries.iter().map(|(_, id)| *id).collect(),
            _ => Vec::new(),
        }
    }

    /// The value at `path`, or the deepest known value above it.
    pub(super) fn at(&self, path: &Path) -> Id {
        let mut id = 0;
        for segment in path {
            let next = match (segment, self.value(id)) {
                (Segment::Seq { index }, Value::List(items)) => items.get(*index).copied(),
                (Segment::Map { key } | Segment::Enum { variant: key }, Value::Map(entries)) => {
                    let mut entries = entries.iter().rev();
                    entries.find(|(name, _)| name == key).map(|(_, id)| *id)
                }
                _ => None,
            };
            match next {
                Some(next) => id = next,
                None => break,
            }
        }
        id
    }

    /// The text, or the value of the key, that contains `address`.
    pub(super) fn at_address(&self, address: usize) -> Option<Place> {
        let has = |text: &str| {
            let start = text.as_ptr() as usize;
            (start..=start + text.len()).contains(&address)
        };
        self.nodes
            .iter()
            .enumerate()
            .find_map(|(id, node)| match &node.value {
                Value::Text(text) => has(text).then_some(Place::Value(id)),
                Value::Map(entries) => {
                    let entry = entries.iter().find(|(key, _)| has(key));
                    entry.map(|(_, id)| Place::Key(*id))
                }
                _ => None,
            })
    }

    /// The positions of the value and of each value around it among the children of their parents, from the document inwards.
    fn places(&self, mut id: Id) -> Vec<usize> {
        let mut places = Vec::new();
        while id != 0 {
            places.push(self.nodes[id].place);
            id = self.nodes[id].parent;
        }
        places.reverse();
        places
    }

    /// The path, in the form that [`serde_path_to_error`] gives one.
    pub(super) fn path(&self, place: Place) -> String {
        let mut path = String::new();
        let mut id = 0;
        for place in self.places(place.id()) {
            id = match self.value(id) {
                Value::List(items) => {
                    path.push_str(&format!("[{place}]"));
                    items[place]
                }
                Value::Map(entries) => {
                    let (key, id) = &entries[place];
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                    *id
                }
                _ => break,
            };
        }
        if path.is_empty() {
            path.push('.');
        }
        path
    }

    /// Line and column as `serde_json` counts them: the end of the value, or of the key.
    pub(super) fn position(&self, place: Place) -> Option<(usize, usize)> {
        let places = self.places(place.id());
        let seek = Seek {
            places: &places,
            stop_at_key: matches!(place, Place::Key(_)),
        };
        let error = seek
            .deserialize(&mut serde_json::Deserializer::from_str(self.text))
            .err()?;
        (error.line() > 0).then(|| (error.line(), error.column()))
    }

    fn marker(&self, id: Id) -> &[u8] {
        &self.markers[id * MARKER..(id + 1) * MARKER]
    }
}

/// A value, or the key of a value in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Value(Id),
    Key(Id),
}

impl Place {
    pub(super) fn id(self) -> Id {
        let (Self::Value(id) | Self::Key(id)) = self;
        id
    }
}

/// Reads one value, and all inside it, into `nodes`.
struct Build<'n, 't> {
    nodes: &'n mut Vec<Node<'t>>,
    parent: Id,
    place: usize,
}

impl<'t> Build<'_, 't> {
    fn begin(&mut self, value: Value<'t>) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node {
            value,
            parent: self.parent,
            place: self.place,
            last: id,
        });
        id
    }

    fn end(&mut self, id: Id, value: Value<'t>) -> Id {
        let last = self.nodes.len() - 1;
        let node = &mut self.nodes[id];
        node.value = value;
        node.last = last;
        id
    }

    fn within(&mut self, parent: Id, place: usize) -> Build<'_, 't> {
        Build {
            nodes: self.nodes,
            parent,
            place,
        }
    }
}

impl<'t> DeserializeSeed<'t> for Build<'_, 't> {
    type Value = Id;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Id, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Build<'_, 't> {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(mut self) -> Result<Id, E> {
        Ok(self.begin(Value::Null))
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<Id, E> {
        Ok(self.begin(Value::Bool(value)))
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<Id, E> {
        Ok(self.begin(Value::Unsigned(value)))
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<Id, E> {
        Ok(self.begin(Value::Signed(value)))
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<Id, E> {
        Ok(self.begin(Value::Float(value)))
    }

    fn visit_str<E>(mut self, value: &str) -> Result<Id, E> {
        Ok(self.begin(Value::Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_borrowed_str<E>(mut self, value: &'t str) -> Result<Id, E> {
        Ok(self.begin(Value::Text(Cow::Borrowed(value))))
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut access: A) -> Result<Id, A::Error> {
        let id = self.begin(Value::Null);
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.within(id, items.len()))? {
            items.push(item);
        }
        Ok(self.end(id, Value::List(items)))
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut access: A) -> Result<Id, A::Error> {
        let id = self.begin(Value::Null);
        let mut entries = Vec::new();
        while let Some(Key(key)) = access.next_key()? {
            let value = access.next_value_seed(self.within(id, entries.len()))?;
            entries.push((key, value));
        }
        Ok(self.end(id, Value::Map(entries)))
    }
}

/// The key of a map, borrowed if nothing in it is escaped.
struct Key<'t>(Cow<'t, str>);

impl<'t> serde_core::Deserialize<'t> for Key<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'t> Visitor<'t> for Text {
            type Value = Key<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, value: &str) -> Result<Key<'t>, E> {
                Ok(Key(Cow::Owned(value.to_owned())))
            }

            fn visit_borrowed_str<E>(self, value: &'t str) -> Result<Key<'t>, E> {
                Ok(Key(Cow::Borrowed(value)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads up to one value or key, and fails there, so that `serde_json` reports its position in the text.
struct Seek<'p> {
    places: &'p [usize],
    stop_at_key: bool,
}

impl Seek<'_> {
    fn here<E: Error>() -> E {
        E::custom("here")
    }

    /// The first of the positions, and the seek for the rest of them.
    fn next(&self) -> Option<(usize, Self)> {
        let (&place, places) = self.places.split_first()?;
        let stop_at_key = self.stop_at_key;
        Some((
            place,
            Seek {
                places,
                stop_at_key,
            },
        ))
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(Self::here())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((place, next)) = self.next() else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Err(Self::here());
        };
        for _ in 0..place {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(next).map(|_| ())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((place, next)) = self.next() else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Err(Self::here());
        };
        for _ in 0..place {
            entries.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        entries.next_key::<IgnoredAny>()?;
        if next.stop_at_key && next.places.is_empty() {
            return Err(Self::here());
        }
        entries.next_value_seed(next)
    }
}

/// One change of the document. A marker is a value that fits no type of JSON. Errors quote it, and so name the value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit<'e> {
    None,
    /// Replaces these values by markers.
    Replace(&'e Set),
    /// Adds an entry at the end of these maps. Its value is a marker.
    Insert(&'e Set, &'static str),
    /// Adds an entry at the end of this map. Its value is `null`.
    InsertNull(Id, &'static str),
    /// Adds a marker directly after this value. In a map it has the key of the value.
    Follow(Id),
    /// Removes this value.
    Remove(Id),
}

/// A set of the document's values.
#[derive(Clone, Debug, Default)]
pub(super) struct Set(Vec<bool>);

impl Set {
    pub(super) fn of(ids: &[Id]) -> Self {
        let mut set = vec![false; ids.iter().max().map_or(0, |id| id + 1)];
        ids.iter().for_each(|&id| set[id] = true);
        Self(set)
    }

    fn has(&self, id: Id) -> bool {
        self.0.get(id).is_some_and(|is_in| *is_in)
    }
}

thread_local! {
    /// The marker of the last error about one, even if that error was dropped.
    static MARKED: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Takes the marker of the last error about one.
pub(super) fn take_marked() -> Option<Id> {
    MARKED.take()
}

/// Why the document does not fit, and what the error reports about the value.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) cause: Cause,
    /// The marker that the error is about.
    pub(super) marker: Option<Id>,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// Another value was expected.
    Value {
        found: Found,
        expected: String,
    },
    /// There is no variant or field of the name at this address.
    Name(usize),
    Missing(&'static str),
    Other,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// The address of the text.
    Text(usize),
    List,
    Map,
    Other,
}

impl Found {
    fn of(unexpected: Unexpected<'_>) -> Self {
        match unexpected {
            Unexpected::Unit => Self::Null,
            Unexpected::Bool(value) => Self::Bool(value),
            Unexpected::Unsigned(value) => Self::Unsigned(value),
            Unexpected::Signed(value) => Self::Signed(value),
            Unexpected::Float(value) => Self::Float(value),
            Unexpected::Str(text) => Self::Text(text.as_ptr() as usize),
            Unexpected::Seq => Self::List,
            Unexpected::Map => Self::Map,
            _ => Self::Other,
        }
    }

    /// Whether an error about `value` would report this.
    pub(super) fn is(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null)
            | (Self::List, Value::List(_))
            | (Self::Map, Value::Map(_)) => true,
            (Self::Bool(found), Value::Bool(value)) => found == *value,
            (Self::Unsigned(found), Value::Unsigned(value)) => found == *value,
            (Self::Signed(found), Value::Signed(value)) => found == *value,
            (Self::Float(found), Value::Float(value)) => found.to_bits() == value.to_bits(),
            _ => false,
        }
    }
}

/// The value that a marker stands for.
fn marked(bytes: &[u8]) -> Option<Id> {
    let digits = bytes.strip_prefix(&[MARK])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Fault {
    /// A fault with the text that `serde_json` gives the error.
    fn new(error: &serde_json::Error, cause: Cause) -> Self {
        Self {
            text: error.to_string(),
            cause,
            marker: None,
        }
    }

    fn about(mut self, marker: Option<Id>) -> Self {
        if marker.is_some() {
            self.marker = marker;
            MARKED.set(marker);
        }
        self
    }

    fn of_value(error: &serde_json::Error, found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let marker = match found {
            Unexpected::Bytes(bytes) => marked(bytes),
            _ => None,
        };
        let (found, expected) = (Found::of(found), expected.to_string());
        Self::new(error, Cause::Value { found, expected }).about(marker)
    }

    fn of_name(error: &serde_json::Error, name: &str) -> Self {
        // Serde has converted the bytes of the marker to text.
        let digits = name.strip_prefix(char::REPLACEMENT_CHARACTER);
        let marker = digits.and_then(|digits| digits.parse().ok());
        Self::new(error, Cause::Name(name.as_ptr() as usize)).about(marker)
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

/// What a deserializer reads.
#[derive(Clone, Copy)]
enum Source<'de> {
    Value(Id),
    Marker(&'de [u8]),
    Null,
}

/// Deserializes a document, with one change.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de> {
    document: &'de Document<'de>,
    edit: Edit<'de>,
    source: Source<'de>,
}

impl<'de> Reader<'de> {
    pub(super) fn new(document: &'de Document<'de>, edit: Edit<'de>) -> Self {
        let reader = Self {
            document,
            edit,
            source: Source::Null,
        };
        reader.of(0)
    }

    fn reading(self, source: Source<'de>) -> Self {
        Self { source, ..self }
    }

    fn of(self, id: Id) -> Self {
        match self.edit {
            Edit::Replace(replaced) if replaced.has(id) => self.marker(id),
            _ => self.reading(Source::Value(id)),
        }
    }

    fn marker(self, id: Id) -> Self {
        self.reading(Source::Marker(self.document.marker(id)))
    }

    /// The marker directly after value `id`, if the change adds one there.
    fn follower(self, id: Id) -> Option<Self> {
        // The number after the last value: the marker stands for no value.
        matches!(self.edit, Edit::Follow(at) if at == id).then(|| self.marker(self.document.len()))
    }

    fn is_removed(self, id: Id) -> bool {
        matches!(self.edit, Edit::Remove(at) if at == id)
    }

    fn items(self, items: &[Id]) -> Items<'de> {
        let readers = items.iter().filter(|id| !self.is_removed(**id));
        let readers = readers.flat_map(|&id| [Some(self.of(id)), self.follower(id)]);
        let items: Vec<_> = readers.flatten().collect();
        Items(items.into_iter())
    }

    fn entries(self, map: Id, entries: &'de [(Cow<'de, str>, Id)]) -> Entries<'de> {
        let kept = entries.iter().filter(|(_, id)| !self.is_removed(*id));
        let kept = kept.flat_map(|(key, id)| {
            let follower = self.follower(*id).map(|reader| (&**key, reader));
            [Some((&**key, self.of(*id))), follower]
        });
        let more = match self.edit {
            Edit::Insert(maps, key) if maps.has(map) => Some((key, self.marker(map))),
            Edit::InsertNull(at, key) if at == map => Some((key, self.reading(Source::Null))),
            _ => None,
        };
        let entries: Vec<_> = kept.flatten().chain(more).collect();
        Entries {
            entries: entries.into_iter(),
            value: None,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let id = match self.source {
            Source::Value(id) => id,
            Source::Marker(marker) => return visitor.visit_borrowed_bytes(marker),
            Source::Null => return visitor.visit_unit(),
        };
        match self.document.value(id) {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(self.items(items)),
            Value::Map(entries) => visitor.visit_map(self.entries(id, entries)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let is_null = match self.source {
            Source::Value(id) => matches!(self.document.value(id), Value::Null),
            Source::Marker(_) => false,
            Source::Null => true,
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
        match self.source {
            Source::Value(id) => match self.document.value(id) {
                Value::Text(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
                Value::Map(entries) => {
                    visitor.visit_enum(MapAccessDeserializer::new(self.entries(id, entries)))
                }
                _ => self.deserialize_any(visitor),
            },
            Source::Marker(_) | Source::Null => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

struct Items<'de>(std::vec::IntoIter<Reader<'de>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        self.0.next().map(|item| seed.deserialize(item)).transpose()
    }
}

struct Entries<'de> {
    entries: std::vec::IntoIter<(&'de str, Reader<'de>)>,
    value: Option<Reader<'de>>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(KeyReader(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        match self.value.take() {
            Some(value) => seed.deserialize(value),
            None => Err(Fault::custom("a value is asked for before its key")),
        }
    }
}

/// Deserializes a key, which may be a number or a boolean in quotes.
struct KeyReader<'de>(&'de str);

impl<'de> KeyReader<'de> {
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Ok(value) = self.0.parse() {
            visitor.visit_u64(value)
        } else if let Ok(value) = self.0.parse() {
            visitor.visit_i64(value)
        } else if let Ok(value) = self.0.parse() {
            visitor.visit_f64(value)
        } else {
            visitor.visit_borrowed_str(self.0)
        }
    }
}

macro_rules! numbers {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.number(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.parse() {
            Ok(value) => visitor.visit_bool(value),
            Err(_) => visitor.visit_borrowed_str(self.0),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
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
        visitor.visit_enum(BorrowedStrDeserializer::new(self.0))
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
