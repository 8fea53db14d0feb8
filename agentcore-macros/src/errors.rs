//! The sink that every check reports to, so that one compilation shows every mistake.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::Error;

/// The mistakes found in one annotated item.
pub(crate) struct Errors {
    found: Vec<Error>,
    /// The legal shape of the item, until a message has shown it.
    shape: Option<&'static str>,
    left_to_rustc: bool,
}

impl Errors {
    /// A sink for an item whose legal shape is `shape`.
    pub(crate) fn new(shape: &'static str) -> Self {
        Self {
            found: Vec::new(),
            shape: Some(shape),
            left_to_rustc: false,
        }
    }

    /// A mistake that underlines all of `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.found.push(Error::new_spanned(tokens, message));
    }

    /// A mistake at one place; for tokens that are gone, or delimiters.
    pub(crate) fn push_at(&mut self, span: Span, message: impl Display) {
        self.found.push(Error::new(span, message));
    }

    /// A mistake in the shape of the item. The first one also shows the legal shape.
    ///
    /// The shape is part of that message rather than an error of its own, so that one mistake stays one error.
    pub(crate) fn push_shape(&mut self, tokens: impl ToTokens, message: impl Display) {
        let help = self.help();
        self.push(tokens, format_args!("{message}{help}"));
    }

    /// Like [`push_shape`](Self::push_shape), at one place.
    pub(crate) fn push_shape_at(&mut self, span: Span, message: impl Display) {
        let help = self.help();
        self.push_at(span, format_args!("{message}{help}"));
    }

    /// What `syn` had to say.
    pub(crate) fn absorb(&mut self, error: Error) {
        self.found.push(error);
    }

    /// A mistake in plain Rust, which rustc reports wherever it finds it. An expansion would repeat it.
    pub(crate) fn leave_to_rustc(&mut self) {
        self.left_to_rustc = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.left_to_rustc
    }

    /// One `compile_error!` for each mistake, in the order in which they were found.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.found
            .into_iter()
            .map(Error::into_compile_error)
            .collect()
    }

    fn help(&mut self) -> String {
        self.shape
            .take()
            .map(|shape| format!("\n\nhelp: the expected shape is\n\n{shape}\n"))
            .unwrap_or_default()
    }
}
