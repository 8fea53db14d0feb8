//! `#[ping]`, which is registered like a hook.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::hook::{Adapter, Names};
use crate::item::AnnotatedFn;
use crate::model::Ping;

const NAMES: Names = Names {
    adapter: "__AgentcorePing",
    hook: "PingHandler",
    argument: "PingArgument",
    descriptor: "PingDef",
    check: "ping",
    scope: "PING",
};

pub(super) fn expand(model: &Ping<'_>, item: &AnnotatedFn) -> TokenStream {
    let Ping {
        function,
        arguments,
    } = model;
    let private = &function.private;
    let site = Span::mixed_site();
    let adapter = Adapter {
        names: &NAMES,
        function,
        arguments,
        output: quote_spanned!(site=> #private::PingStatus),
        items: TokenStream::new(),
        details: TokenStream::new(),
        options: TokenStream::new(),
    };
    adapter.emit(
        item,
        |value| quote_spanned!(site=> #private::Ok(#private::PingReply::__agentcore_status(#value))),
    )
}
