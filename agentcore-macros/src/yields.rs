//! `yield` in the body of an annotated function.
//!
//! Stable Rust gives it no meaning there, and rustc explains that in terms of coroutines. The attribute sees the body, so it can
//! advise. rustc's E0658 stays: it is about the item as it was parsed, before any attribute was expanded.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

/// The place of the first `yield` of `body`, and `body` with a `return` in place of each `yield`; `None` if there is none.
///
/// Each `return` returns `error`, a variable whose type is an error, combined with the yielded value.
pub(crate) fn as_returns(body: &TokenStream, error: &Ident) -> Option<(Span, TokenStream)> {
    if !mentions(body.clone()) {
        return None;
    }
    let mut first = None;
    let replaced = replace(body.clone(), error, &mut first);
    Some((first?, replaced))
}

/// Whether the word occurs anywhere.
fn mentions(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "yield",
        TokenTree::Group(group) => mentions(group.stream()),
        _ => false,
    })
}

fn replace(tokens: TokenStream, error: &Ident, first: &mut Option<Span>) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut replaced = TokenStream::new();
    // On nightly, a closure with this attribute may use `yield`. The closure ends with its statement at the latest.
    let mut coroutine = false;
    for (index, token) in tokens.iter().enumerate() {
        let (before, after) = (&tokens[..index], &tokens[index + 1..]);
        match token {
            TokenTree::Ident(word) if word == "yield" && !coroutine => {
                first.get_or_insert(word.span());
                let combined = takes_a_value(after).then(|| quote!(&));
                replaced.extend(quote_spanned!(word.span()=> return));
                replaced.extend(quote!(#error #combined));
            }
            TokenTree::Group(group) => {
                coroutine |= is_coroutine_attribute(before, group);
                if coroutine || has_own_yields(before, group) {
                    replaced.extend([token.clone()]);
                    continue;
                }
                let mut copy = Group::new(group.delimiter(), replace(group.stream(), error, first));
                copy.set_span(group.span());
                replaced.extend([TokenTree::Group(copy)]);
            }
            _ => {
                coroutine &= !matches!(token, TokenTree::Punct(end) if end.as_char() == ';');
                replaced.extend([token.clone()]);
            }
        }
    }
    replaced
}

/// Whether the tokens after a `yield` are its value.
fn takes_a_value(after: &[TokenTree]) -> bool {
    match after.first() {
        None => false,
        Some(TokenTree::Punct(end)) => !matches!(end.as_char(), ';' | ','),
        Some(_) => true,
    }
}

/// Whether the tokens before `group` give a `yield` in it a meaning: those of a macro, such as `stream!`, or of a nightly
/// generator.
///
/// `select!` is an exception: users expect its branches to be ordinary code.
fn has_own_yields(before: &[TokenTree], group: &Group) -> bool {
    match before {
        [.., TokenTree::Ident(name), TokenTree::Punct(bang)] => {
            bang.as_char() == '!' && name != "select"
        }
        [
            ..,
            TokenTree::Ident(macro_rules),
            TokenTree::Punct(bang),
            TokenTree::Ident(_),
        ] if bang.as_char() == '!' => macro_rules == "macro_rules",
        [.., TokenTree::Ident(generator), TokenTree::Ident(capture)]
            if generator == "gen" && capture == "move" =>
        {
            group.delimiter() == Delimiter::Brace
        }
        [.., TokenTree::Ident(generator)] => {
            generator == "gen" && group.delimiter() == Delimiter::Brace
        }
        _ => false,
    }
}

/// Whether `group` is the bracket of `#[coroutine]`.
fn is_coroutine_attribute(before: &[TokenTree], group: &Group) -> bool {
    let is_attribute =
        matches!(before.last(), Some(TokenTree::Punct(pound)) if pound.as_char() == '#');
    is_attribute && group.stream().to_string() == "coroutine"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(body: &str) -> Option<String> {
        let body = body.parse().expect("tokens");
        let error = Ident::new("error", Span::call_site());
        as_returns(&body, &error).map(|(_, body)| body.to_string())
    }

    #[test]
    fn a_yield_of_the_body_becomes_a_return() {
        for (body, expected) in [
            ("yield 1; 2", "return error & 1 ; 2"),
            ("for n in 0..3 { if n > 1 { yield; } }", "return error ;"),
            ("match n { _ => yield, }", "return error ,"),
            ("spawn(async move { yield 1; })", "return error & 1 ;"),
            ("items.for_each(|item| yield item)", "return error & item"),
            (
                "select! { item = next => yield item, }",
                "return error & item",
            ),
        ] {
            let text = replaced(body).expect(body);
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("yield"), "{text}");
        }
    }

    #[test]
    fn a_yield_that_something_else_understands_is_left_alone() {
        for body in [
            "let r#yield = 1; yield_now().await",
            "stream! { yield 1; }",
            "agentcore::try_stream! { yield f()?; }",
            "async_stream::stream!(yield 1;)",
            "macro_rules! each { ($e:expr) => { yield $e }; }",
            "gen { yield 1; }",
            "async gen move { yield 1; }",
            "let g = #[coroutine] |a, b| { yield a; }; g",
        ] {
            assert_eq!(replaced(body), None, "{body}");
        }
    }

    #[test]
    fn the_place_is_that_of_the_first() {
        let body: TokenStream = "f(); { yield 1; } yield 2;".parse().expect("tokens");
        let error = Ident::new("error", Span::call_site());
        let (place, _) = as_returns(&body, &error).expect("a `yield`");
        assert_eq!(place.start().column, 7);
    }
}
