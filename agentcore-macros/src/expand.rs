//! From annotated item to expansion: parse, validate, emit.
//!
//! A rejected item is emitted unchanged beside the errors, so that code that uses it still resolves and one mistake makes one
//! error. Any other item has passed validation, so its expansion cannot fail.

mod arguments;
mod async_task;
mod durable;
mod entrypoint;
mod hook;
mod lifetimes;
mod ping;
mod register;
mod reply;
mod routes;
mod schema;
mod step;
mod tool;
mod websocket;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{ParseStream, Parser as _};
use syn::{Abi, Attribute, Token, Visibility};

use crate::args::Args;
use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::role::{self, Role};
use crate::{signature, validate};

pub(crate) fn entrypoint(args: TokenStream, item: TokenStream) -> TokenStream {
    let role = &role::ENTRYPOINT;
    let mut errors = Errors::new(role.shape);
    let args = Args::parse(args, role.keys, &mut errors);
    let main = args.main.unwrap_or(true);
    let mut function = match parse(role, item, &mut errors) {
        Ok(function) => function,
        Err(item) => return rejected(item, errors, main, &[]),
    };
    if let Some(model) = validate::entrypoint(args, &function, &mut errors) {
        return entrypoint::expand(&model, &function);
    }
    // In an `impl`, a generated `main` would only be another mistake.
    let main = main && function.sig.receiver().is_none();
    if main && function.sig.ident == "main" {
        function = function.renamed("__agentcore_main");
    }
    let cfgs = function.cfgs();
    rejected(function, errors, main, &cfgs)
}

pub(crate) fn async_task(args: TokenStream, item: TokenStream) -> TokenStream {
    // All checks and messages depend on this argument.
    let mut not_yet = Errors::new(role::ASYNC_TASK.shape);
    if Args::parse(args.clone(), role::ASYNC_TASK.keys, &mut not_yet)
        .durable
        .is_some()
    {
        return expand(&role::DURABLE_TASK, args, item, |args, function, errors| {
            validate::durable_task(args, function, errors).map(|model| durable::expand(&model))
        });
    }
    expand(&role::ASYNC_TASK, args, item, |args, function, errors| {
        validate::async_task(args, function, errors).map(|model| async_task::expand(&model))
    })
}

pub(crate) fn step(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(&role::STEP, args, item, |args, function, errors| {
        validate::step(args, function, errors).map(|model| step::expand(&model))
    })
}

pub(crate) fn ping(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(&role::PING, args, item, |args, function, errors| {
        validate::ping(args, function, errors).map(|model| ping::expand(&model, function))
    })
}

pub(crate) fn websocket(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(&role::WEBSOCKET, args, item, |args, function, errors| {
        validate::websocket(args, function, errors).map(|model| websocket::expand(&model, function))
    })
}

pub(crate) fn tool(args: TokenStream, item: TokenStream) -> TokenStream {
    offered(&role::TOOL, args, item)
}

pub(crate) fn resource(args: TokenStream, item: TokenStream) -> TokenStream {
    offered(&role::RESOURCE, args, item)
}

pub(crate) fn prompt(args: TokenStream, item: TokenStream) -> TokenStream {
    offered(&role::PROMPT, args, item)
}

/// A tool, a resource or a prompt.
fn offered(role: &'static Role, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new(role.shape);
    let args = Args::parse(args, role.keys, &mut errors);
    let mut function = match parse(role, item, &mut errors) {
        Ok(function) => function,
        Err(item) => return rejected(item, errors, false, &[]),
    };
    let attributes = function.take_argument_attributes();
    match validate::tool(role, args, &function, &attributes, &mut errors) {
        Some(model) => tool::expand(&model, &function),
        None => {
            let cfgs = function.cfgs();
            rejected(function, errors, false, &cfgs)
        }
    }
}

/// The item, with an error that names the missing feature.
pub(crate) fn without_feature(role: &Role, features: &str, item: TokenStream) -> TokenStream {
    let mut errors = Errors::new(role.shape);
    errors.push_at(
        Span::call_site(),
        format_args!(
            "`#[agentcore::{}]` needs the {features} of `agentcore`",
            role.attribute
        ),
    );
    let item = match syn::parse2::<AnnotatedFn>(item.clone()) {
        Ok(mut function) => {
            function.take_argument_attributes();
            function.into_token_stream()
        }
        Err(_) => item,
    };
    rejected(item, errors, false, &[])
}

pub(crate) fn on_start(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(&role::ON_START, args, item, |args, function, errors| {
        validate::on_start(args, function, errors).map(|model| hook::on_start(&model, function))
    })
}

pub(crate) fn on_shutdown(args: TokenStream, item: TokenStream) -> TokenStream {
    plain_hook(&role::ON_SHUTDOWN, &hook::ON_SHUTDOWN, args, item)
}

pub(crate) fn on_warmup(args: TokenStream, item: TokenStream) -> TokenStream {
    plain_hook(&role::ON_WARMUP, &hook::ON_WARMUP, args, item)
}

pub(crate) fn on_restore(args: TokenStream, item: TokenStream) -> TokenStream {
    plain_hook(&role::ON_RESTORE, &hook::ON_RESTORE, args, item)
}

fn plain_hook(
    role: &Role,
    plain: &hook::Plain,
    args: TokenStream,
    item: TokenStream,
) -> TokenStream {
    expand(role, args, item, |args, function, errors| {
        let model = validate::hook(role, args, function, errors)?;
        Some(hook::plain(plain, &model, function))
    })
}

pub(crate) fn routes(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(&role::ROUTES, args, item, |args, function, errors| {
        validate::routes(args, function, errors).map(|model| routes::expand(&model, function))
    })
}

fn expand(
    role: &Role,
    args: TokenStream,
    item: TokenStream,
    emit: impl FnOnce(Args, &AnnotatedFn, &mut Errors) -> Option<TokenStream>,
) -> TokenStream {
    let mut errors = Errors::new(role.shape);
    let args = Args::parse(args, role.keys, &mut errors);
    match parse(role, item, &mut errors) {
        Ok(function) => emit(args, &function, &mut errors).unwrap_or_else(|| {
            let cfgs = function.cfgs();
            rejected(function, errors, false, &cfgs)
        }),
        Err(item) => rejected(item, errors, false, &[]),
    }
}

/// Parses the annotated function, and removes attributes that conflict with `role`'s and any `yield`. An item that is no function
/// is returned unchanged.
fn parse(role: &Role, item: TokenStream, errors: &mut Errors) -> Result<AnnotatedFn, TokenStream> {
    let mut function = match syn::parse2::<AnnotatedFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => match signature::repaired(item.clone()).map(syn::parse2) {
            Some(Ok(function)) => {
                errors.leave_to_rustc();
                function
            }
            _ => {
                not_a_function(role, &item, error, errors);
                return Err(item);
            }
        },
    };
    validate::reject_conflicts(role, &mut function, errors);
    validate::reject_yield(role, &mut function, errors);
    Ok(function)
}

/// Reports an item that does not parse as a function.
fn not_a_function(role: &Role, item: &TokenStream, error: syn::Error, errors: &mut Errors) {
    if begins_a_function.parse2(item.clone()).is_ok() {
        errors.absorb(error);
    } else {
        errors.push_shape_at(
            Span::call_site(),
            format_args!(
                "`#[agentcore::{}]` can only be applied to {}",
                role.attribute, role.target
            ),
        );
    }
}

/// Parses the beginning of a function; the signature may be wrong.
fn begins_a_function(input: ParseStream<'_>) -> syn::Result<()> {
    input.call(Attribute::parse_outer)?;
    input.parse::<Visibility>()?;
    input.parse::<Option<Token![const]>>()?;
    input.parse::<Option<Token![async]>>()?;
    input.parse::<Option<Token![unsafe]>>()?;
    input.parse::<Option<Abi>>()?;
    input.parse::<Token![fn]>()?;
    input.parse::<TokenStream>()?;
    Ok(())
}

/// The item and its errors. With `main` there is also a `main`, so that rustc does not report a missing one. `cfgs` are the
/// item's.
fn rejected(item: impl ToTokens, errors: Errors, main: bool, cfgs: &[Attribute]) -> TokenStream {
    let errors = errors.into_compile_errors(cfgs);
    let main = main.then(|| quote_spanned!(Span::mixed_site()=> #(#cfgs)* fn main() {}));
    quote!(#item #errors #main)
}
