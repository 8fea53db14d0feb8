//! `#[cfg(..)]` below an attribute.
//!
//! rustc expands attributes from the top, so an attribute sees the conditions below it. It has to repeat them on everything that
//! it emits beside the item. Otherwise the expansion names a function that does not exist.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Meta, parse_quote};

/// The conditions among `attrs`. A `cfg_attr` is reduced to the conditions that it adds.
pub(crate) fn of(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs
        .iter()
        .filter_map(|attr| {
            if attr.path().is_ident("cfg") {
                return Some(attr.clone());
            }
            match &attr.meta {
                Meta::List(list) if list.path.is_ident("cfg_attr") => {
                    let arguments = conditions_of(list.tokens.clone())?;
                    Some(parse_quote!(#[cfg_attr(#arguments)]))
                }
                _ => None,
            }
        })
        .collect()
}

/// The arguments of a `cfg_attr`, without attributes that are no conditions; `None` if nothing is left.
fn conditions_of(arguments: TokenStream) -> Option<TokenStream> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    let mut arguments =
        arguments.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
    let predicate = arguments.next()?.iter();
    let conditions: Vec<TokenStream> = arguments
        .filter_map(|attr| match attr {
            [TokenTree::Ident(name), ..] if name == "cfg" => Some(attr.iter().cloned().collect()),
            [TokenTree::Ident(name), TokenTree::Group(group)] if name == "cfg_attr" => {
                let conditions = conditions_of(group.stream())?;
                Some(quote!(cfg_attr(#conditions)))
            }
            _ => None,
        })
        .collect();
    (!conditions.is_empty()).then(|| quote!(#(#predicate)*, #(#conditions),*))
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::parse::Parser as _;

    use super::*;

    #[test]
    fn only_conditions_are_kept() {
        let attrs = Attribute::parse_outer
            .parse_str(
                r#"
                /// Documented.
                #[inline]
                #[cfg(feature = "chat")]
                #[cfg_attr(test, ignore)]
                #[cfg_attr(all(unix, test), cfg(feature = "a"), inline, cfg_attr(windows, cfg(b), must_use),)]
                #[cfg_attr(unix, cfg_attr(test, inline))]
                "#,
            )
            .expect("attributes");
        let kept: Vec<String> = of(&attrs)
            .iter()
            .map(|attr| attr.to_token_stream().to_string().replace(' ', ""))
            .collect();
        assert_eq!(
            kept,
            [
                r#"#[cfg(feature="chat")]"#,
                r#"#[cfg_attr(all(unix,test),cfg(feature="a"),cfg_attr(windows,cfg(b)))]"#,
            ]
        );
    }
}
