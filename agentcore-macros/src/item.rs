//! The function under the attribute.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, Ident, Signature, Token, Visibility, braced, parse_quote, token,
};

use crate::{cfgs, yields};

/// A function whose body is not parsed.
///
/// Parsing it would cost time, and repeat every syntax error that rustc has already reported.
pub(crate) struct AnnotatedFn {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// `None` for a declaration that ends in a semicolon.
    pub(crate) body: Option<Body>,
}

/// A function's braces and their content.
pub(crate) struct Body {
    /// Attributes `#![..]` at the top of the body; the expansion has to keep them first.
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

    /// Removes doc comments and `#[default]` from the arguments, because rustc allows neither there. Returns them for each
    /// argument.
    pub(crate) fn take_argument_attributes(&mut self) -> Vec<Vec<Attribute>> {
        let is_taken = |attr: &Attribute| {
            ["doc", "default"]
                .iter()
                .any(|name| attr.path().is_ident(name))
        };
        let attrs = self.sig.inputs.iter_mut().map(|input| match input {
            FnArg::Typed(input) => &mut input.attrs,
            FnArg::Receiver(receiver) => &mut receiver.attrs,
        });
        attrs
            .map(|attrs| {
                let (taken, kept) = std::mem::take(attrs).into_iter().partition(is_taken);
                *attrs = kept;
                taken
            })
            .collect()
    }

    /// The function's conditions, for all items that are emitted beside it.
    pub(crate) fn cfgs(&self) -> Vec<Attribute> {
        cfgs::of(&self.attrs)
    }

    /// Reports a `yield` in the body with `message`. Returns whether there is one.
    ///
    /// The message becomes the value of a variable, whose type is an error to rustc. The function returns that variable, so rustc
    /// reports no type mismatches. The body stays, in a block that is not used, and so does the signature: the names in it still
    /// count as used.
    pub(crate) fn reject_yield(&mut self, message: &str) -> bool {
        let Some(body) = &mut self.body else {
            return false;
        };
        let error = Ident::new("__agentcore_error", Span::mixed_site());
        let Some((place, statements)) = yields::as_returns(&body.statements, &error) else {
            return false;
        };
        let message = Error::new(place, message).into_compile_error();
        let block = if self.sig.asyncness.is_some() {
            quote!(async move)
        } else {
            quote!(move ||)
        };
        body.statements = quote! {
            let #error = #message;
            let _ = #block {
                if false {
                    return #error;
                }
                #statements
            };
            #error
        };
        // The body before the error may never end.
        self.attrs.push(parse_quote!(#[allow(unreachable_code)]));
        true
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
