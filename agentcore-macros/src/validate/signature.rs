//! Checks of a signature as a whole.

use quote::ToTokens as _;
use syn::{ReturnType, Safety, Signature, Type};

use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::role::Role;

/// Checks that the server can call the function: it is a plain free function.
pub(super) fn callable(role: &Role, item: &AnnotatedFn, errors: &mut Errors) {
    let noun = role.noun;
    let sig = &item.sig;
    if let Some(token) = &sig.constness {
        errors.push_shape(token, format_args!("{noun} cannot be `const`"));
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.push_shape(token, format_args!("{noun} cannot be `unsafe`"));
    }
    if let Some(abi) = &sig.abi {
        errors.push_shape(abi, format_args!("{noun} cannot be `extern`"));
    }
    if let Some(variadic) = &sig.variadic {
        errors.push_shape(variadic, format_args!("{noun} cannot be variadic"));
    }
    if let Some(receiver) = sig.receiver() {
        errors.push_shape(
            receiver,
            format_args!("{noun} must be a free function; it has no `self` to be called on"),
        );
    }
    if item.body.is_none() {
        errors.push_shape(&sig.ident, format_args!("{noun} needs a body"));
    }
}

/// Checks that the function is not generic. Lifetimes count too, because arguments are owned.
pub(super) fn not_generic(role: &Role, sig: &Signature, errors: &mut Errors) {
    let message = format!(
        "{} cannot be generic: the server needs one concrete function",
        role.noun
    );
    if !sig.generics.params.is_empty() {
        errors.push_shape(&sig.generics, message);
    } else if let Some(clause) = &sig.generics.where_clause {
        errors.push_shape(clause, message);
    }
}

/// Rejects `!`. It cannot be the output of a future, and a function that never returns has no reply.
pub(super) fn returns(role: &Role, sig: &Signature, errors: &mut Errors) {
    let ReturnType::Type(_, ty) = &sig.output else {
        return;
    };
    if matches!(**ty, Type::Never(_)) {
        errors.push(
            ty.to_token_stream(),
            format_args!("{} cannot return `!`; {}", role.noun, role.instead_of_never),
        );
    }
}
