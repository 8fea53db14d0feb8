//! The registration that every expansion ends with.

use std::time::Duration;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::ext::IdentExt as _;

use crate::model::Function;
use crate::paths::Private;

/// The beginning of `const NAME: () = {..};`, the scope of all items that are emitted beside the function.
///
/// The constant has a name, because in an `impl` rustc would first complain about a missing one. The name contains the
/// function's, which is in lower case, so it needs the `allow`.
pub(super) fn scope(function: &Function<'_>, role: &str) -> TokenStream {
    let site = Span::mixed_site();
    let Function { cfgs, ident, .. } = function;
    let name = format_ident!("__AGENTCORE_{role}_{}", ident.unraw(), span = site);
    quote_spanned!(site=> #(#cfgs)* #[allow(non_upper_case_globals)] const #name: () =)
}

/// Submits `descriptor`, an expression, to the registry.
///
/// It has to be in a `const _`: there `submit!` also works in the body of a function.
pub(super) fn submit(private: &Private, descriptor: &TokenStream) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> #private::inventory::submit! { #descriptor })
}

/// An expression for the name and the place of the function `ident`.
pub(super) fn meta(private: &Private, name: &str, ident: &Ident) -> TokenStream {
    // `line!()` gives the line of its own tokens. At the function's name that is the line that a reader looks for; elsewhere in
    // the expansion it would be the attribute's.
    let here = private.at(ident.span());
    let line = quote_spanned!(ident.span()=> #here::core::line!());
    quote_spanned! {Span::mixed_site()=>
        #private::Meta::new(#name, #private::core::module_path!(), #private::core::file!(), #line)
    }
}

/// An expression for the crate of the function, if the build tool names it.
pub(super) fn package(private: &Private) -> TokenStream {
    let variable = |name| quote_spanned!(Span::mixed_site()=> #private::core::option_env!(#name));
    let (name, version) = (variable("CARGO_PKG_NAME"), variable("CARGO_PKG_VERSION"));
    quote_spanned!(Span::mixed_site()=> #private::Package::new(#name, #version))
}

/// An expression for `limit`.
pub(super) fn duration(private: &Private, limit: Duration) -> TokenStream {
    let seconds = Literal::u64_unsuffixed(limit.as_secs());
    let nanoseconds = Literal::u32_unsuffixed(limit.subsec_nanos());
    quote_spanned!(Span::mixed_site()=> #private::Duration::new(#seconds, #nanoseconds))
}
