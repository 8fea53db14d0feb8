//! Calls the annotated function, and tells its value from its error.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use crate::model::{Function, Range};

/// An expression for the function's return value, for an `async` block.
///
/// The call goes through a check, whose name states the demand: rustc's message about futures that are not `Send` ends with that
/// name. The check returns a future that is declared `Send`, so the block around it does not repeat the message. `.await` repeats
/// it in the same place, where rustc suppresses it.
pub(super) fn called(function: &Function<'_>, arguments: &TokenStream, role: &str) -> TokenStream {
    let Function {
        private,
        ident,
        is_async,
        ..
    } = function;
    // The whole expression has the span of the function's name, which the message underlines.
    let here = ident.span();
    let private = private.at(here);
    if *is_async {
        let check = format_ident!("{role}_future_must_be_send", span = here);
        quote_spanned!(here=> #private::#check(#ident(#arguments)).await)
    } else {
        let check = quote_spanned!(here=> #private::sync_function_runs_on_another_thread);
        // A slightly different span: lints about closures must not take this one for the user's.
        let here = Span::mixed_site().located_at(here);
        quote_spanned!(here=> #check(move || #ident(#arguments)).await)
    }
}

/// An expression that passes the function's return value to `on_value` or `on_error`.
pub(super) fn outcome(
    function: &Function<'_>,
    call: &TokenStream,
    on_value: impl FnOnce(&TokenStream) -> TokenStream,
    on_error: impl FnOnce(&TokenStream) -> TokenStream,
) -> TokenStream {
    let private = &function.private;
    let site = Span::mixed_site();
    let (returned, bind_returned) = blamed("__agentcore_returned", function.output.value);
    let (value, bind_value) = blamed("__agentcore_value", function.output.value);
    let (error, bind_error) = blamed("__agentcore_error", function.output.error);
    let on_value = on_value(&value);
    let on_error = on_error(&error);
    quote_spanned! {site=>
        let #bind_returned = (#call,);
        match (&#private::Probe::of(&#returned)).__agentcore_outcome().__agentcore_result(#returned) {
            #private::Ok(value) => {
                let #bind_value = (value,);
                #on_value
            }
            #private::Err(error) => {
                let #bind_error = (error,);
                #on_error
            }
        }
    }
}

/// An expression that rustc underlines as all of `range`, and the variable, a one-tuple, that it reads.
///
/// A message about a generic call points at the argument. An argument of one token would underline one token of the user's type;
/// `tuple.0` has a first and a last one.
pub(super) fn blamed(name: &str, range: Range) -> (TokenStream, Ident) {
    let ident = Ident::new(name, range.start);
    let mut index = Literal::usize_unsuffixed(0);
    index.set_span(range.end);
    let dot = quote_spanned!(range.end=> .);
    (quote!(#ident #dot #index), ident)
}
