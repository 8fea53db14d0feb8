//! [`Document`]: the values of a JSON text, with their places in it.
//!
//! [`locate`](super::locate) searches it for the value that a type has refused.

use std::borrow::Cow;
use std::iter::successors;

use serde_core::de::IgnoredAny;
use serde_path_to_error::{Path, Segment};

/// The maximum number of values and keys of a document.
const MOST_NODES: usize = 1 << 16;
/// The maximum number of lists and maps around a value. `serde_json` has the same limit.
const MOST_DEPTH: usize = 127;

/// The index of a value or key. They are numbered in the order of the text; the whole document is 0.
pub(super) type Id = usize;

/// A value. What is in a list or a map are the nodes after it.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'t> {
    /// `null`, a boolean or a number.
    Scalar(serde_json::Value),
    Text(Cow<'t, str>),
    List,
    Map,
}

/// A value, or the key of the value after it.
#[derive(Debug)]
struct Node<'t> {
    value: Value<'t>,
    is_key: bool,
    /// The list or map that it is in. For the document, its own index.
    parent: Id,
    /// The last node inside this one, or this one.
    last: Id,
    /// The end in the text. For a key, the colon.
    end: usize,
}

#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    nodes: Vec<Node<'t>>,
}

impl Value<'_> {
    pub(super) const NULL: Self = Self::Scalar(serde_json::Value::Null);
}

impl<'t> Document<'t> {
    /// Reads `text`. `None` if it is no JSON, or has too many values and keys.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        // The loop does not check the order of the tokens.
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let mut nodes: Vec<Node<'t>> = Vec::new();
        let mut open: Vec<Id> = Vec::new();
        let mut end = 0;
        while let Some(token) = first_token(&text[end..]) {
            let start = end;
            end += token.len();
            let value = match token.as_bytes()[0] {
                b' ' | b'\t' | b'\r' | b'\n' | b',' => continue,
                b':' => {
                    let key = nodes.last_mut()?;
                    (key.is_key, key.end) = (true, start);
                    continue;
                }
                b']' | b'}' => {
                    let last = nodes.len() - 1;
                    let closed = &mut nodes[open.pop()?];
                    (closed.last, closed.end) = (last, end);
                    continue;
                }
                b'[' => Value::List,
                b'{' => Value::Map,
                b'"' if token.contains('\\') => Value::Text(serde_json::from_str(token).ok()?),
                b'"' => Value::Text(Cow::Borrowed(&token[1..token.len() - 1])),
                _ => Value::Scalar(serde_json::from_str(token).ok()?),
            };
            let id = nodes.len();
            let parent = open.last().copied().unwrap_or(0);
            if matches!(value, Value::List | Value::Map) {
                open.push(id);
            }
            if id == MOST_NODES || open.len() > MOST_DEPTH {
                return None;
            }
            nodes.push(Node {
                value,
                is_key: false,
                parent,
                last: id,
                end,
            });
        }
        Some(Self { text, nodes })
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.nodes.iter().filter(|node| !node.is_key).count()
    }

    pub(super) fn value(&self, id: Id) -> &Value<'t> {
        &self.nodes[id].value
    }

    pub(super) fn last(&self, id: Id) -> Id {
        self.nodes[id].last
    }

    /// The values directly in this one.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let inside = move |child: Id| (child <= self.last(id)).then_some(child);
        successors(inside(id + 1), move |&child| inside(self.last(child) + 1))
            .filter(|&child| !self.nodes[child].is_key)
    }

    /// The key of a value in a map.
    pub(super) fn key(&self, id: Id) -> Option<&str> {
        match self.nodes.get(id.checked_sub(1)?)? {
            Node {
                value: Value::Text(key),
                is_key: true,
                ..
            } => Some(key),
            _ => None,
        }
    }

    /// The value at `path`, or the deepest known value above it.
    pub(super) fn at(&self, path: &Path) -> Id {
        let mut id = 0;
        for segment in path {
            let next = match segment {
                Segment::Seq { index } => self.children(id).nth(*index),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    // Of equal keys, the last one counts.
                    let named = |&child: &Id| self.key(child) == Some(key);
                    self.children(id).filter(named).last()
                }
                Segment::Unknown => None,
            };
            match next {
                Some(next) => id = next,
                None => break,
            }
        }
        id
    }

    /// The text, or the key, that contains `address`.
    pub(super) fn at_address(&self, address: usize) -> Option<Id> {
        self.nodes.iter().position(|node| match &node.value {
            Value::Text(text) => {
                let start = text.as_ptr() as usize;
                (start..=start + text.len()).contains(&address)
            }
            _ => false,
        })
    }

    /// The path, in the form that [`serde_path_to_error`] gives one. A key has the path of its value.
    pub(super) fn path(&self, id: Id) -> String {
        let id = if self.nodes[id].is_key { id + 1 } else { id };
        let outwards = successors(Some(id), |&id| Some(self.nodes[id].parent));
        let mut inwards: Vec<Id> = outwards.take_while(|&id| id != 0).collect();
        inwards.reverse();
        let mut path = String::new();
        for id in inwards {
            if let Some(key) = self.key(id) {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(key);
            } else {
                let mut items = self.children(self.nodes[id].parent);
                let place = items.position(|item| item == id).unwrap_or_default();
                path.push_str(&format!("[{place}]"));
            }
        }
        if path.is_empty() {
            ".".to_owned()
        } else {
            path
        }
    }

    /// Line and column as `serde_json` counts them: the end of the value, or of the key.
    pub(super) fn position(&self, id: Id) -> (usize, usize) {
        let before = &self.text[..self.nodes[id].end];
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        (1 + before.matches('\n').count(), before.len() - line)
    }
}

/// The first token of a text, which may be one byte of white space. `None` at the end.
fn first_token(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let length = match bytes.first()? {
        b'"' => {
            let mut end = 1;
            while *bytes.get(end)? != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        }
        b'-' | b'0'..=b'9' | b'a'..=b'z' => {
            let mut end = bytes.iter();
            end.position(|byte| b",]} \t\r\n".contains(byte))
                .unwrap_or(bytes.len())
        }
        _ => 1,
    };
    text.get(..length)
}
