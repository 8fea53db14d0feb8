//! Checks of types, by their syntax alone.

use quote::ToTokens;
use syn::{GenericArgument, Ident, Lifetime, PathArguments, Type, TypeReference, parse_quote};

use crate::errors::Errors;

/// Checks an argument of a handler. It is made from the request, so it has to be a concrete type that owns its content.
/// `concrete` is the advice for an `impl Trait`.
pub(super) fn owned(ty: &Type, concrete: &str, errors: &mut Errors) {
    owned_as("handler arguments", ty, concrete, errors);
}

/// Like [`owned`], for values that messages call `subject`.
pub(super) fn owned_as(subject: &str, ty: &Type, concrete: &str, errors: &mut Errors) {
    for part in parts(ty) {
        match part {
            Part::Type(Type::Reference(reference)) if !is_static(reference.lifetime.as_ref()) => {
                let owned = owned_form(reference);
                errors.push_shape(
                    reference,
                    format_args!("{subject} are owned: take {owned} instead of a reference"),
                );
            }
            Part::Type(Type::Infer(_)) => errors.leave_to_rustc(),
            Part::Type(Type::ImplTrait(ty)) => errors.push_shape(
                ty,
                format_args!("{subject} need a concrete type; {concrete}"),
            ),
            Part::Lifetime(lifetime) if !is_static(Some(lifetime)) => {
                errors.push_shape(
                    ty,
                    format_args!("{subject} are owned: take a type without lifetimes"),
                );
            }
            _ => {}
        }
    }
}

/// The type that a written reference refers to.
pub(super) fn borrowed(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) => Some(&reference.elem),
        _ => None,
    }
}

/// Whether a type path ends with this name.
pub(super) fn is_called(ty: &Type, name: &str) -> bool {
    last_name(ty).is_some_and(|last| last == name)
}

/// The last name of a type path, without its arguments.
pub(super) fn last_name(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| &last.ident),
        Type::Group(group) => last_name(&group.elem),
        Type::Paren(paren) => last_name(&paren.elem),
        _ => None,
    }
}

/// Checks that the type of a durable task's result has a name and is owned, because the result is stored.
pub(super) fn storable(ty: &Type, errors: &mut Errors) {
    owned_as(
        "the results of a durable task are stored, so they",
        ty,
        "name the type",
        errors,
    );
}

/// Checks that the type of a step's result has a name and is owned, because the result is recorded.
pub(super) fn recordable(ty: &Type, errors: &mut Errors) {
    owned_as(
        "the results of a step are recorded, so they",
        ty,
        "name the type",
        errors,
    );
}

/// Checks that the type has a name, because state is found by its type.
pub(super) fn nameable(ty: &Type, errors: &mut Errors) {
    for part in parts(ty) {
        match part {
            Part::Type(Type::Infer(_)) => errors.leave_to_rustc(),
            Part::Type(Type::ImplTrait(ty)) => {
                errors.push_shape(
                    ty,
                    "the value that a start hook returns is found by its type, so it needs a concrete type",
                );
            }
            _ => {}
        }
    }
}

/// The type, with `_` in place of every `impl Trait`.
pub(super) fn erase_impl_trait(ty: &Type) -> Type {
    let mut erased = ty.clone();
    erase(&mut erased);
    erased
}

/// `T` and `E` of a type that is written as a `Result`.
///
/// This is only good for spans: any type may have that name.
pub(super) fn result_arguments(ty: &Type) -> (Option<&Type>, Option<&Type>) {
    let Type::Path(path) = ty else {
        return (None, None);
    };
    match path.path.segments.last() {
        Some(last) if last.ident == "Result" => {
            let mut types =
                generic_arguments(&last.arguments).filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                });
            (types.next(), types.next())
        }
        _ => (None, None),
    }
}

/// Source text as a person would space it.
pub(super) fn text(tokens: &impl ToTokens) -> String {
    // Versions of rustc put different spaces into the text of token streams.
    let spaced = tokens.to_token_stream().to_string();
    let mut text = String::with_capacity(spaced.len());
    let mut chars = spaced.chars().peekable();
    let mut before = ' ';
    while let Some(char) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let is_word = |char: char| char.is_alphanumeric() || char == '_';
        let wanted = (is_word(before) || before == '>') && is_word(after)
            || matches!(before, ',' | ';' | '+' | '=')
            || matches!(after, '+' | '=' | '-');
        if char != ' ' || wanted {
            text.push(char);
            before = char;
        }
    }
    text
}

/// A piece of a type.
enum Part<'a> {
    Type(&'a Type),
    Lifetime(&'a Lifetime),
}

/// The type itself and all types in it, except behind references and in bounds.
fn parts(ty: &Type) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    collect(ty, &mut found);
    found
}

fn collect<'a>(ty: &'a Type, found: &mut Vec<Part<'a>>) {
    found.push(Part::Type(ty));
    match ty {
        Type::Path(path) => {
            let segments = path.path.segments.iter();
            for argument in segments.flat_map(|segment| generic_arguments(&segment.arguments)) {
                match argument {
                    GenericArgument::Type(ty) => collect(ty, found),
                    GenericArgument::Lifetime(lifetime) => found.push(Part::Lifetime(lifetime)),
                    _ => {}
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|elem| collect(elem, found)),
        Type::Array(array) => collect(&array.elem, found),
        Type::Group(group) => collect(&group.elem, found),
        Type::Paren(paren) => collect(&paren.elem, found),
        _ => {}
    }
}

fn erase(ty: &mut Type) {
    match ty {
        Type::ImplTrait(_) => *ty = parse_quote!(_),
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else {
                    continue;
                };
                for argument in &mut arguments.args {
                    if let GenericArgument::Type(ty) = argument {
                        erase(ty);
                    }
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(erase),
        Type::Array(array) => erase(&mut array.elem),
        Type::Group(group) => erase(&mut group.elem),
        Type::Paren(paren) => erase(&mut paren.elem),
        Type::Reference(reference) => erase(&mut reference.elem),
        _ => {}
    }
}

fn generic_arguments(arguments: &PathArguments) -> impl Iterator<Item = &GenericArgument> {
    let arguments = match arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten()
}

fn is_static(lifetime: Option<&Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

/// The type to take instead of `&T`, for messages.
fn owned_form(reference: &TypeReference) -> String {
    match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
        Type::Slice(slice) => format!("`Vec<{}>`", text(&slice.elem)),
        Type::TraitObject(_) | Type::ImplTrait(_) => "a value of a concrete type".to_owned(),
        elem => format!("`{}`", text(elem)),
    }
}
