//! Hooks, and what is registered like a hook: the unchanged function, an adapter and a registration.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::arguments::{HookArguments, of_hook};
use super::register::{duration, meta, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::{Argument, Function, Hook, OnStart, Range};
use crate::paths::Private;

/// The names that the expansion of one attribute uses.
pub(super) struct Names {
    /// The type of the adapter.
    pub(super) adapter: &'static str,
    /// The trait of the adapter.
    pub(super) hook: &'static str,
    /// The trait of the arguments.
    pub(super) argument: &'static str,
    pub(super) descriptor: &'static str,
    /// The prefix of the check that the future is `Send`.
    pub(super) check: &'static str,
    pub(super) scope: &'static str,
}

/// An adapter: a type without values, which implements a trait of the library by a call of the annotated function.
pub(super) struct Adapter<'a> {
    pub(super) names: &'a Names,
    pub(super) function: &'a Function<'a>,
    pub(super) arguments: &'a [Argument<'a>],
    /// The type of the value that a call makes.
    pub(super) output: TokenStream,
    /// The items of the implementation beside `requires` and `call`.
    pub(super) items: TokenStream,
    /// The arguments of the descriptor's constructor after the first.
    pub(super) details: TokenStream,
    /// The method calls on the descriptor.
    pub(super) options: TokenStream,
}

impl Adapter<'_> {
    /// The item, its adapter and its registration. `made` is an expression for the adapter's value, of one for the function's.
    pub(super) fn emit(
        self,
        item: &AnnotatedFn,
        made: impl FnOnce(&TokenStream) -> TokenStream,
    ) -> TokenStream {
        let Self {
            names,
            function,
            arguments,
            output,
            items,
            details,
            options,
        } = self;
        let private = &function.private;
        let site = Span::mixed_site();
        let requirements = Ident::new("__agentcore_requirements", site);
        let call = Ident::new("__agentcore_call", site);
        let HookArguments {
            requires,
            take,
            values,
        } = of_hook(private, arguments, &requirements, &call, names.argument);
        let made = outcome(
            function,
            &called(function, &values, names.check),
            made,
            |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
        );
        let meta = meta(private, &function.name, function.ident);
        let adapter = Ident::new(names.adapter, site);
        let descriptor = Ident::new(names.descriptor, site);
        let hook = Ident::new(names.hook, site);
        let registration = submit(
            private,
            &quote_spanned!(site=> #private::#descriptor::new::<#adapter>(#meta #details) #options),
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

                    #items

                    fn call(
                        #call: #private::HookCall,
                    ) -> impl #private::Future<
                        Output = #private::Result<#output, #private::BoxError>,
                    > + #private::Send + 'static {
                        async move {
                            #take
                            #made
                        }
                    }
                }

                #registration
            };
        };
        quote!(#item #registered)
    }
}

/// The method call that sets the time limit on a descriptor.
pub(super) fn time_limit(private: &Private, limit: Option<Duration>) -> TokenStream {
    limit.map_or_else(TokenStream::new, |limit| {
        let limit = duration(private, limit);
        quote_spanned!(Span::mixed_site()=> .timeout(#limit))
    })
}

const ON_START: Names = Names {
    adapter: "__AgentcoreOnStart",
    hook: "StartHook",
    argument: "HookArgument",
    descriptor: "StartDef",
    check: "start_hook",
    scope: "ON_START",
};

pub(super) fn on_start(model: &OnStart<'_>, item: &AnnotatedFn) -> TokenStream {
    let OnStart {
        function,
        arguments,
        output,
        timeout,
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let provides = quote_spanned! {site=>
        fn provides() -> #private::Option<(#private::TypeId, &'static #private::str)> {
            let returned = #private::Probe::<#output>::NEW;
            let value = (&returned).__agentcore_outcome().__agentcore_value(returned);
            (&value).__agentcore_state().__agentcore_provides(value)
        }
    };
    let adapter = Adapter {
        names: &ON_START,
        function,
        arguments,
        output: quote_spanned!(site=> #private::StateSlot),
        items: provides,
        details: TokenStream::new(),
        options: time_limit(private, *timeout),
    };
    adapter.emit(item, |value| {
        quote_spanned! {site=>
            #private::Ok((&#private::Probe::of(&#value)).__agentcore_state().__agentcore_slot(#value))
        }
    })
}

/// A hook that makes nothing, and the trait of what its function returns.
pub(super) struct Plain {
    names: Names,
    reply: &'static str,
}

pub(super) const ON_SHUTDOWN: Plain = Plain {
    names: Names {
        adapter: "__AgentcoreOnShutdown",
        hook: "ShutdownHook",
        argument: "HookArgument",
        descriptor: "ShutdownDef",
        check: "shutdown_hook",
        scope: "ON_SHUTDOWN",
    },
    reply: "ShutdownReply",
};

pub(super) const ON_WARMUP: Plain = Plain {
    names: Names {
        adapter: "__AgentcoreOnWarmup",
        hook: "PlatformHook",
        argument: "HookArgument",
        descriptor: "WarmupDef",
        check: "warmup_hook",
        scope: "ON_WARMUP",
    },
    reply: "PlatformReply",
};

pub(super) const ON_RESTORE: Plain = Plain {
    names: Names {
        adapter: "__AgentcoreOnRestore",
        hook: "PlatformHook",
        argument: "HookArgument",
        descriptor: "RestoreDef",
        check: "restore_hook",
        scope: "ON_RESTORE",
    },
    reply: "PlatformReply",
};

/// The expansion of a hook that makes nothing.
pub(super) fn plain(plain: &Plain, model: &Hook<'_>, item: &AnnotatedFn) -> TokenStream {
    let Hook {
        function,
        arguments,
        timeout,
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    // At the type, like its argument: rustc labels both when the type is wrong.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let reply = format_ident!("{}", plain.reply, span = start);
    let reply = quote_spanned!(start=> #here::#reply);
    let done = quote_spanned!(end=> #reply::__agentcore_done);
    let adapter = Adapter {
        names: &plain.names,
        function,
        arguments,
        output: quote!(()),
        items: TokenStream::new(),
        details: TokenStream::new(),
        options: time_limit(private, *timeout),
    };
    adapter.emit(
        item,
        |value| quote_spanned!(site=> #private::Ok(#done(#value))),
    )
}
