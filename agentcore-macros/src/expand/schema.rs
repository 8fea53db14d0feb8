//! Asking the types of a function for their schemas.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::arguments::{compile_panic, probe};
use super::reply::blamed;
use crate::model::{Argument, Entrypoint, Function, Range};

/// The statements of an entrypoint's `describe`, which fill in `description`.
pub(super) fn entrypoint(model: &Entrypoint<'_>, description: &Ident) -> TokenStream {
    let function = &model.function;
    let private = &function.private;
    let site = Span::mixed_site();
    let payload = model.arguments.iter().map(|argument| {
        let Argument { cfgs, ty, .. } = argument;
        let probe = probe(private, ty);
        let method = method(model.schema.is_some());
        quote_spanned! {site=>
            #(#cfgs)*
            (&&&&#private::Probe::<#ty>::NEW).__agentcore_payload_schema().#method(#probe, #description);
        }
    });
    let arguments: Vec<_> = model.arguments.iter().collect();
    let reply = asked(
        function,
        &arguments,
        &method(model.schema.is_some()),
        description,
    );
    quote!(#(#payload)* #reply)
}

/// A statement that fills in the schema of a tool's result, if its type has one.
pub(super) fn reply(
    function: &Function<'_>,
    arguments: &[&Argument<'_>],
    description: &Ident,
) -> TokenStream {
    asked(function, arguments, &method(false), description)
}

/// A compile-time check, for an attribute that asks for schemas, that the library has them.
pub(super) fn needs_the_feature(model: &Entrypoint<'_>) -> Option<TokenStream> {
    let private = &model.function.private;
    let key = model.schema.as_ref()?;
    let panic = compile_panic(
        private,
        Range::of(key),
        "`schema` needs the `schema` feature of `agentcore`",
    );
    Some(quote_spanned! {Span::mixed_site()=>
        const __AGENTCORE_HAS_SCHEMAS: () = if !#private::HAS_SCHEMAS { #panic };
    })
}

/// Whether a type without a schema is an error.
fn method(is_required: bool) -> Ident {
    let name = if is_required {
        "__agentcore_require"
    } else {
        "__agentcore_describe"
    };
    Ident::new(name, Span::mixed_site())
}

/// Asks the type of the return value for its schema. The type may have no name, so it is inferred from a closure that would call the
/// function, and that is never called.
fn asked(
    function: &Function<'_>,
    arguments: &[&Argument<'_>],
    method: &Ident,
    description: &Ident,
) -> TokenStream {
    let site = Span::mixed_site();
    let Function {
        private,
        ident,
        is_async,
        output,
        ..
    } = function;
    let never = arguments
        .iter()
        .map(|Argument { cfgs, ty, .. }| quote_spanned!(site=> #(#cfgs)* #private::never::<#ty>()));
    let of_call = Ident::new(
        if *is_async {
            "of_async_call"
        } else {
            "of_call"
        },
        site,
    );
    let probe = Ident::new("__agentcore_probe", output.value.start);
    let (shown, tuple) = blamed("__agentcore_tuple", output.value);
    // The closure is never called, so its arguments are never made, and rustc would call the code behind them unreachable.
    quote_spanned! {site=>
        #[allow(unreachable_code, clippy::diverging_sub_expression)]
        {
            let #probe = #private::Probe::#of_call(&|| #ident(#(#never),*));
            let #probe = (&#probe).__agentcore_outcome().__agentcore_value(#probe);
            let #tuple = (#probe,);
            (&&&&&&&#probe).__agentcore_reply_schema().#method(#shown, #description);
        }
    }
}
