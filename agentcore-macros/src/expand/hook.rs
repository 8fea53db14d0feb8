//! `#[on_start]` and `#[on_shutdown]`: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{HookArguments, of_hook};
use super::register::{duration, meta, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::{OnShutdown, OnStart, Range};

pub(super) fn on_start(model: &OnStart<'_>, item: &AnnotatedFn) -> TokenStream {
    let OnStart {
        function,
        arguments,
        output,
        timeout,
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let requirements = Ident::new("__agentcore_requirements", site);
    let call = Ident::new("__agentcore_call", site);
    let HookArguments {
        requires,
        take,
        values,
    } = of_hook(private, arguments, &requirements, &call, "HookArgument");
    let slot = outcome(
        function,
        &called(function, &values, "start_hook"),
        |value| {
            quote_spanned! {site=>
                #private::Ok((&#private::Probe::of(&#value)).__agentcore_state().__agentcore_slot(#value))
            }
        },
        |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
    );
    let meta = meta(private, &function.name, function.ident);
    let timeout = timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::StartDef::new::<__AgentcoreOnStart>(#meta) #timeout),
    );
    let scope = scope(function, "ON_START");
    let adapter = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreOnStart {}

            impl #private::StartHook for __AgentcoreOnStart {
                fn requires(#requirements: &mut #private::Requirements) {
                    #requires
                }

                fn provides() -> #private::Option<(#private::TypeId, &'static #private::str)> {
                    let returned = #private::Probe::<#output>::NEW;
                    let value = (&returned).__agentcore_outcome().__agentcore_value(returned);
                    (&value).__agentcore_state().__agentcore_provides(value)
                }

                fn call(
                    #call: #private::HookCall,
                ) -> impl #private::Future<
                    Output = #private::Result<#private::StateSlot, #private::BoxError>,
                > + #private::Send + 'static {
                    async move {
                        #take
                        #slot
                    }
                }
            }

            #registration
        };
    };
    quote!(#item #adapter)
}

pub(super) fn on_shutdown(model: &OnShutdown<'_>, item: &AnnotatedFn) -> TokenStream {
    let OnShutdown {
        function,
        arguments,
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let requirements = Ident::new("__agentcore_requirements", site);
    let call = Ident::new("__agentcore_call", site);
    let HookArguments {
        requires,
        take,
        values,
    } = of_hook(private, arguments, &requirements, &call, "HookArgument");
    // At the type, like its argument: rustc labels both when the type is wrong.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let reply = quote_spanned!(start=> #here::ShutdownReply);
    let done = quote_spanned!(end=> #reply::__agentcore_done);
    let done = outcome(
        function,
        &called(function, &values, "shutdown_hook"),
        |value| quote_spanned!(site=> #private::Ok(#done(#value))),
        |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
    );
    let meta = meta(private, &function.name, function.ident);
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::ShutdownDef::new::<__AgentcoreOnShutdown>(#meta)),
    );
    let scope = scope(function, "ON_SHUTDOWN");
    let adapter = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreOnShutdown {}

            impl #private::ShutdownHook for __AgentcoreOnShutdown {
                fn requires(#requirements: &mut #private::Requirements) {
                    #requires
                }

                fn call(
                    #call: #private::HookCall,
                ) -> impl #private::Future<
                    Output = #private::Result<(), #private::BoxError>,
                > + #private::Send + 'static {
                    async move {
                        #take
                        #done
                    }
                }
            }

            #registration
        };
    };
    quote!(#item #adapter)
}
