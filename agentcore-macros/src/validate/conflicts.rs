//! Other attributes on the same function.

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::Attribute;

use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::role::Role;

/// Reports the attributes that conflict with `role`'s, and removes them, so that they cause no further errors.
pub(crate) fn reject_conflicts(role: &Role, item: &mut AnnotatedFn, errors: &mut Errors) {
    item.attrs.retain(|attr| match message(role, attr) {
        None => true,
        Some(message) if is_tracked_entrypoint(role, attr) => {
            // This attribute is the one to remove: the other one generates `main`.
            errors.push_at(Span::call_site(), message);
            true
        }
        Some(message) => {
            errors.push(attr.path(), message);
            false
        }
    });
}

fn message(role: &Role, attr: &Attribute) -> Option<String> {
    let other = attr.path().segments.last()?.ident.to_string();
    let message = match (role.attribute, other.as_str()) {
        (own, other) if own == other && is_ours(attr) => {
            format!("`#[agentcore::{own}]` is given twice")
        }
        ("entrypoint", "async_task") | ("async_task", "entrypoint") if is_ours(attr) => {
            "an entrypoint is already counted while it runs; remove `#[agentcore::async_task]`"
                .to_owned()
        }
        (own, other) if is_ours(attr) => {
            format!("a function cannot have both `#[agentcore::{own}]` and `#[agentcore::{other}]`")
        }
        ("async_task", _) => return None,
        ("entrypoint", "main") => format!(
            "remove `#[{}]`: the entrypoint starts its own runtime",
            text(attr)
        ),
        (_, "main") => format!(
            "remove `#[{}]`: the server calls {} on its own runtime",
            text(attr),
            role.noun
        ),
        (_, "test") => format!(
            "remove `#[{}]`: {} is called by the server, not by tests",
            text(attr),
            role.noun
        ),
        _ => return None,
    };
    Some(message)
}

fn is_tracked_entrypoint(role: &Role, other: &Attribute) -> bool {
    role.attribute == "async_task"
        && other
            .path()
            .segments
            .last()
            .is_some_and(|last| last.ident == "entrypoint")
}

/// Whether the attribute looks like one of this crate: imported, or after the crate's name.
fn is_ours(attr: &Attribute) -> bool {
    const OURS: [&str; 13] = [
        "entrypoint",
        "async_task",
        "ping",
        "websocket",
        "on_start",
        "on_shutdown",
        "on_warmup",
        "on_restore",
        "routes",
        "step",
        "tool",
        "resource",
        "prompt",
    ];
    let segments = &attr.path().segments;
    segments.len() <= 2
        && segments
            .last()
            .is_some_and(|last| OURS.iter().any(|name| last.ident == name))
}

fn text(attr: &Attribute) -> String {
    super::types::text(&attr.path().to_token_stream())
}
