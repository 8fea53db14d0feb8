//! From syntax to model. Every check runs, even after a mistake. Nothing here makes tokens.

mod conflicts;
mod durable;
mod signature;
mod tool;
mod types;
mod uri;

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::{Attribute, FnArg, Ident, Pat, ReturnType, Signature, Type, parse_quote};

use crate::args::{Args, OnDisconnect};
use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::model::{
    Argument, AsyncTask, Entrypoint, Function, Hook, Main, OnStart, Output, Parameter, Ping, Range,
    Routes, WebSocket,
};
use crate::paths::Private;
use crate::role::{self, Role};

pub(crate) use conflicts::reject_conflicts;
pub(crate) use durable::{durable_task, step};
pub(crate) use tool::tool;

/// Reports a `yield` that belongs to no macro in the body.
pub(crate) fn reject_yield(role: &Role, item: &mut AnnotatedFn, errors: &mut Errors) {
    let message = format!("{} cannot `yield`: {}", role.noun, role.instead_of_yield);
    if item.reject_yield(&message) {
        errors.reported_in_the_item();
    }
}

pub(crate) fn entrypoint<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<Entrypoint<'a>> {
    let role = &role::ENTRYPOINT;
    let sig = &item.sig;
    let main = args.main.unwrap_or(true);
    signature::callable(role, item, errors);
    signature::not_generic(role, sig, errors);
    if main && sig.ident == "main" {
        errors.push_shape(
            &sig.ident,
            "the entrypoint generates `main`; give this function another name, such as `handler`, or set \
             `main = false` and start the server yourself",
        );
    }
    let flags = args.flags.as_ref();
    if let Some((key, _)) = flags.filter(|_| !main) {
        errors.push(
            key,
            "`flags` applies to the generated `main`; in a `main` of your own, use `App::flags`",
        );
    }
    let main = match flags {
        _ if !main => Main::None,
        Some((_, false)) => Main::WithoutFlags,
        _ => Main::WithFlags,
    };
    let arguments = arguments(sig, |ty| {
        types::owned(ty, "name the type that the JSON body decodes to", errors);
    });
    signature::returns(role, sig, errors);
    errors.is_empty().then(|| Entrypoint {
        timeout: args.timeout,
        idle_timeout: args.idle_timeout,
        cancel_on_disconnect: args.on_disconnect == OnDisconnect::Cancel,
        schema: args.schema.clone(),
        function: function(args, item),
        arguments,
        main,
    })
}

pub(crate) fn async_task<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<AsyncTask<'a>> {
    let role = &role::ASYNC_TASK;
    let sig = &item.sig;
    durable::only_for_durable_tasks(&args, errors);
    if item.body.is_none() {
        errors.push_at(
            sig.ident.span(),
            "put `#[agentcore::async_task]` on the implementation, not on the declaration",
        );
    }
    if sig.asyncness.is_none() {
        errors.push_shape(
            sig.fn_token,
            "`#[agentcore::async_task]` tracks a future, so the function must be `async`; put blocking code into \
             `tokio::task::spawn_blocking` inside it",
        );
    }
    signature::returns(role, sig, errors);
    if let (Some(_), ReturnType::Default) = (&args.timeout, &sig.output) {
        errors.push_at(
            sig.ident.span(),
            "a task with a `timeout` returns a `Result`, whose error type can be made from `TimedOut`; for example \
             `Result<(), agentcore::TimedOut>`",
        );
    }
    let body = item.body.as_ref()?;
    errors.is_empty().then(|| AsyncTask {
        timeout: args.timeout,
        error: output(&sig.ident, &sig.output).error,
        name: args.name.unwrap_or_else(|| plain(&sig.ident)),
        private: Private::new(args.krate),
        item,
        body,
        receiver: sig.receiver().map(|receiver| &receiver.self_token),
        parameters: sig
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(i, input)| parameter(i, input))
            .collect(),
        erased_output: types::erase_impl_trait(&declared(&sig.output)),
        output: declared(&sig.output),
    })
}

pub(crate) fn ping<'a>(args: Args, item: &'a AnnotatedFn, errors: &mut Errors) -> Option<Ping<'a>> {
    let role = &role::PING;
    let arguments = hook_shape(role, item, errors);
    if let ReturnType::Default = item.sig.output {
        errors.push_shape_at(
            item.sig.ident.span(),
            "a ping handler must return `agentcore::PingStatus`",
        );
    }
    errors.is_empty().then(|| Ping {
        function: function(args, item),
        arguments,
    })
}

pub(crate) fn websocket<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<WebSocket<'a>> {
    let role = &role::WEBSOCKET;
    let sig = &item.sig;
    signature::callable(role, item, errors);
    signature::not_generic(role, sig, errors);
    if sig.asyncness.is_none() {
        errors.push_shape(
            sig.fn_token,
            "a websocket handler waits for messages, so the function must be `async`",
        );
    }
    if sig.inputs.is_empty() {
        errors.push_shape_at(
            sig.paren_token.span.join(),
            "a websocket handler takes the socket: `socket: agentcore::WebSocket`",
        );
    }
    let arguments = arguments(sig, |ty| {
        if types::borrowed(ty).is_some_and(|socket| types::is_called(socket, "WebSocket")) {
            errors.push_shape(ty, "take the socket by value: `socket: WebSocket`");
        } else {
            types::owned(
                ty,
                "name a type that implements `agentcore::FromInvocation`",
                errors,
            );
        }
    });
    signature::returns(role, sig, errors);
    errors.is_empty().then(|| WebSocket {
        function: function(args, item),
        arguments,
        inputs: Range::of(&sig.inputs),
    })
}

pub(crate) fn on_start<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<OnStart<'a>> {
    let role = &role::ON_START;
    let arguments = hook_shape(role, item, errors);
    if let ReturnType::Type(_, ty) = &item.sig.output {
        types::nameable(ty, errors);
    }
    errors.is_empty().then(|| OnStart {
        output: declared(&item.sig.output),
        timeout: args.timeout,
        function: function(args, item),
        arguments,
    })
}

/// A hook that makes nothing.
pub(crate) fn hook<'a>(
    role: &Role,
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<Hook<'a>> {
    let arguments = hook_shape(role, item, errors);
    errors.is_empty().then(|| Hook {
        timeout: args.timeout,
        function: function(args, item),
        arguments,
    })
}

pub(crate) fn routes<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<Routes<'a>> {
    let role = &role::ROUTES;
    let arguments = hook_shape(role, item, errors);
    if let ReturnType::Default = item.sig.output {
        errors.push_shape_at(
            item.sig.ident.span(),
            "a function that makes routes must return a service, such as an `axum::Router`",
        );
    }
    errors.is_empty().then(|| Routes {
        port: args.port,
        idle: args.idle.clone(),
        timeout: args.timeout,
        function: function(args, item),
        arguments,
    })
}

/// The arguments of a handler; `check` is called with each type.
fn arguments(sig: &Signature, mut check: impl FnMut(&Type)) -> Vec<Argument<'_>> {
    let typed = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(input),
        // A receiver has been reported.
        FnArg::Receiver(_) => None,
    });
    typed
        .map(|input| {
            check(&input.ty);
            Argument {
                cfgs: input.attrs.iter().filter(|attr| is_cfg(attr)).collect(),
                ty: &input.ty,
                text: types::text(&input.ty),
            }
        })
        .collect()
}

/// The checks that hooks and ping handlers share. Returns the arguments.
fn hook_shape<'a>(role: &Role, item: &'a AnnotatedFn, errors: &mut Errors) -> Vec<Argument<'a>> {
    signature::callable(role, item, errors);
    signature::not_generic(role, &item.sig, errors);
    let arguments = arguments(&item.sig, |ty| {
        let fits = |ty| {
            ["State", "PingStatus"]
                .iter()
                .any(|name| types::is_called(ty, name))
        };
        match types::borrowed(ty) {
            // Taken by value, it would be refused as well.
            Some(other) if !fits(other) => errors.push_shape(
                ty,
                format_args!(
                    "{} takes shared state by value: `State<Database>`",
                    role.noun
                ),
            ),
            _ => types::owned(ty, "name the type, for example `State<Database>`", errors),
        }
    });
    signature::returns(role, &item.sig, errors);
    arguments
}

fn function(args: Args, item: &AnnotatedFn) -> Function<'_> {
    let sig = &item.sig;
    Function {
        private: Private::new(args.krate),
        cfgs: item.cfgs(),
        ident: &sig.ident,
        is_async: sig.asyncness.is_some(),
        name: args.name.unwrap_or_else(|| plain(&sig.ident)),
        output: output(&sig.ident, &sig.output),
    }
}

/// The return type, spelled out.
fn declared(output: &ReturnType) -> Type {
    match output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    }
}

fn output(ident: &Ident, output: &ReturnType) -> Output {
    match output {
        ReturnType::Default => Output {
            value: Range::of(ident),
            error: Range::of(ident),
        },
        ReturnType::Type(_, ty) => {
            let (value, error) = types::result_arguments(ty);
            let range = |part: Option<&Type>| part.map_or_else(|| Range::of(ty), Range::of);
            Output {
                value: range(value),
                error: range(error),
            }
        }
    }
}

fn parameter(index: usize, input: &FnArg) -> Option<Parameter<'_>> {
    let FnArg::Typed(input) = input else {
        return None;
    };
    let (lints, others): (Vec<_>, Vec<_>) = input.attrs.iter().partition(|attr| is_lint(attr));
    let name = match &*input.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        _ => None,
    };
    Some(Parameter {
        cfgs: others.iter().copied().filter(|attr| is_cfg(attr)).collect(),
        signature_attrs: others,
        lints,
        // A name is kept, because documentation and editors show it.
        ident: name
            .cloned()
            .unwrap_or_else(|| hidden(&format!("arg{index}"))),
        pat: &input.pat,
        is_name: name.is_some(),
    })
}

fn is_cfg(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")
}

fn is_lint(attr: &Attribute) -> bool {
    ["allow", "expect", "warn", "deny", "forbid"]
        .iter()
        .any(|level| attr.path().is_ident(level))
}

/// A name that the user's code can neither see nor collide with.
fn hidden(name: &str) -> Ident {
    Ident::new(&format!("__agentcore_{name}"), Span::mixed_site())
}

fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}
