//! Code for the arguments of all handlers and hooks.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;

use crate::model::{Argument, Range};
use crate::paths::Private;

/// The variables of the arguments' values, and the list of arguments in the call.
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

/// An expression that carries the type of an argument. rustc underlines it as that type.
pub(super) fn probe(private: &Private, ty: &Type) -> TokenStream {
    let Range { start, end } = Range::of(ty);
    let here = private.at(start);
    let begin = quote_spanned!(start=> #here::Probe::<#ty);
    let end = quote_spanned!(end=> >::NEW);
    quote!(#begin #end)
}

/// The code for the arguments of a hook or ping handler.
pub(super) struct HookArguments {
    /// Statements for the body of `requires`, which name what the arguments need from the app.
    pub(super) requires: TokenStream,
    /// Statements for the beginning of the `async` block in `call`, which make the arguments.
    pub(super) take: TokenStream,
    /// The list of arguments in the call.
    pub(super) values: TokenStream,
}

/// `requirements` and `call` are the parameters of the adapter's methods; `bound` is the trait of the arguments.
pub(super) fn of_hook(
    private: &Private,
    arguments: &[Argument<'_>],
    requirements: &Ident,
    call: &Ident,
    bound: &str,
) -> HookArguments {
    let site = Span::mixed_site();
    let (names, values) = values(arguments);
    // At the type: rustc reports both uses of the bound there, and shows equal messages once.
    let bounded = |ty: &Type| {
        let Range { start, end } = Range::of(ty);
        let here = private.at(start);
        let bound = Ident::new(bound, end);
        quote_spanned!(start=> <#ty as #here::#bound>)
    };
    let requires = arguments.iter().map(|Argument { cfgs, ty, .. }| {
        let bounded = bounded(ty);
        quote_spanned!(site=> #(#cfgs)* #bounded::__agentcore_requires(#requirements);)
    });
    let take = names
        .iter()
        .zip(arguments)
        .map(|(name, Argument { cfgs, ty, .. })| {
            let bounded = bounded(ty);
            quote_spanned! {site=>
                #(#cfgs)*
                let #name = match #bounded::__agentcore_take(&#call) {
                    #private::Ok(value) => value,
                    #private::Err(error) => return #private::Err(error),
                };
            }
        });
    HookArguments {
        requires: quote!(#(#requires)*),
        take: quote_spanned!(site=> #(#take)* #private::drop(#call);),
        values,
    }
}

/// Stops the compilation with `message`, at `range`.
pub(super) fn compile_panic(private: &Private, range: Range, message: &str) -> TokenStream {
    let Range { start, end } = range;
    let here = private.at(start);
    let panic = quote_spanned!(start=> #here::core::panic!);
    // The message is no format string: a type may contain braces.
    let arguments = quote_spanned!(end=> ("{}", #message));
    quote!(#panic #arguments)
}
