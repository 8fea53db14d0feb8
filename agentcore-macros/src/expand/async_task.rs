//! `#[async_task]`: the function, with a guard that is taken when it is called.
//!
//! ```text
//! async fn job(mut a: A, (b, _): B) -> T { body }
//! ```
//! becomes
//! ```text
//! fn job(a: A, __agentcore_arg1: B) -> impl Future<Output = T> {
//!     const _: () = { /* registration */ };
//!     let guard = track("job");
//!     let future = async move {
//!         let mut a = a;
//!         let __agentcore_arg1 = __agentcore_arg1;
//!         let (b, _) = __agentcore_arg1;
//!         { if false { return never::<T>(); }; body }
//!     };
//!     tracked(guard, future).with_error_text(/* found out from `T` */)
//! }
//! ```
//!
//! which equals the `async fn` in everything but the guard:
//! - The future borrows what the arguments borrow: these tokens are of edition 2024, where `impl Future` captures all lifetimes,
//!   even in a crate of an older edition. Its bounds mention the lifetimes that the arguments show: see [`lifetimes`].
//! - Arguments live in the block, unused ones too. They are dropped in the order of an `async fn`. The guard, which `tracked`
//!   keeps beside the block, is dropped after them.
//! - The body keeps its braces, and so the rules of the user's edition for temporaries in the last expression. The unreachable
//!   `return` makes the braces necessary, and gives inference the type.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Pat, PatIdent, ReturnType, Signature, Type};

use super::lifetimes;
use super::register::{duration, meta, submit};
use crate::item::AnnotatedFn;
use crate::model::{AsyncTask, Parameter, Range};

pub(super) fn expand(model: &AsyncTask<'_>) -> TokenStream {
    let AsyncTask {
        private,
        name,
        item,
        body,
        ..
    } = model;
    let site = Span::mixed_site();

    // Inner attributes become outer ones, because the body is no longer the function's own block.
    let (attrs, vis, sig) = (&item.attrs, &item.vis, signature(model));
    let inner_attrs = body.attrs.iter().map(|attr| {
        let (pound, meta) = (&attr.pound_token, &attr.meta);
        quote!(#pound [#meta])
    });
    let meta = meta(private, name, &sig.ident);
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::TaskDef::new(#meta)),
    );
    let future = future(model);

    quote_spanned! {site=>
        #(#attrs)*
        #(#inner_attrs)*
        #vis #sig {
            const _: () = {
                #registration
            };
            let __agentcore_guard = #private::track(#name);
            let __agentcore_future = #future;
            // In a separate block: the user's body must not see these methods.
            let __agentcore_error_text = {
                use #private::probes::*;
                (&&&#private::Probe::of_output(&__agentcore_future)).__agentcore_error_text()
            };
            #private::tracked(__agentcore_guard, __agentcore_future)
                .with_error_text(__agentcore_error_text)
        }
    }
}

/// `fn job(a: A) -> impl Future<Output = T>`, where every parameter has a name.
fn signature(model: &AsyncTask<'_>) -> Signature {
    let AsyncTask {
        private,
        item,
        output,
        ..
    } = model;
    let mut sig = item.sig.clone();
    sig.asyncness = None;
    // The span is the return type, or the end of the arguments where it would be. rustc offers to add bounds to an `impl Trait`,
    // and would otherwise add them to the attribute.
    let (arrow, Range { start, end }) = match &sig.output {
        ReturnType::Default => {
            let behind = sig.paren_token.span.close();
            let range = Range {
                start: behind,
                end: behind,
            };
            (<syn::Token![->]>::default(), range)
        }
        ReturnType::Type(arrow, ty) => (*arrow, Range::of(ty)),
    };
    let typed = sig.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    for (typed, parameter) in typed.zip(&model.parameters) {
        typed.attrs = parameter.signature_attrs.iter().copied().cloned().collect();
        *typed.pat = Pat::Ident(PatIdent {
            attrs: Vec::new(),
            by_ref: None,
            mutability: None,
            ident: parameter.ident.clone(),
            subpat: None,
        });
    }

    let captured = lifetimes::name_all(&mut sig);
    let site = Span::mixed_site();
    let begin = quote_spanned!(site.located_at(start)=> impl #private::Future<Output = #output);
    let end = quote_spanned!(site.located_at(end)=> > #(+ #private::Captures<#captured>)*);
    sig.output = ReturnType::Type(arrow, Box::new(Type::Verbatim(quote!(#begin #end))));
    sig
}

/// The `async` block that owns the arguments, with the time limit if there is one.
fn future(model: &AsyncTask<'_>) -> TokenStream {
    let AsyncTask { private, body, .. } = model;
    // With this span, rustc's hints about a type mismatch in the last expression point into the body.
    let site = Span::mixed_site().located_at(body.brace.span.join());

    let receiver = model
        .receiver
        .map(|this| quote_spanned!(site=> let _ = &#this;));
    let bindings = model.parameters.iter().map(binding);
    let type_hint = type_hint(model);
    let statements = &body.statements;
    let mut block = TokenStream::new();
    body.brace.surround(&mut block, |tokens| {
        tokens.extend(quote!(#type_hint #statements));
    });

    let future = quote_spanned! {site=>
        async move {
            #receiver
            #(#bindings)*
            #block
        }
    };
    match model.timeout {
        None => future,
        Some(limit) => {
            let limit = duration(private, limit);
            let late = late(model);
            quote_spanned! {Span::mixed_site()=>
                #private::time_limited(#limit, #late, #future)
            }
        }
    }
}

/// An expression that makes the task's result when its time is up.
///
/// The conversion has the span of the error's type. The check that the result has one has the span of the whole type. So rustc
/// underlines what has to change.
fn late(model: &AsyncTask<'_>) -> TokenStream {
    let AsyncTask {
        private,
        item,
        erased_output,
        error: Range { start, end },
        ..
    } = model;
    let here = private.at(*start);
    let trait_ = quote_spanned!(*start=> #here::FromTimedOut);
    let convert = quote_spanned!(*end=> #trait_::from_timed_out);
    let Range { start, end } = returned(item);
    let here = private.at(start);
    let callee = quote_spanned!(start=> #here::timed_out::<#erased_output, _>);
    quote_spanned!(end=> #callee(#convert))
}

/// The range of the return type, or of the place where it would be.
fn returned(item: &AnnotatedFn) -> Range {
    match &item.sig.output {
        ReturnType::Default => Range::of(&item.sig.ident),
        ReturnType::Type(_, ty) => Range::of(ty),
    }
}

/// Fixes the type of the result before the body is checked. `async` blocks have no syntax for it.
fn type_hint(model: &AsyncTask<'_>) -> TokenStream {
    let AsyncTask {
        private,
        item,
        erased_output,
        ..
    } = model;
    // rustc quotes this expression as the place where the type was fixed, so it has the span of the return type.
    let Range { start, end } = returned(item);
    let private = private.at(start);
    let callee = quote_spanned!(start=> #private::never::<#erased_output>);
    let value = quote_spanned!(end=> #callee());
    quote_spanned! {Span::mixed_site()=>
        if false {
            return #value;
        };
    }
}

/// Moves a parameter into the block, as an `async fn` does. A name keeps its name. Any other pattern is bound from a variable,
/// which keeps the parts that the pattern does not take.
pub(super) fn binding(parameter: &Parameter<'_>) -> TokenStream {
    let Parameter {
        cfgs,
        lints,
        ident,
        pat,
        is_name,
        ..
    } = parameter;
    let site = Span::mixed_site();
    let whole = (!is_name).then(|| quote_spanned!(site=> #(#cfgs)* let #ident = #ident;));
    quote_spanned! {site=>
        #whole
        #(#cfgs)*
        #(#lints)*
        let #pat = #ident;
    }
}
