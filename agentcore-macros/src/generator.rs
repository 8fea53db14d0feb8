//! `stream!` and `try_stream!`: an `async` block in which `yield` produces an item of the stream.
//!
//! ```text
//! stream! { let page = load().await; yield page; }
//! ```
//! becomes
//! ```text
//! generator(|mut yielder| async move { let page = load().await; yielder.send(page).await; })
//! ```
//!
//! `yield` is a keyword without a meaning on stable Rust, so the macros can replace every one.

mod question_mark;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprClosure, Token};

/// One of the two macros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    TryStream,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream!",
            Self::TryStream => "try_stream!",
        }
    }
}

/// Expands `(path) body`, where `path` leads to `agentcore`. The macros of that crate write it as `$crate`.
pub(crate) fn expand(kind: Kind, input: TokenStream) -> TokenStream {
    let mut input = input.into_iter();
    let Some(TokenTree::Group(root)) = input.next() else {
        return syn::Error::new(Span::call_site(), "use `agentcore::stream!`").to_compile_error();
    };
    let body = input.collect();
    let expansion = Expansion {
        kind,
        root: root.stream(),
        yielder: Ident::new("__agentcore_yielder", Span::mixed_site()),
    };
    expansion
        .of(body)
        .unwrap_or_else(|error| error.to_compile_error())
}

/// The constants of one expansion.
struct Expansion {
    kind: Kind,
    root: TokenStream,
    yielder: Ident,
}

/// The code that a `yield` stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body of the stream. Only here can a `yield` produce an item.
    Stream,
    AsyncBlock,
    Closure,
    Function,
}

impl Expansion {
    fn of(&self, body: TokenStream) -> syn::Result<TokenStream> {
        let Self { root, yielder, .. } = self;
        let private = quote!(#root::__private);
        let (generator, end) = match self.kind {
            Kind::Stream => (quote!(generator), None),
            Kind::TryStream if ends_with_a_result(&body) => (quote!(try_generator), None),
            Kind::TryStream => (quote!(try_generator), Some(quote!(#private::Ok(())))),
        };
        let refused = match self.kind {
            Kind::Stream => question_mark::first(body.clone()).map(refuse_question_mark),
            Kind::TryStream => None,
        };
        let body = self.replace(body, Place::Stream)?;
        // A body may never yield, so the yielder may be unused. It may never end, so its end may be unreachable.
        Ok(quote_spanned! {Span::mixed_site()=>
            #private::#generator(move |#[allow(unused_variables, unused_mut)] mut #yielder| async move {
                #[allow(unreachable_code)]
                {
                    #refused
                    { #body }
                    #end
                }
            })
        })
    }

    /// Replaces every `yield` in `tokens`, at every depth. Outside the stream's own body it becomes an error.
    fn replace(&self, tokens: TokenStream, place: Place) -> syn::Result<TokenStream> {
        if !mentions_yield(tokens.clone()) {
            return Ok(tokens);
        }
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut replaced = TokenStream::new();
        let mut rest = &tokens[..];
        let mut before = Before::default();
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match token {
                TokenTree::Ident(word) if word == "yield" => {
                    let (value, after) = split_value.parse2(collect(after))?;
                    let value = self.replace(value, place)?;
                    replaced.extend(match self.not_at_home(word, place) {
                        None => self.send(word, &value),
                        // The value's type is an error, so rustc reports nothing else about it.
                        Some(error) => {
                            let error = error.into_compile_error();
                            quote!(match #value { _ => #error })
                        }
                    });
                    replaced.extend(self.replace(after, place)?);
                    return Ok(replaced);
                }
                TokenTree::Punct(bar)
                    if bar.as_char() == '|'
                        && place == Place::Stream
                        && before.can_begin_a_value() =>
                {
                    replaced.extend([token.clone()]);
                    // If it begins no closure, it begins a pattern, or a mistake that rustc reports.
                    let length = rest_of_closure(token, after).unwrap_or_default();
                    let (closure, after) = after.split_at(length);
                    rest = after;
                    replaced.extend(self.replace(collect(closure), Place::Closure)?);
                }
                // A `yield` inside another `stream!` belongs to that stream.
                TokenTree::Group(group) if !before.is_stream() => {
                    let place = before.place_of(group).unwrap_or(place);
                    let mut copy =
                        Group::new(group.delimiter(), self.replace(group.stream(), place)?);
                    copy.set_span(group.span());
                    replaced.extend([TokenTree::Group(copy)]);
                }
                _ => replaced.extend([token.clone()]),
            }
            before.pass(token);
        }
        Ok(replaced)
    }

    /// The code that sends `value`, in place of `word`, a `yield`.
    fn send(&self, word: &Ident, value: &TokenStream) -> TokenStream {
        let Self { root, yielder, .. } = self;
        let value = match self.kind {
            Kind::Stream => value.clone(),
            Kind::TryStream => quote!(#root::__private::Ok(#value)),
        };
        // Messages about the value's type point at the `yield`.
        let send = quote_spanned!(word.span()=> .send(#value).await);
        quote!(#yielder #send)
    }

    /// The error for a `yield` that cannot produce an item at its place.
    fn not_at_home(&self, word: &Ident, place: Place) -> Option<syn::Error> {
        let (place, help) = match place {
            Place::Stream => return None,
            Place::AsyncBlock => (
                "an `async` block",
                "await the block's parts in the stream itself; a spawned task sends through a channel, such as \
                 `tokio::sync::mpsc`, and the stream yields the values that it receives",
            ),
            Place::Closure => ("a closure", "write a loop instead of the closure"),
            Place::Function => ("a function", "write its code in the stream itself"),
        };
        let name = self.kind.name();
        Some(syn::Error::new(
            word.span(),
            format!(
                "`yield` works only in the body of `{name}`, and this one is in {place} inside it\n\n\
                 help: {help}"
            ),
        ))
    }
}

/// Reports a `?` in a `stream!`.
///
/// The error becomes a return value of the block, whose type is then an error. So rustc does not report the `?`.
fn refuse_question_mark(place: Span) -> TokenStream {
    let error = syn::Error::new(
        place,
        "`?` needs a stream that can fail: write `try_stream!` instead of `stream!`\n\n\
         help: the items are then `Result`s, as in `impl agentcore::Stream<Item = Result<Item, agentcore::BoxError>>`; \
         yield the value itself, without `Ok`",
    );
    let error = error.into_compile_error();
    quote_spanned! {Span::mixed_site()=>
        if false {
            return match () { _ => #error };
        }
    }
}

fn mentions_yield(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "yield",
        TokenTree::Group(group) => mentions_yield(group.stream()),
        _ => false,
    })
}

/// What the tokens before a token say about it.
#[derive(Default)]
struct Before {
    /// The last two tokens as text, the later one first. A group is a single space.
    last: [String; 2],
    /// Whether the last token is an `async`, or the `move` after one.
    after_async: bool,
    /// Whether a named `fn` has begun and its body has not come yet.
    in_signature: bool,
}

impl Before {
    fn pass(&mut self, token: &TokenTree) {
        let text = match token {
            TokenTree::Group(_) => " ".to_owned(),
            token => token.to_string(),
        };
        let is_name = matches!(token, TokenTree::Ident(_));
        self.after_async = text == "async" || self.after_async && text == "move";
        self.in_signature |= self.last[0] == "fn" && is_name;
        let ended = match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => text == ";",
        };
        self.in_signature &= !ended;
        let [last, before] = &mut self.last;
        *before = std::mem::replace(last, text);
    }

    /// Whether the tokens are `stream !` or `try_stream !`.
    fn is_stream(&self) -> bool {
        let [bang, name] = &self.last;
        bang == "!" && (name == "stream" || name == "try_stream")
    }

    /// The place of a `yield` in `group`, if it differs from the group's own place.
    fn place_of(&self, group: &Group) -> Option<Place> {
        match group.delimiter() {
            Delimiter::Brace if self.after_async => Some(Place::AsyncBlock),
            Delimiter::Brace if self.in_signature => Some(Place::Function),
            _ => None,
        }
    }

    /// Whether a `|` begins a closure here. Between two values it is an operator, and between two patterns it separates
    /// alternatives.
    fn can_begin_a_value(&self) -> bool {
        let [last, _] = &self.last;
        match last.as_str() {
            // The end of a value, or the second half of `||`.
            " " | "?" | "|" => false,
            // The beginning of a group, or a word that a value follows.
            "" | "move" | "async" | "static" | "return" | "break" | "in" | "else" | "match"
            | "if" => true,
            other => {
                matches!(other.as_bytes(), [mark] if mark.is_ascii_punctuation() && *mark != b'_')
            }
        }
    }
}

/// The number of tokens in `after` that belong to the closure that `bar` begins; `None` if it begins none.
fn rest_of_closure(bar: &TokenTree, after: &[TokenTree]) -> Option<usize> {
    let following = |input: ParseStream<'_>| {
        input.parse::<ExprClosure>()?;
        if input.peek(Token![=>]) {
            return Err(input.error("two alternatives of a pattern, with a `|` before them"));
        }
        input.parse::<TokenStream>()
    };
    let all = [bar].into_iter().chain(after).cloned().collect();
    let following = following.parse2(all).ok()?;
    after.len().checked_sub(following.into_iter().count())
}

fn collect(tokens: &[TokenTree]) -> TokenStream {
    tokens.iter().cloned().collect()
}

/// Whether the last expression is `Ok(..)` or `Err(..)`, so that the body already is a `Result`.
fn ends_with_a_result(body: &TokenStream) -> bool {
    let body: Vec<TokenTree> = body.clone().into_iter().collect();
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let begin = body.iter().rposition(is_end).map_or(0, |end| end + 1);
    match &body[begin..] {
        [TokenTree::Ident(name), TokenTree::Group(_)] => is_result(name),
        // With type arguments: `Ok::<(), BoxError>(())`.
        [
            TokenTree::Ident(name),
            TokenTree::Punct(colon),
            ..,
            TokenTree::Punct(close),
            TokenTree::Group(_),
        ] => is_result(name) && colon.as_char() == ':' && close.as_char() == '>',
        _ => false,
    }
}

fn is_result(name: &Ident) -> bool {
    name == "Ok" || name == "Err"
}

/// Splits the tokens after a `yield` into its value and the rest. A `yield` alone yields `()`.
fn split_value(input: ParseStream<'_>) -> syn::Result<(TokenStream, TokenStream)> {
    let ends_here = input.is_empty() || input.peek(Token![;]) || input.peek(Token![,]);
    let value = if ends_here {
        Group::new(Delimiter::Parenthesis, TokenStream::new()).into_token_stream()
    } else if input.peek(Token![yield]) {
        return Err(input.error("`yield` cannot be the value of a `yield`"));
    } else {
        input.parse::<Expr>()?.into_token_stream()
    };
    Ok((value, input.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(kind: Kind, body: &str) -> String {
        let tokens = expand(
            kind,
            format!("(::other::path) {body}").parse().expect("tokens"),
        );
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
            text.contains(".send(::other::path::__private::Ok(x)).await;"),
            "{text}"
        );
        assert!(
            text.contains("}::other::path::__private::Ok(())}"),
            "{text}"
        );
    }

    #[test]
    fn a_try_stream_may_end_with_its_own_result() {
        for body in [
            "yield 1; Ok(())",
            "Ok(())",
            "if a { return Ok(()); } Err(b.into())",
            "yield 1; Ok::<(), Box<dyn Error + Send + Sync>>(())",
        ] {
            let text = expanded(Kind::TryStream, body);
            assert!(
                !text.contains("}::other::path::__private::Ok(())"),
                "{text}"
            );
        }
        for body in [
            "yield 1; Ok(());",
            "Ok(()).map(f)?;",
            "if a { Ok(()) } else { b }?;",
        ] {
            let text = expanded(Kind::TryStream, body);
            assert!(text.contains("}::other::path::__private::Ok(())"), "{text}");
        }
    }

    #[test]
    fn only_the_given_path_is_named() {
        for kind in [Kind::Stream, Kind::TryStream] {
            let text = expanded(kind, "yield f(); try_stream! { yield g()?; }; yield");
            assert!(!text.contains("agentcore::"), "{text}");
        }
    }

    #[test]
    fn an_inner_stream_keeps_its_own_yields() {
        let text = expanded(Kind::Stream, "yield stream! { yield 1; }; yield 2;");
        assert!(text.contains(".send(stream!{yield1;}).await"), "{text}");
        assert!(text.contains(".send(2).await"), "{text}");
        let text = expanded(
            Kind::Stream,
            "spawn(async { stream! { yield 1; } }); yield 2;",
        );
        assert!(!text.contains("compile_error"), "{text}");
    }

    #[test]
    fn a_yield_that_could_not_hand_anything_out_is_reported() {
        for (body, place) in [
            ("tokio::spawn(async move { yield 1; });", "an`async`block"),
            ("async { if a { yield 1 } }.await", "an`async`block"),
            ("select! { _ = async { yield 1; } => {} }", "an`async`block"),
            ("items.for_each(|item| yield item);", "aclosure"),
            ("let f = move |a: A, (b, c)| { yield a };", "aclosure"),
            ("let f = || yield 1;", "aclosure"),
            ("g(a, async move |x: u8| -> u8 { yield x })", "aclosure"),
            ("f(|_| match a { A | B => yield 1, })", "aclosure"),
            ("fn helper() -> u8 { yield 1; }", "afunction"),
            (
                "impl A { const fn helper<T: Into<u8>>(&self) { yield 1; } }",
                "afunction",
            ),
        ] {
            let text = expanded(Kind::Stream, body);
            assert!(text.contains("compile_error"), "{body}: {text}");
            assert!(
                text.contains(&format!("isin{place}inside")),
                "{body}: {text}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_a_closure_is_the_streams_own() {
        for body in [
            "match a { A | B => yield 1, | C | D => { yield 2; } E => yield 3 | 4, }",
            "let a = b | c; yield a | b | c;",
            "if a || b { yield 1; }",
            "if let A | B = c { yield 1; }",
            "let n = items.iter().map(|item| item.n).sum(); yield n;",
            "loop { let f: fn(u8) -> u8 = g; { yield f(1); } }",
            "let x = async { 1 }.await; { yield x; }",
            "select! { a = f() => yield a, Some(B | C) = g() => { yield 2; } }",
            "yield items.map(|item| async move { item });",
        ] {
            let text = expanded(Kind::Stream, body);
            assert!(!text.contains("compile_error"), "{body}: {text}");
            assert!(
                !text.contains("yield1") && text.contains(".send("),
                "{body}: {text}"
            );
        }
    }

    #[test]
    fn what_is_no_expression_is_reported() {
        assert!(expanded(Kind::Stream, "yield yield 1;").contains("compile_error"));
        assert!(expanded(Kind::Stream, "yield =;").contains("compile_error"));
    }
}
