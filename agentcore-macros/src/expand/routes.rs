//! `#[routes]`: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{HookArguments, of_hook};
use super::register::{duration, meta, package, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::{Range, Routes};

pub(super) fn expand(model: &Routes<'_>, item: &AnnotatedFn) -> TokenStream {
    let Routes {
        function,
        arguments,
        port,
        idle,
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
    // At the type, so that rustc underlines it when it is no service.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let service = quote_spanned!(start=> #here::RoutesService);
    let service = quote_spanned!(end=> #service::__agentcore_service);
    let built = outcome(
        function,
        &called(function, &values, "routes"),
        |value| quote_spanned!(site=> #private::Ok(#service(#value))),
        |error| quote_spanned!(site=> #private::Err(#private::HookError::__agentcore_boxed(#error))),
    );
    let meta = meta(private, &function.name, function.ident);
    let package = package(private);
    let port = port.map(|port| quote_spanned!(site=> .port(#port)));
    let idle = (!idle.is_empty()).then(|| quote_spanned!(site=> .idle(&[#(#idle),*])));
    let timeout = timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let registration = submit(
        private,
        &quote_spanned! {site=>
            #private::RoutesDef::new::<__AgentcoreRoutes>(#meta, #package) #port #idle #timeout
        },
    );
    let scope = scope(function, "ROUTES");
    let adapter = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreRoutes {}

            impl #private::Routes for __AgentcoreRoutes {
                fn requires(#requirements: &mut #private::Requirements) {
                    #requires
                }

                fn call(
                    #call: #private::HookCall,
                ) -> impl #private::Future<
                    Output = #private::Result<#private::RouteService, #private::BoxError>,
                > + #private::Send + 'static {
                    async move {
                        #take
                        #built
                    }
                }
            }

            #registration
        };
    };
    quote!(#item #adapter)
}
