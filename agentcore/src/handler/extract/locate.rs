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

use std::cmp::Reverse;

use serde_path_to_error::Path;

use super::document::{Document, Id, Value};
use super::reader::{Cause, Change, Edit, Fault, Reader, take_marked};
use crate::report::panics;

/// The maximum length of a text that is searched, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// The maximum number of passes for one error.
const MOST_PASSES: usize = 32;
/// The maximum number of values that are decoded for one error, in all passes together.
const MOST_VALUES: usize = 1 << 19;
/// The entries of larger maps are assumed to be read in the order of the document.
const MOST_ENTRIES: usize = 16;

/// What the passes tell about an error.
#[derive(Debug, Default)]
pub(super) struct Located {
    /// The path, if the error is further in than serde knows.
    pub(super) path: Option<String>,
    /// Line and column of the value at `path`.
    pub(super) position: (usize, usize),
    /// The name of the missing field, if the error is about one and the type itself has named it. An error that other code has
    /// made with the words of serde may quote the payload, so it gives no name.
    pub(super) missing: Option<&'static str>,
}

/// Searches `text` for the place of the error `said`, inside of `path`. `decode` decodes the document and returns the error. If
/// it panics, the search ends.
pub(super) fn locate(
    text: &str,
    path: &Path,
    said: &str,
    decode: &dyn Fn(Reader<'_>) -> Option<Fault>,
) -> Located {
    let mut located = Located::default();
    let document = (text.len() <= MOST_BYTES).then(|| Document::read(text));
    let Some(document) = document.flatten() else {
        return located;
    };
    let mut search = Search {
        passes: MOST_PASSES.min(MOST_VALUES / document.len()),
        document: &document,
        said,
        decode,
    };
    let Some(Outcome::Same { fault, .. }) = search.pass(Change::Replace, &[]) else {
        return located;
    };
    if let Cause::Missing(name) = fault.cause {
        located.missing = Some(name);
    }
    let start = document.at(path);
    // Serde knows the path of a value outside of `start`, so that is not the one.
    let found = search.find(start, &fault);
    if let Some(found) = found.filter(|id| (start + 1..=document.last(start)).contains(id)) {
        located.path = Some(document.path(found));
        located.position = document.position(found);
    }
    located
}

/// The result of a pass.
enum Outcome {
    /// The error is the same. The marker is the one of that error, or of an error that was dropped.
    Same { fault: Fault, marked: Option<Id> },
    /// There is another error, or none.
    Other(Option<Fault>),
}

struct Search<'d> {
    document: &'d Document<'d>,
    said: &'d str,
    decode: &'d dyn Fn(Reader<'_>) -> Option<Fault>,
    /// The number of passes that may follow.
    passes: usize,
}

impl Search<'_> {
    /// Decodes with a change at these values. `None` when there have been too many passes.
    fn pass(&mut self, change: Change, at: &[Id]) -> Option<Outcome> {
        self.passes = self.passes.checked_sub(1)?;
        take_marked();
        let edit = Edit::new(change, at);
        let fault = panics::guard(|| (self.decode)(Reader::new(self.document, &edit)));
        let Ok(fault) = fault else {
            self.passes = 0;
            return None;
        };
        Some(match fault {
            Some(fault) if fault.text == self.said => Outcome::Same {
                fault,
                marked: take_marked(),
            },
            other => Outcome::Other(other),
        })
    }

    fn find(&mut self, start: Id, fault: &Fault) -> Option<Id> {
        if !matches!(self.document.value(start), Value::List | Value::Map) {
            return None;
        }
        let found = match fault.cause {
            Cause::Text(address) => self.document.at_address(address),
            _ => self.refused(start, fault),
        };
        found.or_else(|| match self.last_read(&[start], Change::Replace) {
            Some((_, Outcome::Same { .. })) => None,
            _ => self.descend(start),
        })
    }

    /// The value that a type has refused, or the map in which it misses a field.
    ///
    /// If a type has refused one value, and would refuse its marker with the same words, it has refused that value here too. A
    /// type that misses a field refuses a marker in that field. So the last such value that is read is the one. Only `null` may
    /// be refused by a type and accepted by an `Option` of it.
    fn refused(&mut self, start: Id, fault: &Fault) -> Option<Id> {
        let document = self.document;
        let mut ids: Vec<Id> = (start..=document.last(start)).collect();
        let (change, check) = match &fault.cause {
            Cause::Value(value) => {
                ids.retain(|&id| document.value(id) == value);
                (
                    Change::Replace,
                    (*value == Value::NULL).then_some(Change::Remove),
                )
            }
            Cause::Missing(name) => {
                let lacks = |id| {
                    document
                        .children(id)
                        .all(|child| document.key(child) != Some(name))
                };
                ids.retain(|&id| *document.value(id) == Value::Map && lacks(id));
                // A missing field is noticed at the end of its map.
                ids.sort_by_key(|&id| (document.last(id), Reverse(id)));
                (Change::Insert(name), Some(Change::InsertNull(name)))
            }
            Cause::Text(_) | Cause::Other => return None,
        };
        loop {
            let (at, outcome) = self.last_read(&ids, change)?;
            // Those after it are not read before the error.
            let rest = ids.split_off(at);
            let Outcome::Other(Some(other)) = outcome else {
                continue;
            };
            let is_alike = change != Change::Replace || other.expected == fault.expected;
            if other.marker != Some(rest[0]) || !is_alike {
                continue;
            }
            // Without the `null`, or with one in the field, the error changes.
            match check {
                Some(check) if matches!(self.pass(check, &rest)?, Outcome::Same { .. }) => {}
                _ => return Some(rest[0]),
            }
        }
    }

    /// The last of `ids` that is read before the error, and the outcome of a change there. If they are not read in this order, it
    /// is one of those that are read.
    fn last_read(&mut self, ids: &[Id], change: Change) -> Option<(usize, Outcome)> {
        let (mut low, mut high) = (0, ids.len());
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.pass(change, &ids[middle..])? {
                Outcome::Same { marked: None, .. } => high = middle,
                outcome => {
                    last = Some((middle, outcome));
                    low = middle + 1;
                }
            }
        }
        last
    }

    /// The innermost value inside `id` that the passes prove to cause the error: it is read before the error, and the value
    /// after it is not.
    fn descend(&mut self, id: Id) -> Option<Id> {
        let read = self.children_read(id);
        for &(child, is_caught) in &read {
            let next = self.pass(Change::Follow, &[child]);
            if matches!(next, Some(Outcome::Same { marked: None, .. })) {
                // In a value that an untagged enum has read, the error has no place.
                let inner = (!is_caught).then(|| self.descend(child)).flatten();
                return Some(inner.unwrap_or(child));
            }
        }
        // The value after an entry of a map may be refused before the entry is read, as in an enum whose content comes before
        // its tag. Further in there may be a proof.
        let mut uncaught = read.iter().filter(|(_, is_caught)| !is_caught);
        uncaught.find_map(|(child, _)| self.descend(*child))
    }

    /// The values directly in this one that are read before the error, the last one first. For a list or a large map, only that
    /// one. The second part is whether errors in the value are caught and replaced by others, as an untagged enum does.
    fn children_read(&mut self, id: Id) -> Vec<(Id, bool)> {
        let children: Vec<Id> = self.document.children(id).collect();
        let is_single = *self.document.value(id) == Value::Map && children.len() <= MOST_ENTRIES;
        let length = if is_single { 1 } else { children.len().max(1) };
        let parts = children.chunks(length).rev();
        let read = parts.filter_map(|part| {
            let (at, outcome) = self.last_read(part, Change::Replace)?;
            Some((part[at], matches!(outcome, Outcome::Same { .. })))
        });
        read.collect()
    }
}

#[cfg(test)]
#[expect(dead_code, reason = "payloads are only decoded")]
mod tests;
