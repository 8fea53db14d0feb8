//! `#[step]`: the function with its body in a step, under a name that is made of the arguments.
//!
//! ```text
//! async fn fetch(url: &str, state: State<S>) -> Result<T, E> { body }
//! ```
//! becomes
//! ```text
//! async fn fetch(url: &str, state: State<S>) -> Result<T, E> {
//!     let mut key = StepKey::new("fetch");
//!     key.argument(&url);
//!     step(key, async move || { body }).await
//! }
//! ```

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Pat, PatIdent};

use super::async_task::binding;
use crate::model::{Parameter, Range, Step, StepParameter};

pub(super) fn expand(model: &Step<'_>) -> TokenStream {
    let Step {
        private,
        name,
        item,
        body,
        parameters,
        erased_output,
        output,
        value,
    } = model;
    let site = Span::mixed_site();
    let (attrs, vis) = (&item.attrs, &item.vis);
    let inner_attrs = body.attrs.iter().map(|attr| {
        let (pound, meta) = (&attr.pound_token, &attr.meta);
        quote!(#pound [#meta])
    });

    let mut sig = item.sig.clone();
    let typed = sig.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (typed, StepParameter { parameter, .. }) in typed.zip(parameters) {
        typed.attrs = parameter.signature_attrs.iter().copied().cloned().collect();
        *typed.pat = Pat::Ident(PatIdent {
            attrs: Vec::new(),
            by_ref: None,
            mutability: None,
            ident: parameter.ident.clone(),
            subpat: None,
        });
    }

    let key = Ident::new("__agentcore_key", site);
    let arguments = parameters.iter().filter(|parameter| parameter.is_key);
    let arguments = arguments.map(|StepParameter { parameter, ty, .. }| {
        let Parameter { cfgs, ident, .. } = parameter;
        let Range { start, end } = Range::of(ty);
        let here = private.at(start);
        let callee = quote_spanned!(start=> #here::StepArgument::__agentcore_add);
        let value = quote_spanned!(end=> (&#ident, &mut #key));
        quote_spanned!(site=> #(#cfgs)* #callee #value;)
    });
    let bindings = parameters
        .iter()
        .map(|parameter| binding(&parameter.parameter));

    let Range { start, end } = Range::of(output);
    let here = private.at(start);
    let callee = quote_spanned!(start=> #here::never::<#erased_output>);
    let never = quote_spanned!(end=> #callee());
    let statements = &body.statements;
    let mut block = TokenStream::new();
    body.brace.surround(&mut block, |tokens| {
        tokens.extend(quote_spanned!(site=> if false { return #never; };));
        tokens.extend(statements.clone());
    });
    let Range { start, end } = *value;
    let here = private.at(start);
    let run = quote_spanned!(start=> #here::keyed_step);
    let future = Ident::new("__agentcore_body", site);
    let call = quote_spanned!(end=> (#key, #future));

    // Nothing is added to the key of a step without arguments.
    quote_spanned! {site=>
        #(#attrs)*
        #(#inner_attrs)*
        #vis #sig {
            #[allow(unused_mut)]
            let mut #key = #private::StepKey::new(#name);
            #(#arguments)*
            let #future = async move {
                #(#bindings)*
                #block
            };
            #run #call.await
        }
    }
}
