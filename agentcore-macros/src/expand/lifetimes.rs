//! Gives every lifetime in a task's arguments a name.
//!
//! If an `impl Trait` holds a borrow whose lifetime its bounds do not mention, rustc takes the borrow for an accident. When such
//! a borrow does not live long enough, as in `spawn(job(&text))`, rustc advises `+ use<>` at the return type, where the source
//! has no `impl Trait`. With bounds that mention the lifetimes, rustc reports what it reports for an `async fn`.
//!
//! Lifetimes that a type hides, as in `Chars` for `Chars<'_>`, cannot be seen here. The future still borrows them.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{
    FnArg, GenericArgument, GenericParam, Generics, Lifetime, LifetimeParam, Pat, PathArguments,
    ReceiverKind, ReturnType, Signature, Token, Type, TypeParamBound,
};

/// Names the lifetimes that the arguments of `sig` leave out. Returns all lifetimes of the arguments.
///
/// If the return type leaves one out, none is named: rustc advises against signatures with both. The bounds then mention the
/// lifetime already, as part of the future's output.
pub(super) fn name_all(sig: &mut Signature) -> Vec<Lifetime> {
    let mut names = Names::new(&sig.generics);
    if let ReturnType::Type(_, ty) = &sig.output {
        let mut output = Names::new(&sig.generics);
        output.of_type(&mut ty.clone());
        if !output.new.is_empty() {
            return Vec::new();
        }
    }
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                names.argument = "self".to_owned();
                match &mut receiver.kind {
                    ReceiverKind::Reference(and, lifetime, _) => {
                        names.reference(and.span, lifetime);
                    }
                    ReceiverKind::Typed(_, ty) => names.of_type(ty),
                    _ => {}
                }
            }
            // An argument with a `#[cfg]` may be missing, and bounds cannot have conditions.
            FnArg::Typed(typed) if typed.attrs.is_empty() => {
                let Pat::Ident(pat) = &*typed.pat else {
                    continue;
                };
                names.argument = pat.ident.unraw().to_string();
                names.of_type(&mut typed.ty);
            }
            FnArg::Typed(_) => {}
        }
    }
    let Names { new, all, .. } = names;
    for (index, lifetime) in new.into_iter().enumerate() {
        let parameter = GenericParam::Lifetime(LifetimeParam::new(lifetime));
        sig.generics.params.insert(index, parameter);
    }
    all
}

/// The names of the lifetimes in one signature.
struct Names {
    /// The argument that is being named.
    argument: String,
    taken: Vec<Ident>,
    new: Vec<Lifetime>,
    all: Vec<Lifetime>,
}

impl Names {
    fn new(generics: &Generics) -> Self {
        let declared = || generics.lifetimes();
        Self {
            argument: String::new(),
            taken: declared()
                .map(|parameter| parameter.lifetime.ident.clone())
                .collect(),
            new: Vec::new(),
            // A lifetime with a condition is left out: a bound cannot have conditions.
            all: declared()
                .filter(|parameter| parameter.attrs.is_empty())
                .map(|parameter| parameter.lifetime.clone())
                .collect(),
        }
    }

    /// A name for a lifetime at `span`: `'_text` in the argument `text`.
    fn give(&mut self, span: Span) -> Lifetime {
        let argument = self.argument.trim_start_matches('_');
        let first = format_ident!("_{argument}");
        let more = (2..).map(|number| format_ident!("_{argument}_{number}"));
        let free = std::iter::once(first)
            .chain(more)
            .find(|name| !self.taken.contains(name));
        // There is always a free number.
        let mut ident = free.unwrap_or_else(|| format_ident!("_lifetime"));
        self.taken.push(ident.clone());
        let span = Span::mixed_site().located_at(span);
        ident.set_span(span);
        let lifetime = Lifetime {
            apostrophe: span,
            ident,
        };
        self.new.push(lifetime.clone());
        self.all.push(lifetime.clone());
        lifetime
    }

    fn lifetime(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.give(lifetime.apostrophe);
        } else if lifetime.ident != "static" && !self.all.contains(lifetime) {
            // A lifetime of the `impl` around the function.
            self.all.push(lifetime.clone());
        }
    }

    fn reference(&mut self, and: Span, lifetime: &mut Option<Lifetime>) {
        match lifetime {
            Some(lifetime) => self.lifetime(lifetime),
            None => *lifetime = Some(self.give(and)),
        }
    }

    fn of_type(&mut self, ty: &mut Type) {
        match ty {
            Type::Reference(ty) => {
                self.reference(ty.and_token.span, &mut ty.lifetime);
                self.of_type(&mut ty.elem);
            }
            Type::Path(ty) => {
                if let Some(qself) = &mut ty.qself {
                    self.of_type(&mut qself.ty);
                }
                for segment in &mut ty.path.segments {
                    self.arguments(&mut segment.arguments);
                }
            }
            Type::Array(ty) => self.of_type(&mut ty.elem),
            Type::Slice(ty) => self.of_type(&mut ty.elem),
            Type::Group(ty) => self.of_type(&mut ty.elem),
            Type::Paren(ty) => self.of_type(&mut ty.elem),
            Type::Ptr(ty) => self.of_type(&mut ty.elem),
            Type::Tuple(ty) => ty.elems.iter_mut().for_each(|elem| self.of_type(elem)),
            Type::ImplTrait(ty) => self.bounds(&mut ty.bounds),
            Type::TraitObject(ty) => self.bounds(&mut ty.bounds),
            // Lifetimes in a `fn(&T)` are the pointer's own.
            _ => {}
        }
    }

    fn arguments(&mut self, arguments: &mut PathArguments) {
        // Lifetimes in a `Fn(&T)` are the bound's own.
        let PathArguments::AngleBracketed(arguments) = arguments else {
            return;
        };
        for argument in &mut arguments.args {
            match argument {
                GenericArgument::Lifetime(lifetime) => self.lifetime(lifetime),
                GenericArgument::Type(ty) => self.of_type(ty),
                GenericArgument::AssocType(binding) => self.of_type(&mut binding.ty),
                _ => {}
            }
        }
    }

    fn bounds(&mut self, bounds: &mut Punctuated<TypeParamBound, Token![+]>) {
        for bound in bounds {
            match bound {
                TypeParamBound::Lifetime(lifetime) => self.lifetime(lifetime),
                // After a `for<'a>`, a lifetime may be the bound's own.
                TypeParamBound::Trait(bound) if bound.lifetimes.is_none() => {
                    for segment in &mut bound.path.segments {
                        self.arguments(&mut segment.arguments);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::*;

    /// The signature with its new names, and the lifetimes of its arguments; without spaces.
    fn named(signature: &str) -> (String, String) {
        let mut signature: Signature = syn::parse_str(signature).expect("a signature");
        let all = name_all(&mut signature);
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        let signature = signature.to_token_stream().to_string();
        (signature.replace(' ', ""), all.join(" "))
    }

    #[test]
    fn every_lifetime_that_shows_has_a_name() {
        for (signature, expected, all) in [
            (
                "fn f(a: &A, b: &mut [&B]) -> C",
                "fnf<'_a,'_b,'_b_2>(a:&'_aA,b:&'_bmut[&'_b_2B])->C",
                "'_a '_b '_b_2",
            ),
            (
                "fn f<'_a, 'b: '_a, T>(&mut self, a: (&'_a A, T<'_>), r#type: impl Of<T = &B> + '_)",
                "fnf<'_self,'_a_2,'_type,'_type_2,'_a,'b:'_a,T>\
                 (&'_selfmutself,a:(&'_aA,T<'_a_2>),r#type:implOf<T=&'_typeB>+'_type_2)",
                "'_a 'b '_self '_a_2 '_type '_type_2",
            ),
            (
                "fn f(self: Pin<&Self>, a: &'of_the_impl A, b: &'static B)",
                "fnf<'_self>(self:Pin<&'_selfSelf>,a:&'of_the_implA,b:&'staticB)",
                "'_self 'of_the_impl",
            ),
        ] {
            assert_eq!(named(signature), (expected.to_owned(), all.to_owned()));
        }
    }

    #[test]
    fn lifetimes_of_something_else_are_left_alone() {
        for signature in [
            "fn f(a: fn(&A) -> &B, b: Box<dyn Fn(&A) -> &B>, c: Box<dyn for<'a> F<&'a A>>)",
            "fn f(#[cfg(a)] a: &A, b: each!(&'_ B))",
            "fn f<#[cfg(a)] 'a>(a: A)",
            // The return type has one of them.
            "fn f(&self, a: &A) -> &B",
            "fn f(a: &A) -> Result<B<'_>, E>",
        ] {
            let (same, all) = named(signature);
            assert_eq!((&*same, &*all), (&*signature.replace(' ', ""), ""));
        }
    }
}
