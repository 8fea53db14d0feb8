//! [`ToolCall`]: one call of a tool. Each argument is taken once, and all problems of the arguments are collected.

use std::sync::Arc;

use bytes::Bytes;
use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::outcome::{ToolFailure, ToolFailureKind, ToolOutcome};
use super::registered::{Offer, Registered};
use crate::handler::extract::{FromInvocation, Invocation};
use crate::handler::response::{IntoResponse, Response};
use crate::request::Scope;

/// A call on its way to the function.
#[derive(Debug)]
pub struct ToolCall {
    invocation: Invocation,
    /// The arguments that have not been taken yet.
    arguments: Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<String>,
    /// Whether every argument is a text, which may stand for a number or another value.
    are_texts: bool,
    /// `tool`, or what else is called.
    noun: &'static str,
}

impl ToolCall {
    /// Extractors see the arguments as the body of the request.
    pub(crate) fn new(scope: Arc<Scope>, tool: &Registered, arguments: Map<String, Value>) -> Self {
        // Strings, numbers and lists of them: this cannot fail.
        let body = serde_json::to_vec(&arguments).unwrap_or_default();
        let mut call = Self {
            invocation: Invocation::new(scope, Bytes::from(body)),
            arguments,
            known: Vec::new(),
            problems: Vec::new(),
            are_texts: tool.offer != Offer::Tool,
            noun: tool.offer.noun(),
        };
        if tool.is_closed {
            call.refuse_unknown(&tool.input);
        }
        call
    }

    /// Takes out the arguments that are no property of `schema`. A type that holds all arguments would ignore them.
    fn refuse_unknown(&mut self, schema: &Map<String, Value>) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_known = |name: &String| properties.is_some_and(|known| known.contains_key(name));
        if self.arguments.keys().all(is_known) {
            return;
        }
        let (known, unknown) = std::mem::take(&mut self.arguments)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| is_known(name));
        self.arguments = known.into_iter().collect();
        let names: Vec<_> = properties.iter().flat_map(|known| known.keys()).collect();
        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
        for (name, _) in unknown {
            self.problems
                .push(unknown_argument(&name, &list(&names), self.noun));
        }
    }

    /// A value that is made from the request; `None`, and a problem, if it refuses.
    pub(crate) fn extract<T: FromInvocation>(&mut self) -> Option<T> {
        match T::from_invocation(&mut self.invocation) {
            Ok(value) => Some(value),
            Err(rejection) => {
                self.problems.push(said(&rejection.into_response()));
                None
            }
        }
    }

    /// An argument that may be missing.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        match self.value(name) {
            None | Some(Value::Null) => Some(default()),
            Some(value) => self.decode(name, value),
        }
    }

    /// An argument that has to be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        match self.value(name) {
            Some(value) => self.decode(name, value),
            None => {
                self.problems.push(format!("`{name}` is missing"));
                None
            }
        }
    }

    /// All arguments, as one value.
    pub(crate) fn all<T: DeserializeOwned>(&mut self) -> Option<T> {
        let all = std::mem::take(&mut self.arguments);
        let all = self.decode("", Value::Object(all));
        all.filter(|_| self.problems.is_empty())
    }

    fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.arguments.remove(name)
    }

    fn decode<T: DeserializeOwned>(&mut self, name: &str, value: Value) -> Option<T> {
        let text = match &value {
            Value::String(text) if self.are_texts => Some(text.clone()),
            _ => None,
        };
        match serde_path_to_error::deserialize(value) {
            Ok(value) => Some(value),
            Err(error) => {
                let of_text = text.and_then(|text| serde_json::from_str(&text).ok());
                if of_text.is_some() {
                    return of_text;
                }
                let path = error.path().to_string();
                let place = match (name, path.as_str()) {
                    (name, ".") => name.to_owned(),
                    ("", path) => path.to_owned(),
                    (name, path) if path.starts_with('[') => format!("{name}{path}"),
                    (name, path) => format!("{name}.{path}"),
                };
                let error = error.into_inner();
                self.problems.push(if place.is_empty() {
                    error.to_string()
                } else {
                    format!("`{place}`: {error}")
                });
                None
            }
        }
    }

    /// Whether anything is wrong, once every argument has been taken.
    pub fn is_refused(&mut self) -> bool {
        let (known, noun) = (list(&self.known), self.noun);
        for (name, _) in std::mem::take(&mut self.arguments) {
            self.problems.push(unknown_argument(&name, &known, noun));
        }
        !self.problems.is_empty()
    }

    /// The outcome of a call with invalid arguments.
    #[expect(clippy::missing_errors_doc, reason = "it is the error")]
    pub fn refused(&mut self) -> ToolOutcome {
        let problems = std::mem::take(&mut self.problems).join("; ");
        let text = format!("invalid arguments: {problems}");
        Err(ToolFailure::new(ToolFailureKind::Arguments, text))
    }
}

fn unknown_argument(name: &str, known: &str, noun: &str) -> String {
    match known {
        "" => format!("unknown argument `{name}`; the {noun} takes none"),
        known => format!("unknown argument `{name}`; the {noun} takes {known}"),
    }
}

/// Names in backticks, with commas.
pub(crate) fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The text of a rejection.
fn said(rejection: &Response) -> String {
    let body = rejection.body().unwrap_or_default();
    let text = |body: &Value| {
        let part = |key: &str| body.get(key)?.as_str().map(ToOwned::to_owned);
        match (part("error")?, part("details")) {
            (error, Some(details)) => Some(format!("{error}: {details}")),
            (error, None) => Some(error),
        }
    };
    serde_json::from_slice(body)
        .ok()
        .and_then(|body| text(&body))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}
