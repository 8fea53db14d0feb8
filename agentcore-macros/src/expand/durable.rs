//! `#[async_task(durable)]`: a function that makes a job of its arguments, and the code that runs such a job.
//!
//! ```text
//! async fn job(a: A, state: State<S>) -> Result<T, E> { body }
//! ```
//! becomes
//! ```text
//! fn job(a: A) -> Durable<T> {
//!     async fn __agentcore_task(a: A, state: State<S>) -> Result<T, E> { body }
//!     enum __AgentcoreDurable {}
//!     impl DurableTask for __AgentcoreDurable { /* makes the arguments, calls the function, stores its result */ }
//!     const DEF: DurableDef = /* name and limits */;
//!     const _: () = { /* registration */ };
//!     let mut arguments = Arguments::new();
//!     arguments.store("a", &a);
//!     durable(DEF, arguments)
//! }
//! ```
//!
//! The caller passes the stored arguments. An argument that the run provides is recognised by the name of its type, because a
//! signature cannot depend on types. A bound then checks that the type is the one with that name.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Attribute;
use syn::ext::IdentExt as _;

use super::register::{duration, meta, submit};
use super::reply::blamed;
use crate::model::{DurableParameter, DurableTask, Function, Range};

pub(super) fn expand(model: &DurableTask<'_>) -> TokenStream {
    let DurableTask {
        function,
        item,
        parameters,
        ..
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();

    let (attrs, vis, ident) = (&item.attrs, &item.vis, &item.sig.ident);
    let passed = parameters.iter().filter_map(|parameter| {
        let DurableParameter { attrs, ty, .. } = parameter;
        let name = parameter.stored?;
        Some(quote!(#(#attrs)* #name: #ty))
    });
    let value = projection(model, "Value");
    let Range { start, end } = Range::of(model.output);
    let here = private.at(start);
    let begin = quote_spanned!(start=> #here::Durable<#value);
    let end = quote_spanned!(end=> >);
    let output = quote!(#begin #end);

    let task = Ident::new("__agentcore_task", site);
    let inner = inner(model, &task);
    let adapter = adapter(model, &task);
    let definition = definition(model);
    let registration = submit(private, &quote_spanned!(site=> __AGENTCORE_DURABLE));

    let arguments = Ident::new("__agentcore_arguments", site);
    let stores = parameters.iter().filter_map(|parameter| {
        let DurableParameter { cfgs, .. } = parameter;
        let name = parameter.stored?;
        let text = name.unraw().to_string();
        let stored = stored_bound(function, parameter);
        Some(quote_spanned! {site=>
            #(#cfgs)*
            #stored::__agentcore_store(&#name, #text, &mut #arguments);
        })
    });
    // A parameter may be absent by its `cfg`.
    let mutable = parameters
        .iter()
        .any(|parameter| parameter.stored.is_some())
        .then(|| quote_spanned!(site=> #[allow(unused_mut)]));

    quote_spanned! {site=>
        #(#attrs)*
        #vis fn #ident(#(#passed),*) -> #output {
            #inner
            enum __AgentcoreDurable {}
            #adapter
            const __AGENTCORE_DURABLE: #private::DurableDef = #definition;
            const _: () = {
                #registration
            };
            #mutable
            let mut #arguments = #private::Arguments::new();
            #(#stores)*
            #private::durable(__AGENTCORE_DURABLE, #arguments)
        }
    }
}

/// The function as it is written, under a hidden name. In its body the task's own name still makes a job.
fn inner(model: &DurableTask<'_>, task: &Ident) -> TokenStream {
    let DurableTask { item, body, .. } = model;
    let lints = item.attrs.iter().filter(|attr| is_lint(attr));
    let mut sig = item.sig.clone();
    sig.ident = task.clone();
    sig.ident
        .set_span(Span::mixed_site().located_at(item.sig.ident.span()));
    quote!(#(#lints)* #sig #body)
}

fn is_lint(attr: &Attribute) -> bool {
    ["allow", "expect", "warn", "deny", "forbid"]
        .iter()
        .any(|level| attr.path().is_ident(level))
}

/// The adapter that runs a job: it makes the arguments, calls the function and encodes the result.
fn adapter(model: &DurableTask<'_>, task: &Ident) -> TokenStream {
    let DurableTask {
        function,
        parameters,
        ..
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let requirements = Ident::new("__agentcore_requirements", site);
    let run = Ident::new("__agentcore_run", site);

    let names: Vec<Ident> = (0..parameters.len())
        .map(|i| format_ident!("__agentcore_arg{i}", span = site))
        .collect();
    let requires = parameters
        .iter()
        .filter(|parameter| parameter.stored.is_none());
    let requires = requires.map(|parameter| {
        let cfgs = &parameter.cfgs;
        let bound = run_bound(function, parameter);
        quote_spanned!(site=> #(#cfgs)* #bound::__agentcore_requires(#requirements);)
    });
    let take = names.iter().zip(parameters).map(|(name, parameter)| {
        let cfgs = &parameter.cfgs;
        let taken = match parameter.stored {
            Some(stored) => {
                let text = stored.unraw().to_string();
                let bound = stored_bound(function, parameter);
                quote_spanned!(site=> #bound::__agentcore_take(&mut #run, #text))
            }
            None => {
                let bound = run_bound(function, parameter);
                quote_spanned!(site=> #bound::__agentcore_take(&mut #run))
            }
        };
        quote_spanned! {site=>
            #(#cfgs)*
            let #name = match #taken {
                #private::Ok(value) => value,
                #private::Err(failure) => return #private::Err(failure),
            };
        }
    });
    let passed = names.iter().zip(parameters).map(|(name, parameter)| {
        let cfgs = &parameter.cfgs;
        quote!(#(#cfgs)* #name)
    });

    let here = function.ident.span();
    let at = private.at(here);
    let mut callee = task.clone();
    callee.set_span(site.located_at(here));
    let call = quote_spanned! {here=>
        #at::durable_task_future_must_be_send(#callee(#(#passed),*)).await
    };
    let into_result = projection(model, "__agentcore_into_result");
    let (value, bind_value) = blamed("__agentcore_value", function.output.value);
    let (error, bind_error) = blamed("__agentcore_error", function.output.error);
    let store = on_range(
        function,
        function.output.value,
        "StoredValue",
        "__agentcore_encode",
    );
    let failed = on_range(
        function,
        function.output.error,
        "TaskFailure",
        "__agentcore_failure",
    );

    quote_spanned! {site=>
        impl #private::DurableTask for __AgentcoreDurable {
            fn requires(#requirements: &mut #private::Requirements) {
                let _ = &#requirements;
                #(#requires)*
            }

            fn run(
                mut #run: #private::DurableRun,
            ) -> impl #private::Future<
                Output = #private::Result<#private::Encoded, #private::RunFailure>,
            > + #private::Send + 'static {
                async move {
                    let _ = &mut #run;
                    #(#take)*
                    #private::drop(#run);
                    match #into_result(#call) {
                        #private::Ok(value) => {
                            let #bind_value = (value,);
                            #store(#value)
                        }
                        #private::Err(error) => {
                            let #bind_error = (error,);
                            #private::Err(#failed(#error))
                        }
                    }
                }
            }
        }
    }
}

/// `Trait::function`, all of it at `range`.
fn on_range(function: &Function<'_>, range: Range, name: &str, method: &str) -> TokenStream {
    let Range { start, end } = range;
    let here = function.private.at(start);
    let name = Ident::new(name, start);
    let method = Ident::new(method, end);
    let begin = quote_spanned!(start=> #here::#name);
    let end = quote_spanned!(end=> ::#method);
    quote!(#begin #end)
}

/// `<Output as DurableOutput>::item`, all of it at the return type.
fn projection(model: &DurableTask<'_>, item: &str) -> TokenStream {
    let output = model.output;
    let Range { start, end } = Range::of(output);
    let here = model.function.private.at(start);
    let item = Ident::new(item, end);
    let begin = quote_spanned!(start=> <#output as #here::DurableOutput>);
    let end = quote_spanned!(end=> ::#item);
    quote!(#begin #end)
}

/// `<Type as StoredArgument>`, at the type.
fn stored_bound(function: &Function<'_>, parameter: &DurableParameter<'_>) -> TokenStream {
    bound(function, parameter, "StoredArgument")
}

/// `<Type as RunArgument>`, at the type.
fn run_bound(function: &Function<'_>, parameter: &DurableParameter<'_>) -> TokenStream {
    bound(function, parameter, "RunArgument")
}

fn bound(function: &Function<'_>, parameter: &DurableParameter<'_>, name: &str) -> TokenStream {
    let ty = parameter.ty;
    let Range { start, end } = Range::of(ty);
    let here = function.private.at(start);
    let name = Ident::new(name, end);
    quote_spanned!(start=> <#ty as #here::#name>)
}

/// The definition of the task with its limits, as a constant expression.
fn definition(model: &DurableTask<'_>) -> TokenStream {
    let DurableTask { function, .. } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let meta = meta(private, &function.name, function.ident);
    let attempts = model.attempts.map(|attempts| {
        let attempts = Literal::u32_unsuffixed(attempts);
        quote_spanned!(site=> .attempts(#attempts))
    });
    let timeout = model.timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let deadline = model.deadline.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .deadline(#limit))
    });
    let concurrency = model.concurrency.map(|most| {
        let most = Literal::u32_unsuffixed(most);
        quote_spanned!(site=> .concurrency(#most))
    });
    quote_spanned! {site=>
        #private::DurableDef::new::<__AgentcoreDurable>(#meta) #attempts #timeout #deadline #concurrency
    }
}
