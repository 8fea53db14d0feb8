//! The path that all expansions use.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;
use syn::spanned::Spanned;

/// `::agentcore::__private`, or `__private` of the crate in `crate = ..`.
///
/// It precedes every name in an expansion that is not the user's.
#[derive(Clone)]
pub(crate) struct Private {
    root: Option<Path>,
    span: Span,
}

impl Private {
    pub(crate) fn new(root: Option<Path>) -> Self {
        // Every token points at the user's path. If the path does not lead to `agentcore`, rustc reports it there, once: it
        // merges equal messages at one place.
        let span = root.as_ref().map_or_else(Span::mixed_site, |root| {
            Span::mixed_site().located_at(root.span())
        });
        Self { root, span }
    }

    /// A copy of the path whose tokens point at `span`.
    pub(crate) fn at(&self, span: Span) -> Self {
        Self {
            span,
            ..self.clone()
        }
    }
}

impl ToTokens for Private {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let span = self.span;
        tokens.extend(match &self.root {
            Some(root) => quote_spanned!(span=> #root::__private),
            None => quote_spanned!(span=> ::agentcore::__private),
        });
    }
}
