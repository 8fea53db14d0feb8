//! `#[entrypoint]`: the unchanged function, an adapter, a registration, and `main`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{compile_panic, probe, values};
use super::register::{duration, meta, package, scope, submit};
use super::reply::{called, outcome};
use super::schema;
use crate::item::AnnotatedFn;
use crate::model::{Argument, Entrypoint, Function, Main, Range};
use crate::paths::Private;

pub(super) fn expand(model: &Entrypoint<'_>, item: &AnnotatedFn) -> TokenStream {
    let adapter = adapter(model);
    let main = main(model);
    quote!(#item #adapter #main)
}

fn adapter(model: &Entrypoint<'_>) -> TokenStream {
    let Entrypoint {
        function,
        arguments,
        ..
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();

    let requirements = Ident::new("__agentcore_requirements", site);
    let invocation = Ident::new("__agentcore_invocation", site);
    let (names, values) = values(arguments);

    let requires = arguments.iter().map(|Argument { cfgs, ty, .. }| {
        quote_spanned! {site=>
            #(#cfgs)*
            (&#private::Probe::<#ty>::NEW).__agentcore_argument().__agentcore_requires::<#ty>(#requirements);
        }
    });
    let decode = names
        .iter()
        .zip(arguments)
        .map(|(name, Argument { cfgs, ty, .. })| {
            let probe = probe(private, ty);
            quote_spanned! {site=>
                #(#cfgs)*
                let #name = match (&#private::Probe::<#ty>::NEW)
                    .__agentcore_argument()
                    .__agentcore_extract(#probe, &mut #invocation)
                {
                    #private::Ok(value) => value,
                    #private::Err(rejection) => return rejection,
                };
            }
        });
    let call = called(function, &values, "entrypoint");
    let respond = outcome(
        function,
        &call,
        |value| {
            quote_spanned! {site=>
                (&&&&#private::Probe::of(&#value)).__agentcore_reply().__agentcore_respond(#value)
            }
        },
        |error| {
            quote_spanned! {site=>
                (&&&#private::Probe::of(&#error)).__agentcore_failure().__agentcore_respond(#error)
            }
        },
    );

    let description = Ident::new("__agentcore_description", site);
    let describe = schema::entrypoint(model, &description);
    let has_schemas = schema::needs_the_feature(model);
    let one_payload = one_payload(model);
    let at_the_root = at_the_root(model);
    let meta = meta(private, &function.name, function.ident);
    let package = package(private);
    let timeout = model.timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let idle_timeout = model.idle_timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .idle_timeout(#limit))
    });
    let cancel = model
        .cancel_on_disconnect
        .then(|| quote_spanned!(site=> .cancel_on_disconnect()));
    let registration = submit(
        private,
        &quote_spanned! {site=>
            #private::EntrypointDef::new::<__AgentcoreEntrypoint>(#meta, #package) #timeout #idle_timeout #cancel
        },
    );

    let scope = scope(function, "ENTRYPOINT");
    quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreEntrypoint {}

            impl #private::Entrypoint for __AgentcoreEntrypoint {
                fn requires(#requirements: &mut #private::Requirements) {
                    #(#requires)*
                }

                fn describe(#description: &mut #private::Schemas) {
                    #describe
                }

                fn call(
                    mut #invocation: #private::Invocation,
                ) -> impl #private::Future<Output = #private::Response> + #private::Send + 'static {
                    async move {
                        #(#decode)*
                        // Frees the body's memory before the handler runs.
                        #private::drop(#invocation);
                        #respond
                    }
                }
            }

            #one_payload

            #has_schemas

            #at_the_root

            #registration
        };
    }
}

/// A compile-time check that at most one argument is the payload.
///
/// Only the type of an argument tells. One constant counts all arguments, because any of them may have a `#[cfg]`.
fn one_payload(model: &Entrypoint<'_>) -> Option<TokenStream> {
    let private = &model.function.private;
    let site = Span::mixed_site();
    if model.arguments.len() < 2 {
        return None;
    }
    let payloads = Ident::new("__agentcore_payloads", site);
    let counted = model.arguments.iter().enumerate().map(|(i, argument)| {
        let Argument { cfgs, ty, .. } = argument;
        // The first one cannot be a second payload.
        let limit = (i > 0).then(|| {
            let panic = second_payload(private, argument);
            quote_spanned!(site=> if #payloads > 1 { #panic })
        });
        quote_spanned! {site=>
            #(#cfgs)*
            if #private::Probe::<#ty>::__AGENTCORE_IS_PAYLOAD {
                #payloads += 1;
                #limit
            }
        }
    });
    Some(quote_spanned! {site=>
        const __AGENTCORE_ONE_PAYLOAD: () = {
            let mut #payloads = 0;
            #(#counted)*
        };
    })
}

/// Stops the compilation, at the type of the argument.
fn second_payload(private: &Private, argument: &Argument<'_>) -> TokenStream {
    let Argument { ty, text, .. } = argument;
    let message = format!(
        "only one argument may be the JSON payload; `{text}` is a second one\n\n\
         help: combine them in a struct; take a value that a start hook made as `agentcore::State<{text}>`; or implement \
         `agentcore::FromInvocation` for one of them"
    );
    compile_panic(private, Range::of(ty), &message)
}

/// `main`, with the span of the attribute. rustc underlines the attribute if a file has two functions named `main`, or if the
/// crate's root has none.
///
/// It has the context of the user's code, and no `#[allow(dead_code)]`: a `main` that is never called belongs to an entrypoint
/// that nothing starts, and rustc says so.
fn main(model: &Entrypoint<'_>) -> Option<TokenStream> {
    let Function {
        private,
        cfgs,
        ident,
        ..
    } = &model.function;
    let here = ident.span().located_at(Span::call_site());
    let main = match model.main {
        Main::None => return None,
        Main::WithFlags => quote_spanned!(here=> main),
        Main::WithoutFlags => quote_spanned!(here=> main_without_flags),
    };
    let start = private.at(here);
    Some(quote_spanned! {here=>
        #(#cfgs)*
        fn main() -> #start::ExitCode {
            #start::#main()
        }
    })
}

/// A compile-time check that `main` is at the root of the program. rustc would only report that there is none.
fn at_the_root(model: &Entrypoint<'_>) -> Option<TokenStream> {
    if model.main == Main::None {
        return None;
    }
    let private = &model.function.private;
    let here = Range {
        start: Span::call_site(),
        end: Span::call_site(),
    };
    let panic = compile_panic(
        private,
        here,
        "`#[agentcore::entrypoint]` generates `main`, which must be at the root of the program, but this is a module\n\n\
         help: write `#[agentcore::entrypoint(main = false)]` here, and start the agent at the root:\n\n    \
         fn main() -> std::process::ExitCode {\n        \
         agentcore::run()\n    \
         }\n",
    );
    Some(quote_spanned! {Span::mixed_site()=>
        const __AGENTCORE_MAIN_IS_AT_THE_ROOT: () = if #private::is_in_a_module(
            #private::core::module_path!(),
            #private::core::option_env!("CARGO_BIN_NAME"),
        ) {
            #panic
        };
    })
}
