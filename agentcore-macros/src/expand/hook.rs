//! Hooks: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::arguments::{HookArguments, of_hook};
use super::register::{duration, meta, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::{Hook, OnStart, Range};

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

/// The names that the expansion of a hook uses.
pub(super) struct Names {
    /// The type of the adapter.
    adapter: &'static str,
    /// The trait of the adapter.
    hook: &'static str,
    /// The trait of what the function returns.
    reply: &'static str,
    descriptor: &'static str,
    /// The prefix of the check that the future is `Send`.
    check: &'static str,
    scope: &'static str,
}

pub(super) const ON_SHUTDOWN: Names = Names {
    adapter: "__AgentcoreOnShutdown",
    hook: "ShutdownHook",
    reply: "ShutdownReply",
    descriptor: "ShutdownDef",
    check: "shutdown_hook",
    scope: "ON_SHUTDOWN",
};

pub(super) const ON_WARMUP: Names = Names {
    adapter: "__AgentcoreOnWarmup",
    hook: "PlatformHook",
    reply: "PlatformReply",
    descriptor: "WarmupDef",
    check: "warmup_hook",
    scope: "ON_WARMUP",
};

pub(super) const ON_RESTORE: Names = Names {
    adapter: "__AgentcoreOnRestore",
    hook: "PlatformHook",
    reply: "PlatformReply",
    descriptor: "RestoreDef",
    check: "restore_hook",
    scope: "ON_RESTORE",
};

/// The expansion of a hook that makes nothing.
pub(super) fn without_value(names: &Names, model: &Hook<'_>, item: &AnnotatedFn) -> TokenStream {
    let Hook {
        function,
        arguments,
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
    // At the type, like its argument: rustc labels both when the type is wrong.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let reply = format_ident!("{}", names.reply, span = start);
    let reply = quote_spanned!(start=> #here::#reply);
    let done = quote_spanned!(end=> #reply::__agentcore_done);
    let done = outcome(
        function,
        &called(function, &values, names.check),
        |value| quote_spanned!(site=> #private::Ok(#done(#value))),
        |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
    );
    let meta = meta(private, &function.name, function.ident);
    let timeout = timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let adapter = Ident::new(names.adapter, site);
    let descriptor = Ident::new(names.descriptor, site);
    let hook = Ident::new(names.hook, site);
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::#descriptor::new::<#adapter>(#meta) #timeout),
    );
    let scope = scope(function, names.scope);
    let registered = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum #adapter {}

            impl #private::#hook for #adapter {
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
    quote!(#item #registered)
}
