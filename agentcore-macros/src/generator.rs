//! `stream!` and `try_stream!`: an `async` block in which `yield` hands a value out.
//!
//! ```text
//! stream! { let page = load().await; yield page; }
//! ```
//! becomes
//! ```text
//! generator(|mut yielder| async move { let page = load().await; yielder.send(page).await; })
//! ```
//!
//! `yield` is a keyword without a meaning on stable Rust, so that wherever it stands, it is ours to replace.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Expr;
use syn::parse::{ParseStream, Parser};

/// Which of the two macros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    TryStream,
}

pub(crate) fn expand(kind: Kind, body: TokenStream) -> TokenStream {
    let yielder = Ident::new("__agentcore_yielder", Span::mixed_site());
    let body = match replace(kind, &yielder, body) {
        Ok(body) => body,
        Err(error) => return error.to_compile_error(),
    };
    let private = quote!(::agentcore::__private);
    let (generator, end) = match kind {
        Kind::Stream => (quote!(generator), None),
        Kind::TryStream => (quote!(try_generator), Some(quote!(#private::Ok(())))),
    };
    // A body may never yield, or never end.
    quote_spanned! {Span::mixed_site()=>
        #private::#generator(move |#[allow(unused_variables, unused_mut)] mut #yielder| async move {
            #[allow(unreachable_code)]
            {
                { #body }
                #end
            }
        })
    }
}

/// `tokens` with every `yield` replaced, at every depth.
fn replace(kind: Kind, yielder: &Ident, tokens: TokenStream) -> syn::Result<TokenStream> {
    let mut replaced = TokenStream::new();
    let mut rest = tokens.into_iter();
    // Inside another `stream!`, a `yield` is that one's.
    let mut before = [None, None];
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Ident(word) if word == "yield" => {
                let (value, after) = split_value.parse2(rest.collect())?;
                let value = replace(kind, yielder, value)?;
                let value = match kind {
                    Kind::Stream => value,
                    Kind::TryStream => quote!(::agentcore::__private::Ok(#value)),
                };
                // Messages about the value's type point at the `yield`.
                let send = quote_spanned!(word.span()=> .send(#value).await);
                replaced.extend(quote!(#yielder #send));
                replaced.extend(replace(kind, yielder, after)?);
                return Ok(replaced);
            }
            TokenTree::Group(group) if !is_inner_stream(&before) => {
                let content = replace(kind, yielder, group.stream())?;
                let mut copy = Group::new(group.delimiter(), content);
                copy.set_span(group.span());
                before = [before[1].take(), None];
                replaced.extend([TokenTree::Group(copy)]);
            }
            token => {
                before = [before[1].take(), Some(token.to_string())];
                replaced.extend([token]);
            }
        }
    }
    Ok(replaced)
}

/// Whether what came before is `stream !` or `try_stream !`.
fn is_inner_stream(before: &[Option<String>; 2]) -> bool {
    let [Some(name), Some(bang)] = before else {
        return false;
    };
    bang == "!" && (name == "stream" || name == "try_stream")
}

/// The value behind a `yield`, and what follows it. A `yield` alone hands out `()`.
fn split_value(input: ParseStream<'_>) -> syn::Result<(TokenStream, TokenStream)> {
    let ends_here = input.is_empty() || input.peek(syn::Token![;]) || input.peek(syn::Token![,]);
    let value = if ends_here {
        Group::new(Delimiter::Parenthesis, TokenStream::new()).into_token_stream()
    } else if input.peek(syn::Token![yield]) {
        return Err(input.error("`yield` has no value that could be yielded"));
    } else {
        input.parse::<Expr>()?.into_token_stream()
    };
    Ok((value, input.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(kind: Kind, body: &str) -> String {
        let tokens = expand(kind, body.parse().expect("tokens"));
        tokens.to_string().replace(' ', "")
    }

    #[test]
    fn every_yield_is_replaced_at_every_depth() {
        let text = expanded(
            Kind::Stream,
            "yield 1; for n in 0..3 { if n > 1 { yield n + 1 } else { match n { 0 => yield f::<A, B>(n), _ => yield, } } }",
        );
        assert!(
            !text.contains("yield1") && !text.contains("yieldn"),
            "{text}"
        );
        for sent in [
            ".send(1).await;",
            ".send(n+1).await}",
            ".send(f::<A,B>(n)).await,",
            ".send(()).await,",
        ] {
            assert!(text.contains(sent), "{sent} in {text}");
        }
    }

    #[test]
    fn a_try_stream_wraps_what_it_yields_and_ends_well() {
        let text = expanded(Kind::TryStream, "let x = f()?; yield x;");
        assert!(
            text.contains(".send(::agentcore::__private::Ok(x)).await;"),
            "{text}"
        );
        assert!(text.contains("}::agentcore::__private::Ok(())}"), "{text}");
    }

    #[test]
    fn an_inner_stream_keeps_its_own_yields() {
        let text = expanded(Kind::Stream, "yield stream! { yield 1; }; yield 2;");
        assert!(text.contains(".send(stream!{yield1;}).await"), "{text}");
        assert!(text.contains(".send(2).await"), "{text}");
    }

    #[test]
    fn what_is_no_expression_is_reported() {
        assert!(expanded(Kind::Stream, "yield yield 1;").contains("compile_error"));
        assert!(expanded(Kind::Stream, "yield =;").contains("compile_error"));
    }
}
