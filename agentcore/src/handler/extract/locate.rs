//! Finds the value that an error of shape is about, if serde does not report it.
//!
//! Serde first reads enums with `tag`, `untagged` enums and `flatten`ed structs into a buffer, and takes the values from it. An
//! error in the buffer has no path. So the payload is decoded again, several times, with a change in each pass. The errors of
//! the passes show which value the first error is about:
//!
//! - A text is at one address in every pass, and an error about it has that address.
//! - A *marker* in the place of a value is refused by every type. If the error stays the same, it comes before the marked value
//!   is read, otherwise after.
//!
//! The number of passes is bounded, and there is an answer only if the passes prove it. The answer is the value itself, or one
//! that contains it.

use serde_path_to_error::Path;

use super::document::{
    Cause, Document, Edit, Fault, Found, Id, Place, Reader, Set, Value, take_marked,
};

/// The maximum length of a text that is searched, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// The maximum number of passes for one error.
const MOST_PASSES: usize = 32;
/// The maximum number of values that are decoded for one error, in all passes together.
const MOST_VALUES: usize = 1 << 19;
/// The maximum number of values and keys of a text that is searched.
const MOST_NODES: usize = 1 << 16;
/// The entries of larger maps are assumed to be read in the order of the document.
const MOST_ENTRIES: usize = 16;

/// The place of an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) path: String,
    /// Line and column of the text.
    pub(super) position: Option<(usize, usize)>,
}

/// The place of the error `said` in `text`, if it is further in than `path`. `decode` decodes the document and returns the
/// error.
pub(super) fn locate(
    text: &str,
    path: &Path,
    said: &str,
    decode: &mut dyn FnMut(Reader<'_>) -> Option<Fault>,
) -> Option<Location> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let document = Document::read(text, MOST_NODES)?;
    let start = document.at(path);
    if !document.is_container(start) {
        return None;
    }
    let mut search = Search {
        passes: MOST_PASSES.min(MOST_VALUES / document.len()),
        document: &document,
        said,
        decode,
    };
    let place = search.place(start)?;
    // Serde knows the path of a value outside of `start`, so that is not the one.
    (place.id() > start && place.id() <= document.last(start)).then(|| Location {
        path: document.path(place),
        position: document.position(place),
    })
}

/// The name of the missing field, if the error `said` is about one and the type itself has named it. An error that other code
/// has made with the words of serde may quote the payload, so it gives no name.
pub(super) fn missing_field(
    text: &str,
    said: &str,
    decode: &mut dyn FnMut(Reader<'_>) -> Option<Fault>,
) -> Option<&'static str> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let document = Document::read(text, MOST_NODES)?;
    match decode(Reader::new(&document, Edit::None))? {
        Fault {
            cause: Cause::Missing(name),
            text,
            ..
        } if text == said => Some(name),
        _ => None,
    }
}

/// The result of a pass.
enum Outcome {
    /// The error is the same. The marker is the one of that error, or of an error that was dropped.
    Same(Option<Id>),
    /// There is another error, or none.
    Other(Option<Fault>),
}

struct Search<'d> {
    document: &'d Document<'d>,
    said: &'d str,
    decode: &'d mut dyn FnMut(Reader<'_>) -> Option<Fault>,
    /// The number of passes that may follow.
    passes: usize,
}

impl Search<'_> {
    /// Decodes with one change. `None` when there have been too many passes.
    fn pass(&mut self, edit: Edit<'_>) -> Option<Outcome> {
        self.passes = self.passes.checked_sub(1)?;
        take_marked();
        let fault = (self.decode)(Reader::new(self.document, edit));
        let marked = take_marked();
        Some(match fault {
            Some(fault) if fault.text == self.said => Outcome::Same(marked),
            other => Outcome::Other(other),
        })
    }

    fn is_same(&mut self, edit: Edit<'_>) -> Option<bool> {
        Some(matches!(self.pass(edit)?, Outcome::Same(_)))
    }

    fn place(&mut self, start: Id) -> Option<Place> {
        self.passes = self.passes.checked_sub(1)?;
        let fault = (self.decode)(Reader::new(self.document, Edit::None))?;
        if fault.text != self.said {
            return None;
        }
        let found = match fault.cause {
            Cause::Name(address)
            | Cause::Value {
                found: Found::Text(address),
                ..
            } => self.document.at_address(address),
            Cause::Value { found, expected } => {
                self.of_value(start, found, &expected).map(Place::Value)
            }
            Cause::Missing(name) => self.of_missing(start, name).map(Place::Value),
            Cause::Other => None,
        };
        if found.is_some() {
            return found;
        }
        match self.child(start) {
            Some(start) if start.is_caught => None,
            _ => self.descend(start).map(Place::Value),
        }
    }

    /// The value that was `found` where a type takes what is `expected`.
    ///
    /// If a type has refused one value, and would refuse its marker with the same words, it has refused that value here too. So
    /// the first such value is the one. Only `null` may be refused by a type and accepted by an `Option` of it.
    fn of_value(&mut self, start: Id, found: Found, expected: &str) -> Option<Id> {
        let ids = start..=self.document.last(start);
        let mut ids: Vec<Id> = ids
            .filter(|id| found.is(self.document.value(*id)))
            .collect();
        loop {
            let (at, fault) = self.last_read(&ids, |set| Edit::Replace(set))?;
            let id = ids.remove(at);
            let is_refused_alike = fault.is_some_and(|fault| {
                fault.marker == Some(id)
                    && matches!(fault.cause, Cause::Value { expected: words, .. } if words == expected)
            });
            if is_refused_alike && (!matches!(found, Found::Null) || self.is_required(id)?) {
                return Some(id);
            }
        }
    }

    /// Whether the error is about this `null`, and not about one that is read later. If it is, the error changes without it.
    fn is_required(&mut self, id: Id) -> Option<bool> {
        match self.document.parent(id) {
            Value::Map(_) => Some(!self.is_same(Edit::Remove(id))?),
            _ => self.is_same(Edit::Follow(id)),
        }
    }

    /// The map without a field `name`. With a marker in that field, the error is about the marker.
    fn of_missing(&mut self, start: Id, name: &'static str) -> Option<Id> {
        let document = self.document;
        let lacks = |id: &Id| match document.value(*id) {
            Value::Map(entries) => !entries.iter().any(|(key, _)| key == name),
            _ => false,
        };
        let mut ids: Vec<Id> = (start..=document.last(start)).filter(lacks).collect();
        // A missing field is noticed at the end of its map.
        ids.sort_by_key(|&id| (document.last(id), std::cmp::Reverse(id)));
        loop {
            let (at, fault) = self.last_read(&ids, |set| Edit::Insert(set, name))?;
            let id = ids.remove(at);
            let is_marked = fault.is_some_and(|fault| fault.marker == Some(id));
            // An optional field may be null.
            if is_marked && !self.is_same(Edit::InsertNull(id, name))? {
                return Some(id);
            }
        }
    }

    /// The last of `ids` that is read before the error, if they are read in this order; and the error after a change there.
    fn last_read(
        &mut self,
        ids: &[Id],
        edit: impl Fn(&Set) -> Edit<'_>,
    ) -> Option<(usize, Option<Fault>)> {
        let (mut low, mut high) = (0, ids.len());
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.pass(edit(&Set::of(&ids[middle..])))? {
                Outcome::Same(_) => high = middle,
                Outcome::Other(fault) => {
                    last = Some((middle, fault));
                    low = middle + 1;
                }
            }
        }
        last
    }

    /// The innermost value inside `id` that the passes prove to cause the error: it is read before the error, and the value
    /// after it is not.
    fn descend(&mut self, id: Id) -> Option<Id> {
        let read = self.read(id);
        for child in &read {
            if self.is_before_the_next(child.id) {
                // In a value that an untagged enum has read, the error has no place.
                let inner = if child.is_caught {
                    None
                } else {
                    self.descend(child.id)
                };
                return Some(inner.unwrap_or(child.id));
            }
        }
        // The value after an entry of a map may be refused before the entry is read, as in an enum whose content comes before
        // its tag. Further in there may be a proof.
        let mut uncaught = read.iter().filter(|child| !child.is_caught);
        uncaught.find_map(|child| self.descend(child.id))
    }

    /// Whether the error comes before the value after this one is read.
    fn is_before_the_next(&mut self, id: Id) -> bool {
        matches!(self.pass(Edit::Follow(id)), Some(Outcome::Same(None)))
    }

    /// The values directly in this one that are read before the error, the last one first. For a list, only that one.
    fn read(&mut self, id: Id) -> Vec<Child> {
        let children = self.document.children(id);
        let is_map = matches!(self.document.value(id), Value::Map(_));
        if is_map && children.len() <= MOST_ENTRIES {
            let children = children.into_iter().rev();
            return children.filter_map(|id| self.child(id)).collect();
        }
        let (mut low, mut high) = (0, children.len());
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.child(children[middle]) {
                Some(child) => {
                    last = Some(child);
                    low = middle + 1;
                }
                None => high = middle,
            }
        }
        last.into_iter().collect()
    }

    /// The value, if it is read before the error.
    fn child(&mut self, id: Id) -> Option<Child> {
        let is_caught = match self.pass(Edit::Replace(&Set::of(&[id])))? {
            Outcome::Same(marked) => {
                marked?;
                true
            }
            Outcome::Other(_) => false,
        };
        Some(Child { id, is_caught })
    }
}

/// A value that is read before the error.
struct Child {
    id: Id,
    /// Whether errors in it are caught and replaced by others, as an untagged enum does.
    is_caught: bool,
}

#[cfg(test)]
#[expect(dead_code, reason = "payloads are only decoded")]
mod tests;
