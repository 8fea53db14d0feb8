//! Durable tasks and their steps: functions that run again in another process.

use syn::ext::IdentExt as _;
use syn::{FnArg, Pat, ReturnType, Type};

use super::{declared, function, is_cfg, is_lint, output, parameter, plain, signature, types};
use crate::args::Args;
use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::model::{DurableParameter, DurableTask, Step, StepParameter};
use crate::paths::Private;
use crate::role;

/// The names of the types that a run provides. The caller does not pass such an argument, so the signature recognises it by the
/// name of its type. The expansion checks the type.
const OF_THE_RUN: [&str; 3] = ["State", "TaskContext", "CancellationToken"];

pub(crate) fn durable_task<'a>(
    args: Args,
    item: &'a AnnotatedFn,
    errors: &mut Errors,
) -> Option<DurableTask<'a>> {
    let role = &role::DURABLE_TASK;
    let sig = &item.sig;
    signature::callable(role, item, errors);
    signature::not_generic(role, sig, errors);
    if sig.asyncness.is_none() {
        errors.push_shape(
            sig.fn_token,
            "a durable task must be `async`; what computes goes into `tokio::task::spawn_blocking` inside it",
        );
    }
    if !cfg!(any(feature = "durable", test)) {
        errors.push_at(
            args.durable.unwrap_or_else(proc_macro2::Span::call_site),
            "`async_task(durable)` needs the `durable` feature of `agentcore`",
        );
    }
    check_name(&args, item, errors);
    let parameters = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(durable_parameter(input, errors)),
        FnArg::Receiver(_) => None,
    });
    let parameters = parameters.collect();
    signature::returns(role, sig, errors);
    let declared_output = match &sig.output {
        ReturnType::Default => {
            errors.push_shape_at(
                sig.ident.span(),
                "a durable task returns a `Result`: an error is what is tried again; for example \
                 `Result<(), agentcore::BoxError>`",
            );
            None
        }
        ReturnType::Type(_, ty) => {
            types::storable(ty, errors);
            Some(&**ty)
        }
    };
    let body = item.body.as_ref()?;
    let declared_output = declared_output?;
    errors.is_empty().then(|| DurableTask {
        attempts: args.attempts.as_ref().map(|(_, attempts)| *attempts),
        timeout: args.timeout,
        deadline: args.deadline.as_ref().map(|(_, deadline)| *deadline),
        concurrency: args.concurrency.as_ref().map(|(_, most)| *most),
        function: function(args, item),
        item,
        body,
        parameters,
        output: declared_output,
    })
}

/// The most bytes of a task's name: what every store takes.
const MOST_NAME_BYTES: usize = 57;

/// Jobs are stored under the name of their task, in the names of tables too.
fn check_name(args: &Args, item: &AnnotatedFn, errors: &mut Errors) {
    let own = plain(&item.sig.ident);
    let name = args.name.as_ref().unwrap_or(&own);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() <= MOST_NAME_BYTES && name.bytes().all(fits) {
        return;
    }
    let help = if args.name.is_some() {
        ""
    } else {
        "; give it another one with `name = \"..\"`"
    };
    errors.push_at(
        args.name_at.unwrap_or_else(|| item.sig.ident.span()),
        format_args!(
            "the name of a durable task has up to {MOST_NAME_BYTES} ASCII letters, digits, `_`, `-` and `.`, since jobs are stored \
             under it{help}"
        ),
    );
}

fn durable_parameter<'a>(input: &'a syn::PatType, errors: &mut Errors) -> DurableParameter<'a> {
    types::owned_as(
        "the arguments of a durable task are stored, so they",
        &input.ty,
        "name the type",
        errors,
    );
    let name = match &*input.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        _ => None,
    };
    let of_the_run = is_of_the_run(&input.ty);
    if name.is_none() && !of_the_run {
        errors.push_shape(
            &input.pat,
            "the arguments of a durable task are stored under their names: give this one a name",
        );
    }
    DurableParameter {
        cfgs: input.attrs.iter().filter(|attr| is_cfg(attr)).collect(),
        attrs: input.attrs.iter().filter(|attr| !is_lint(attr)).collect(),
        ty: &input.ty,
        stored: name.filter(|_| !of_the_run),
    }
}

fn is_of_the_run(ty: &Type) -> bool {
    let name = types::last_name(ty).map(|name| name.unraw().to_string());
    name.is_some_and(|name| OF_THE_RUN.contains(&name.as_str()))
}

/// Reports the keys that only durable tasks have.
pub(super) fn only_for_durable_tasks(args: &Args, errors: &mut Errors) {
    let attempts = args.attempts.as_ref().map(|(key, _)| key);
    let deadline = args.deadline.as_ref().map(|(key, _)| key);
    let concurrency = args.concurrency.as_ref().map(|(key, _)| key);
    for key in [attempts, deadline, concurrency].into_iter().flatten() {
        errors.push(
            key,
            format_args!(
                "`{key}` is for durable tasks; write `#[agentcore::async_task(durable, {key} = ..)]`"
            ),
        );
    }
}

pub(crate) fn step<'a>(args: Args, item: &'a AnnotatedFn, errors: &mut Errors) -> Option<Step<'a>> {
    let role = &role::STEP;
    let sig = &item.sig;
    signature::callable(role, item, errors);
    if sig.asyncness.is_none() {
        errors.push_shape(
            sig.fn_token,
            "a step must be `async`; what computes goes into `tokio::task::spawn_blocking` inside it",
        );
    }
    signature::returns(role, sig, errors);
    match &sig.output {
        ReturnType::Default => errors.push_shape_at(
            sig.ident.span(),
            "a step returns a `Result`, whose value is recorded; for example `Result<(), agentcore::BoxError>`",
        ),
        ReturnType::Type(_, ty) => types::recordable(ty, errors),
    }
    let typed = sig.inputs.iter().enumerate();
    let parameters = typed.filter_map(|(i, input)| match input {
        FnArg::Typed(typed) => Some(StepParameter {
            parameter: parameter(i, input)?,
            ty: &typed.ty,
            is_key: !is_of_the_run(&typed.ty),
        }),
        FnArg::Receiver(_) => None,
    });
    let parameters = parameters.collect();
    let body = item.body.as_ref()?;
    errors.is_empty().then(|| Step {
        name: args.name.unwrap_or_else(|| plain(&sig.ident)),
        private: Private::new(args.krate),
        item,
        body,
        parameters,
        erased_output: types::erase_impl_trait(&declared(&sig.output)),
        output: declared(&sig.output),
        value: output(&sig.ident, &sig.output).value,
    })
}
