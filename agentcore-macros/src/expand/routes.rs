//! `#[routes]`, which is registered like a hook.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::hook::{Adapter, Names, time_limit};
use super::register::package;
use crate::item::AnnotatedFn;
use crate::model::{Range, Routes};

const NAMES: Names = Names {
    adapter: "__AgentcoreRoutes",
    hook: "Routes",
    argument: "HookArgument",
    descriptor: "RoutesDef",
    check: "routes",
    scope: "ROUTES",
};

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
    // At the type, so that rustc underlines it when it is no service.
    let Range { start, end } = function.output.value;
    let here = private.at(start);
    let service = quote_spanned!(start=> #here::RoutesService);
    let service = quote_spanned!(end=> #service::__agentcore_service);
    let package = package(private);
    let port = port.map(|port| quote_spanned!(site=> .port(#port)));
    let idle = (!idle.is_empty()).then(|| quote_spanned!(site=> .idle(&[#(#idle),*])));
    let timeout = time_limit(private, *timeout);
    let adapter = Adapter {
        names: &NAMES,
        function,
        arguments,
        output: quote_spanned!(site=> #private::RouteService),
        items: TokenStream::new(),
        details: quote_spanned!(site=> , #package),
        options: quote_spanned!(site=> #port #idle #timeout),
    };
    adapter.emit(
        item,
        |value| quote_spanned!(site=> #private::Ok(#service(#value))),
    )
}
