//! The function under the attribute.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, Signature, Token, Visibility, braced, token};

/// A function whose body nobody has looked into.
///
/// Parsing the body would repeat every syntax error that rustc has already reported, and cost time.
pub(crate) struct AnnotatedFn {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// `None` for a declaration that ends in a semicolon.
    pub(crate) body: Option<Body>,
}

/// The braces of a function and what they hold.
pub(crate) struct Body {
    /// `#![..]` at the top; they have to stay first wherever the rest goes.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) brace: token::Brace,
    pub(crate) statements: TokenStream,
}

impl AnnotatedFn {
    /// The function with another name.
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        self.sig.ident = Ident::new(name, self.sig.ident.span());
        self
    }
}

impl Parse for AnnotatedFn {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: if input.parse::<Option<Token![;]>>()?.is_some() {
                None
            } else {
                Some(input.parse()?)
            },
        })
    }
}

impl Parse for Body {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let content;
        Ok(Self {
            brace: braced!(content in input),
            attrs: content.call(Attribute::parse_inner)?,
            statements: content.parse()?,
        })
    }
}

impl ToTokens for AnnotatedFn {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self {
            attrs,
            vis,
            sig,
            body,
        } = self;
        for attr in attrs {
            attr.to_tokens(tokens);
        }
        vis.to_tokens(tokens);
        sig.to_tokens(tokens);
        match body {
            Some(body) => body.to_tokens(tokens),
            None => <Token![;]>::default().to_tokens(tokens),
        }
    }
}

impl ToTokens for Body {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.brace.surround(tokens, |tokens| {
            for attr in &self.attrs {
                attr.to_tokens(tokens);
            }
            self.statements.to_tokens(tokens);
        });
    }
}
