//! Annotated functions that have passed every check, as expansion needs them.
//!
//! Only [`validate`](crate::validate) makes these, so that expansion has nothing left to doubt.

use std::time::Duration;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{Attribute, Ident, Pat, Token, Type};

use crate::item::{AnnotatedFn, Body};
use crate::paths::Private;

/// What every annotated function has.
pub(crate) struct Function<'a> {
    pub(crate) private: Private,
    /// The conditions below the attribute, for all items that are emitted beside the function.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) ident: &'a Ident,
    pub(crate) is_async: bool,
    /// The name it is registered under.
    pub(crate) name: String,
    pub(crate) output: Output,
}

/// What a function returns.
pub(crate) struct Output {
    /// Blamed for the value: `T` of a `Result<T, E>`, or all of the type.
    pub(crate) value: Range,
    /// Blamed for the error: `E` of a `Result<T, E>`, or all of the type.
    pub(crate) error: Range,
}

/// From the first to the last token of some syntax.
///
/// `Span::join` is not stable. What is to underline all of a type needs a first token here and a last token there.
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
    pub(crate) main: Main,
}

/// The `fn main` to generate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Main {
    None,
    WithFlags,
    /// One that leaves all arguments to the program.
    WithoutFlags,
}

/// What a handler or a hook takes: its payload, something from the request, or shared state.
pub(crate) struct Argument<'a> {
    /// `#[cfg(..)]` and its like, to repeat wherever the argument is spoken of.
    pub(crate) cfgs: Vec<&'a Attribute>,
    pub(crate) ty: &'a Type,
    /// The type, for messages.
    pub(crate) text: String,
}

pub(crate) struct AsyncTask<'a> {
    pub(crate) private: Private,
    pub(crate) name: String,
    pub(crate) item: &'a AnnotatedFn,
    /// The item's body, which is there.
    pub(crate) body: &'a Body,
    pub(crate) receiver: Option<&'a Token![self]>,
    /// All but the receiver.
    pub(crate) parameters: Vec<Parameter<'a>>,
    /// What the future resolves to; `()` is spelled out.
    pub(crate) output: Type,
    /// That type with `_` in place of every `impl Trait`.
    pub(crate) erased_output: Type,
    /// Blamed when the error cannot tell that the time was up.
    pub(crate) error: Range,
    pub(crate) timeout: Option<Duration>,
}

/// A parameter of a task, split in what the caller sees and what the body sees.
pub(crate) struct Parameter<'a> {
    /// All attributes but the lints.
    pub(crate) signature_attrs: Vec<&'a Attribute>,
    /// `#[cfg(..)]` and its like, for everything that stands for the parameter in the body.
    pub(crate) cfgs: Vec<&'a Attribute>,
    /// `#[allow(..)]` and its like, for the pattern: they are about unused variables.
    pub(crate) lints: Vec<&'a Attribute>,
    /// The name in the signature.
    pub(crate) ident: Ident,
    /// The pattern that the body's author wrote.
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
    /// Blamed when the socket is not among the arguments.
    pub(crate) inputs: Range,
}

pub(crate) struct OnStart<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    /// The declared type; `()` is spelled out.
    pub(crate) output: Type,
    pub(crate) timeout: Option<Duration>,
}

pub(crate) struct OnShutdown<'a> {
    pub(crate) function: Function<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
}
