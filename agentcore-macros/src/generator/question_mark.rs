//! A `?` in a `stream!`, which cannot fail.
//!
//! rustc says that the operator needs an `async` block that returns `Result`. The source shows no such block, and the remedy is
//! another macro.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use super::{Before, Place, rest_of_closure};

/// Macros whose arguments are expressions. In other macros a `?` may be part of their own syntax.
const OF_EXPRESSIONS: [&str; 20] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "concat",
    "dbg",
    "debug_assert",
    "eprint",
    "eprintln",
    "format",
    "format_args",
    "join",
    "json",
    "matches",
    "panic",
    "print",
    "println",
    "select",
    "vec",
    "write",
    "writeln",
];

/// The place of the first `?` that would leave the stream itself. A `?` in a nested block, closure or function leaves only that.
pub(super) fn first(body: TokenStream) -> Option<Span> {
    let tokens: Vec<TokenTree> = body.into_iter().collect();
    let mut rest = &tokens[..];
    let mut before = Before::default();
    let mut name: Option<&Ident> = None;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '?' && before.is_value() => {
                return Some(mark.span());
            }
            TokenTree::Punct(bar) if bar.as_char() == '|' && before.can_begin_a_value() => {
                let length = rest_of_closure(token, after).unwrap_or_default();
                rest = &after[length..];
            }
            TokenTree::Group(group) if may_leave(&before, name, group) => {
                if let Some(found) = first(group.stream()) {
                    return Some(found);
                }
            }
            _ => {}
        }
        name = match (token, name) {
            (TokenTree::Punct(bang), Some(name)) if bang.as_char() == '!' => Some(name),
            (TokenTree::Ident(_), Some(name)) if name == "macro_rules" => Some(name),
            (TokenTree::Ident(name), _) => Some(name),
            _ => None,
        };
        before.pass(token);
    }
    None
}

/// Whether a `?` in `group` can leave the stream. `name` is the word before it, or before the `!` before it.
fn may_leave(before: &Before, name: Option<&Ident>, group: &Group) -> bool {
    let [last, _] = &before.last;
    match (last.as_str(), name) {
        (_, Some(name)) if name == "macro_rules" => false,
        ("!", Some(name)) if !before.is_stream() => {
            // After a keyword, the `!` is a negation.
            OF_EXPRESSIONS.iter().any(|macro_| name == macro_)
                || syn::parse_str::<Ident>(&name.to_string()).is_err()
        }
        ("!", Some(_)) => false,
        // An attribute.
        ("#", _) => group.delimiter() != Delimiter::Bracket,
        _ => !matches!(
            before.place_of(group),
            Some(Place::AsyncBlock | Place::Function)
        ),
    }
}

impl Before {
    /// Whether the last token may end a value. The token before `?Sized` does not.
    fn is_value(&self) -> bool {
        let [last, _] = &self.last;
        let is_word =
            last.starts_with(|first: char| first.is_alphanumeric() || "_\"'".contains(first));
        matches!(last.as_str(), " " | "?") || is_word && !matches!(last.as_str(), "dyn" | "impl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Option<usize> {
        let body = body.parse().expect("tokens");
        first(body).map(|span| span.start().column)
    }

    #[test]
    fn one_that_leaves_the_stream_is_found() {
        for body in [
            "let x = f()?; yield x;",
            "yield f().await?.g;",
            "for n in list { if n > 1 { yield match n { 1 => a?, _ => b } } }",
            "let x = items.map(|item| item + 1)?;",
            "let x = async { 1 }.await?; yield x;",
            "yield json!({ \"token\": next()? });",
            "select! { a = f() => yield a?, }",
            "if !(f()?) { yield 1; }",
            "if a || b? { yield 1; }",
            "let x = \"1\"?;",
            "f()??;",
        ] {
            assert_eq!(found(body), body.find('?'), "{body}");
        }
    }

    #[test]
    fn one_that_leaves_something_else_is_not() {
        for body in [
            "let f = |text: &str| Ok(text.parse()?);",
            "let f = async move |a, (b, c)| { a? };",
            "spawn(async move { f()?; Ok(()) });",
            "async { f()? }.await;",
            "fn helper<T: ?Sized>(t: &T) -> Option<u8> { t.f()?; None }",
            "fn helper(t: Box<dyn ?Sized + A>) {}",
            "yield try_stream! { yield f()?; };",
            "macro_rules! each { ($($e:expr)?) => { $e? }; }",
            "info!(?count, \"counted\"); span!(a = ?b);",
            "peg::parser! { rule a() = b()? c? }",
            "#[some(b?)] yield 1;",
        ] {
            assert_eq!(found(body), None, "{body}");
        }
    }
}
