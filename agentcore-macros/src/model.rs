//! Annotated functions that have passed every check, as expansion needs them.
//!
//! Only [`validate`](crate::validate) makes these, so expansion checks nothing.

use std::time::Duration;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{Attribute, Expr, Ident, LitStr, Pat, Token, Type};

use crate::args::{Hints, TaskMode};
use crate::item::{AnnotatedFn, Body};
use crate::paths::Private;

/// What every annotated function has.
pub(crate) struct Function<'a> {
    pub(crate) private: Private,
    /// The function's conditions, for all items that are emitted beside it.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) ident: &'a Ident,
    pub(crate) is_async: bool,
    /// The name it is registered under.
    pub(crate) name: String,
    pub(crate) output: Output,
}

/// What a function returns.
pub(crate) struct Output {
    /// The range for messages about the value: `T` of a `Result<T, E>`, or the whole type.
    pub(crate) value: Range,
    /// The range for messages about the error: `E` of a `Result<T, E>`, or the whole type.
    pub(crate) error: Range,
}

/// From the first to the last token of some syntax.
///
/// `Span::join` is not stable. To underline a whole type, an expansion needs a token at its first span and one at its last.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) start: Span,
    pub(crate) end: Span,
}

impl Range {
    pub(crate) fn of(tokens: impl ToTokens) -> Self {
        let mut spans = tokens
            .into_token_stream()
            .into_iter()
            .map(|token| token.span());
        let start = spans.next().unwrap_or_else(Span::call_site);
        Self {
            start,
            end: spans.last().unwrap_or(start),
        }
    }
}

pub(crate) struct Entrypoint<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) cancel_on_disconnect: bool,
    /// Where the attribute asks for schemas.
    pub(crate) schema: Option<Ident>,
    pub(crate) main: Main,
}

/// The `fn main` to generate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Main {
    None,
    WithFlags,
    /// A `main` that leaves all arguments to the program.
    WithoutFlags,
}

/// An argument of a handler or a hook: the payload, something from the request, or shared state.
pub(crate) struct Argument<'a> {
    /// Its `#[cfg(..)]` and `#[cfg_attr(..)]`, to repeat wherever the expansion uses the argument.
    pub(crate) cfgs: Vec<&'a Attribute>,
    pub(crate) ty: &'a Type,
    /// The type, for messages.
    pub(crate) text: String,
}

pub(crate) struct AsyncTask<'a> {
    pub(crate) private: Private,
    pub(crate) name: String,
    pub(crate) item: &'a AnnotatedFn,
    /// The item's body. An item without one has been rejected.
    pub(crate) body: &'a Body,
    pub(crate) receiver: Option<&'a Token![self]>,
    /// All parameters but the receiver.
    pub(crate) parameters: Vec<Parameter<'a>>,
    /// The output of the future; `()` is spelled out.
    pub(crate) output: Type,
    /// That type with `_` in place of every `impl Trait`.
    pub(crate) erased_output: Type,
    /// The range for the message that the error type has no conversion from `TimedOut`.
    pub(crate) error: Range,
    pub(crate) timeout: Option<Duration>,
}

/// A durable task. Its calls make jobs.
pub(crate) struct DurableTask<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) item: &'a AnnotatedFn,
    /// The item's body, which is there.
    pub(crate) body: &'a Body,
    pub(crate) parameters: Vec<DurableParameter<'a>>,
    /// The declared type.
    pub(crate) output: &'a Type,
    pub(crate) attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) concurrency: Option<u32>,
}

/// A parameter of a durable task.
pub(crate) struct DurableParameter<'a> {
    pub(crate) cfgs: Vec<&'a Attribute>,
    /// All attributes but the lints.
    pub(crate) attrs: Vec<&'a Attribute>,
    pub(crate) ty: &'a Type,
    /// The name that callers see and that the argument is stored under; `None` for an argument that the run provides.
    pub(crate) stored: Option<&'a Ident>,
}

/// A step: the results of the function are recorded.
pub(crate) struct Step<'a> {
    pub(crate) private: Private,
    pub(crate) name: String,
    pub(crate) item: &'a AnnotatedFn,
    /// The item's body, which is there.
    pub(crate) body: &'a Body,
    pub(crate) parameters: Vec<StepParameter<'a>>,
    /// The declared type.
    pub(crate) output: Type,
    /// That type with `_` in place of every `impl Trait`.
    pub(crate) erased_output: Type,
    pub(crate) value: Range,
}

/// A parameter of a step.
pub(crate) struct StepParameter<'a> {
    pub(crate) parameter: Parameter<'a>,
    pub(crate) ty: &'a Type,
    /// Whether its value is a part of the name that the step is recorded under.
    pub(crate) is_key: bool,
}

/// A parameter of a task, split into the caller's part and the body's part.
pub(crate) struct Parameter<'a> {
    /// All attributes but lints.
    pub(crate) signature_attrs: Vec<&'a Attribute>,
    /// Its `#[cfg(..)]` and `#[cfg_attr(..)]`, for all code that uses the parameter in the body.
    pub(crate) cfgs: Vec<&'a Attribute>,
    /// `#[allow(..)]` and other lint levels, for the pattern: they are about unused variables.
    pub(crate) lints: Vec<&'a Attribute>,
    /// The name in the signature.
    pub(crate) ident: Ident,
    /// The pattern as the user wrote it.
    pub(crate) pat: &'a Pat,
    /// Whether the pattern is only a name, perhaps with `mut`.
    pub(crate) is_name: bool,
}

pub(crate) struct Ping<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
}

pub(crate) struct WebSocket<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    /// The range for the message that no argument is the socket.
    pub(crate) inputs: Range,
}

pub(crate) struct OnStart<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    /// The declared type; `()` is spelled out.
    pub(crate) output: Type,
    pub(crate) timeout: Option<Duration>,
}

/// A hook that makes nothing: `#[on_shutdown]`, `#[on_warmup]` or `#[on_restore]`.
pub(crate) struct Hook<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) timeout: Option<Duration>,
}

pub(crate) struct Routes<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) port: Option<u16>,
    pub(crate) idle: Vec<String>,
    pub(crate) timeout: Option<Duration>,
}

/// What a function offers to clients of the Model Context Protocol.
pub(crate) enum Offer {
    Tool,
    Resource {
        uri: LitStr,
        /// The names in braces.
        variables: Vec<String>,
        mime_type: Option<String>,
    },
    Prompt,
}

/// A tool, a resource or a prompt.
pub(crate) struct Tool<'a> {
    pub(crate) offer: Offer,
    pub(crate) function: Function<'a>,
    pub(crate) parameters: Vec<ToolParameter<'a>>,
    pub(crate) title: Option<String>,
    /// The doc comment; empty where there is none.
    pub(crate) description: String,
    pub(crate) hints: Hints,
    pub(crate) timeout: Option<Duration>,
    pub(crate) task: TaskMode,
    pub(crate) schema_file: Option<LitStr>,
}

impl<'a> Tool<'a> {
    /// All arguments of the function.
    pub(crate) fn arguments(&self) -> Vec<&Argument<'a>> {
        let parameters = self.parameters.iter();
        parameters.map(|parameter| &parameter.argument).collect()
    }
}

/// A parameter of a tool: an argument of the input schema, or an extractor.
pub(crate) struct ToolParameter<'a> {
    pub(crate) argument: Argument<'a>,
    /// `None` for a pattern, which only an extractor may be.
    pub(crate) name: Option<&'a Ident>,
    /// The doc comment; empty where there is none.
    pub(crate) description: String,
    pub(crate) default: Option<DefaultValue>,
}

/// `#[default]` or `#[default(expression)]`.
pub(crate) struct DefaultValue {
    /// Of the attribute's name.
    pub(crate) range: Range,
    /// `None` for the default of the type.
    pub(crate) value: Option<Expr>,
}
