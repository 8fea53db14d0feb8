//! Collects the mistakes that the checks find, so that one compilation shows all of them.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, Error};

/// The mistakes found in one annotated item.
pub(crate) struct Errors {
    found: Vec<Error>,
    /// The legal shape of the item; `None` after a message has shown it.
    shape: Option<&'static str>,
    reported_elsewhere: bool,
}

impl Errors {
    /// No mistakes yet, in an item whose legal shape is `shape`.
    pub(crate) fn new(shape: &'static str) -> Self {
        Self {
            found: Vec::new(),
            shape: Some(shape),
            reported_elsewhere: false,
        }
    }

    /// Adds a mistake that underlines all of `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.found.push(Error::new_spanned(tokens, message));
    }

    /// Adds a mistake at one place; for tokens that are gone, or delimiters.
    pub(crate) fn push_at(&mut self, span: Span, message: impl Display) {
        self.found.push(Error::new(span, message));
    }

    /// Adds a mistake in the shape of the item. The first one also shows the legal shape.
    ///
    /// The shape is a part of the message and no error of its own, so that one mistake is one error.
    pub(crate) fn push_shape(&mut self, tokens: impl ToTokens, message: impl Display) {
        let help = self.help();
        self.push(tokens, format_args!("{message}{help}"));
    }

    /// Like [`push_shape`](Self::push_shape), at one place.
    pub(crate) fn push_shape_at(&mut self, span: Span, message: impl Display) {
        let help = self.help();
        self.push_at(span, format_args!("{message}{help}"));
    }

    /// Adds an error of `syn`.
    pub(crate) fn absorb(&mut self, error: Error) {
        self.found.push(error);
    }

    /// Records a mistake in plain Rust. rustc reports it in any case, and an expansion would repeat it.
    pub(crate) fn leave_to_rustc(&mut self) {
        self.reported_elsewhere = true;
    }

    /// Records a mistake that the emitted item itself reports.
    pub(crate) fn reported_in_the_item(&mut self) {
        self.reported_elsewhere = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.reported_elsewhere
    }

    /// One `compile_error!` for each mistake, in the order in which they were found, each under `cfgs`.
    pub(crate) fn into_compile_errors(self, cfgs: &[Attribute]) -> TokenStream {
        self.found
            .into_iter()
            .map(|error| {
                let error = error.into_compile_error();
                quote!(#(#cfgs)* #error)
            })
            .collect()
    }

    fn help(&mut self) -> String {
        self.shape
            .take()
            .map(|shape| format!("\n\nhelp: the expected shape is\n\n{shape}\n"))
            .unwrap_or_default()
    }
}
