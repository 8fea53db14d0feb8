//! `#[websocket]`: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{compile_panic, probe, values};
use super::register::{meta, package, scope, submit};
use super::reply::{called, outcome};
use crate::item::AnnotatedFn;
use crate::model::{Argument, Range, WebSocket};

pub(super) fn expand(model: &WebSocket<'_>, item: &AnnotatedFn) -> TokenStream {
    let WebSocket {
        function,
        arguments,
        ..
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let requirements = Ident::new("__agentcore_requirements", site);
    let opening = Ident::new("__agentcore_opening", site);
    let (names, values) = values(arguments);

    let requires = arguments.iter().map(|Argument { cfgs, ty, .. }| {
        quote_spanned! {site=>
            #(#cfgs)*
            (&&&#private::Probe::<#ty>::NEW)
                .__agentcore_socket_argument()
                .__agentcore_requires::<#ty>(#requirements);
        }
    });
    let take = names
        .iter()
        .zip(arguments)
        .map(|(name, Argument { cfgs, ty, .. })| {
            let probe = probe(private, ty);
            quote_spanned! {site=>
                #(#cfgs)*
                let #name = match (&&&#private::Probe::<#ty>::NEW)
                    .__agentcore_socket_argument()
                    .__agentcore_take(#probe, &mut #opening)
                {
                    #private::Ok(value) => value,
                    #private::Err(rejection) => return #private::Err(rejection),
                };
            }
        });
    // At the type, like its argument: rustc labels both when the type is wrong.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let reply = quote_spanned!(start=> #here::SocketReply);
    let done = quote_spanned!(end=> #reply::__agentcore_done);
    let ended = outcome(
        function,
        &called(function, &values, "websocket"),
        |value| quote_spanned!(site=> #private::Ok(#done(#value))),
        |error| quote_spanned!(site=> #private::Err(#private::SocketError::__agentcore_boxed(#error))),
    );
    let one_socket = one_socket(model);
    let meta = meta(private, &function.name, function.ident);
    let package = package(private);
    let registration = submit(
        private,
        &quote_spanned!(site=> #private::WebSocketDef::new::<__AgentcoreWebSocket>(#meta, #package)),
    );
    let scope = scope(function, "WEBSOCKET");
    let adapter = quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreWebSocket {}

            impl #private::WebSocketEndpoint for __AgentcoreWebSocket {
                fn requires(#requirements: &mut #private::Requirements) {
                    #(#requires)*
                }

                fn open(
                    mut #opening: #private::Opening,
                ) -> #private::Result<
                    impl #private::Future<
                        Output = #private::Result<(), #private::BoxError>,
                    > + #private::Send + 'static,
                    #private::Response,
                > {
                    #(#take)*
                    #private::Ok(async move {
                        #ended
                    })
                }
            }

            #one_socket

            #registration
        };
    };
    quote!(#item #adapter)
}

/// A compile-time check that exactly one argument is the socket.
///
/// Only the type of an argument tells. One constant counts all arguments, because any of them may have a `#[cfg]`.
fn one_socket(model: &WebSocket<'_>) -> TokenStream {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let sockets = Ident::new("__agentcore_sockets", site);
    let counted = model.arguments.iter().map(|Argument { cfgs, ty, .. }| {
        let second = compile_panic(
            private,
            Range::of(ty),
            "only one argument may be the socket; `WebSocket::split` makes two halves of it",
        );
        quote_spanned! {site=>
            #(#cfgs)*
            if #private::Probe::<#ty>::__AGENTCORE_IS_SOCKET {
                #sockets += 1;
                if #sockets > 1 {
                    #second
                }
            }
        }
    });
    let none = compile_panic(
        private,
        model.inputs,
        "a websocket handler takes the socket: `socket: agentcore::WebSocket`",
    );
    quote_spanned! {site=>
        const __AGENTCORE_ONE_SOCKET: () = {
            let mut #sockets = 0;
            #(#counted)*
            if #sockets == 0 {
                #none
            }
        };
    }
}
