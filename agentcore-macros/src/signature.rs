//! Signatures that do not parse.

use proc_macro2::{Delimiter, Group, Punct, Spacing, TokenStream, TokenTree};
use quote::quote;

/// Adds a type to each argument of `item` that has none, such as `event` in `fn f(event)`; `None` if there is no such argument.
///
/// rustc has already reported such an argument, and passed the item on. It may accept other signatures that do not parse here.
/// Those are reported, so that no function silently misses what its attribute promises.
pub(crate) fn repaired(item: TokenStream) -> Option<TokenStream> {
    let mut tokens = item.into_iter();
    let mut repaired = TokenStream::new();
    for token in tokens.by_ref() {
        let is_fn = matches!(&token, TokenTree::Ident(word) if word == "fn");
        repaired.extend([token]);
        if is_fn {
            break;
        }
    }
    let mut depth = Depth::default();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group)
                if depth.is_zero() && group.delimiter() == Delimiter::Parenthesis =>
            {
                let mut arguments = Group::new(Delimiter::Parenthesis, with_types(group.stream())?);
                arguments.set_span(group.span());
                repaired.extend([TokenTree::Group(arguments)]);
                repaired.extend(tokens);
                return Some(repaired);
            }
            token => {
                depth.pass(&token);
                repaired.extend([token]);
            }
        }
    }
    None
}

/// Adds a type to each argument that has none; `None` if all have one.
fn with_types(arguments: TokenStream) -> Option<TokenStream> {
    let arguments = split(arguments);
    if !arguments.iter().any(|argument| is_untyped(argument)) {
        return None;
    }
    let typed = arguments.iter().map(|argument| match &argument[..] {
        argument if !is_untyped(argument) => quote!(#(#argument)*),
        // The colon is missing.
        [
            name @ TokenTree::Ident(_),
            ty @ TokenTree::Ident(_),
            rest @ ..,
        ] => {
            let colon = Punct::new(':', Spacing::Alone);
            quote!(#name #colon #ty #(#rest)*)
        }
        [name @ TokenTree::Ident(_)] => quote!(#name: ()),
        _ => quote!(_: ()),
    });
    Some(quote!(#(#typed),*))
}

/// The arguments between the commas.
fn split(arguments: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut depth = Depth::default();
    let mut split = vec![Vec::new()];
    for token in arguments {
        depth.pass(&token);
        match (&token, split.last_mut()) {
            (TokenTree::Punct(comma), _) if comma.as_char() == ',' && depth.is_zero() => {
                split.push(Vec::new());
            }
            (_, Some(argument)) => argument.push(token),
            (_, None) => {}
        }
    }
    split.retain(|argument| !argument.is_empty());
    split
}

fn is_untyped(argument: &[TokenTree]) -> bool {
    let mut after_colon = false;
    for token in argument {
        match token {
            TokenTree::Ident(word) if word == "self" => return false,
            TokenTree::Punct(dot) if dot.as_char() == '.' => return false,
            TokenTree::Punct(colon) if colon.as_char() == ':' => {
                // In `::`, the first colon is joined to the second.
                if colon.spacing() == Spacing::Alone && !after_colon {
                    return false;
                }
                after_colon = true;
                continue;
            }
            _ => {}
        }
        after_colon = false;
    }
    true
}

/// Counts the open `<`.
#[derive(Default)]
struct Depth {
    open: usize,
    /// Whether the last token was the `-` of a `->`.
    in_arrow: bool,
}

impl Depth {
    fn pass(&mut self, token: &TokenTree) {
        let char = match token {
            TokenTree::Punct(punct) => punct.as_char(),
            _ => ' ',
        };
        match char {
            '<' => self.open += 1,
            '>' if !self.in_arrow => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.in_arrow = matches!(token, TokenTree::Punct(punct) if punct.as_char() == '-' && punct.spacing() == Spacing::Joint);
    }

    const fn is_zero(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired_text(item: &str) -> Option<String> {
        let item = repaired(item.parse().expect("tokens"))?;
        Some(item.to_string().replace(' ', ""))
    }

    #[test]
    fn untyped_arguments_get_a_type() {
        for (item, arguments) in [
            ("async fn f(event String) {}", "(event:String){}"),
            ("async fn f(event, a: A) {}", "(event:(),a:A){}"),
            (
                "fn f<F: Fn(u8) -> u8>(a: M<A, B>, m M<A, B>) {}",
                "(a:M<A,B>,m:M<A,B>){}",
            ),
            ("fn f(std::string::String) {}", "(_:()){}"),
        ] {
            let text = repaired_text(item).expect(item);
            assert!(text.ends_with(arguments), "{text}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for item in [
            "fn f(&self, a: fn(A, B) -> Vec<u8>, b: (A, B), (c, d): E, f: ::g::H) {}",
            "fn f(self, #[cfg(a)] mut b: B, ...) {}",
            "fn f(a: A,) -> (B, C) {}",
            "struct S(String);",
        ] {
            assert_eq!(repaired_text(item), None, "{item}");
        }
    }
}
