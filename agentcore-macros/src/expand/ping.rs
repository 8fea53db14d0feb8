//! `#[ping]`: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{HookArguments, of_hook};
use super::register::{meta, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::Ping;

pub(super) fn expand(model: &Ping<'_>, item: &AnnotatedFn) -> TokenStream {
    let Ping {
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
    } = of_hook(private, arguments, &requirements, &call, "PingArgument");
    let answer = outcome(
        function,
        &called(function, &values, "ping"),
        |value| quote_spanned!(site=> #private::Ok(#private::PingReply::__agentcore_status(#value))),
        |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
    );
    let meta = meta(private, &function.name, function.ident);
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::PingDef::new::<__AgentcorePing>(#meta)),
    );
    let scope = scope(function, "PING");
    let adapter = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcorePing {}

            impl #private::PingHandler for __AgentcorePing {
                fn requires(#requirements: &mut #private::Requirements) {
                    #requires
                }

                fn call(
                    #call: #private::HookCall,
                ) -> impl #private::Future<
                    Output = #private::Result<#private::PingStatus, #private::BoxError>,
                > + #private::Send + 'static {
                    async move {
                        #take
                        #answer
                    }
                }
            }

            #registration
        };
    };
    quote!(#item #adapter)
}
