//! What handlers that take arguments have in common.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;

use crate::model::{Argument, Range};
use crate::paths::Private;

/// The names that the arguments' values are bound to, and the list to call the function with.
pub(super) fn values(arguments: &[Argument<'_>]) -> (Vec<Ident>, TokenStream) {
    let names: Vec<_> = (0..arguments.len())
        .map(|i| format_ident!("__agentcore_arg{i}", span = Span::mixed_site()))
        .collect();
    let passed = names
        .iter()
        .zip(arguments)
        .map(|(name, Argument { cfgs, .. })| quote!(#(#cfgs)* #name));
    let list = quote!(#(#passed),*);
    (names, list)
}

/// An expression that tells the type of an argument, and that rustc underlines as that type.
pub(super) fn probe(private: &Private, ty: &Type) -> TokenStream {
    let Range { start, end } = Range::of(ty);
    let here = private.at(start);
    let begin = quote_spanned!(start=> #here::Probe::<#ty);
    let end = quote_spanned!(end=> >::NEW);
    quote!(#begin #end)
}

/// The end of a compilation with `message`, all of it at `range`.
pub(super) fn compile_panic(private: &Private, range: Range, message: &str) -> TokenStream {
    let Range { start, end } = range;
    let here = private.at(start);
    let panic = quote_spanned!(start=> #here::core::panic!);
    // Not as the format string: a type may have braces.
    let arguments = quote_spanned!(end=> ("{}", #message));
    quote!(#panic #arguments)
}
