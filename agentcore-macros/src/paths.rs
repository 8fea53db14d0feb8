//! The one path that expansions start from.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;
use syn::spanned::Spanned;

/// `::agentcore::__private`, or the same in the crate that `crate = ..` names.
///
/// Interpolate it in front of everything that an expansion names and that is not the user's.
#[derive(Clone)]
pub(crate) struct Private {
    root: Option<Path>,
    span: Span,
}

impl Private {
    pub(crate) fn new(root: Option<Path>) -> Self {
        // All of it at the user's path: if that does not lead to `agentcore`, this is where rustc says so. Equal
        // messages at equal places are shown once.
        let span = root.as_ref().map_or_else(Span::mixed_site, |root| {
            Span::mixed_site().located_at(root.span())
        });
        Self { root, span }
    }

    /// The same path, written at `span`.
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
