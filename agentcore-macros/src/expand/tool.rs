//! `#[tool]`, `#[resource]` and `#[prompt]`: the unchanged function, an adapter and a registration.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;

use super::arguments::{compile_panic, probe};
use super::register::{duration, meta, package, scope, submit};
use super::reply::{called, outcome};
use super::schema;
use crate::args::TaskMode;
use crate::item::AnnotatedFn;
use crate::model::{Argument, Offer, Range, Tool, ToolParameter};
use crate::paths::Private;

pub(super) fn expand(model: &Tool<'_>, item: &AnnotatedFn) -> TokenStream {
    let adapter = adapter(model);
    quote!(#item #adapter)
}

/// The names inside the adapter's functions.
struct Names {
    requirements: Ident,
    description: Ident,
    call: Ident,
}

fn adapter(model: &Tool<'_>) -> TokenStream {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let names = Names {
        requirements: Ident::new("__agentcore_requirements", site),
        description: Ident::new("__agentcore_description", site),
        call: Ident::new("__agentcore_call", site),
    };
    let Names {
        requirements,
        description,
        call,
    } = &names;
    let requires = model.parameters.iter().map(|parameter| {
        let Argument { cfgs, ty, .. } = &parameter.argument;
        quote_spanned! {site=>
            #(#cfgs)*
            (&#private::Probe::<#ty>::NEW).__agentcore_argument().__agentcore_requires::<#ty>(#requirements);
        }
    });
    let describe = model
        .parameters
        .iter()
        .map(|parameter| describe(model, parameter, description));
    let reply = matches!(model.offer, Offer::Tool)
        .then(|| schema::reply(&model.function, &model.arguments(), description));
    let checks = model
        .parameters
        .iter()
        .filter_map(|parameter| only_for_arguments(model, parameter));
    let body = body(model, &names);
    let registration = registration(model);
    let scope = scope(&model.function, "TOOL");
    quote_spanned! {site=>
        #scope {
            use #private::probes::*;

            enum __AgentcoreTool {}

            impl #private::ToolAdapter for __AgentcoreTool {
                fn requires(#requirements: &mut #private::Requirements) {
                    #(#requires)*
                }

                fn describe(#description: &mut #private::Schemas) {
                    #(#describe)*
                    #reply
                }

                fn call(
                    mut #call: #private::ToolCall,
                ) -> impl #private::Future<Output = #private::ToolOutcome> + #private::Send + 'static {
                    async move {
                        #body
                    }
                }
            }

            #(#checks)*

            #registration
        };
    }
}

/// A statement that adds a parameter to the input schema, unless it is an extractor.
fn describe(model: &Tool<'_>, parameter: &ToolParameter<'_>, description: &Ident) -> TokenStream {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let Argument { cfgs, ty, .. } = &parameter.argument;
    let probe = probe(private, ty);
    let name = name(parameter);
    let text = &parameter.description;
    let shown = if parameter.default.is_some() {
        let default = default_fn(private, parameter);
        quote_spanned! {site=>
            #private::Option::Some((&&#private::Probe::<#ty>::NEW).__agentcore_shown(#default))
        }
    } else {
        quote_spanned!(site=> #private::Option::None)
    };
    // With a file, the types need no schema of their own. The arguments of a resource and of a prompt are texts.
    let has_schema = matches!(model.offer, Offer::Tool) && model.schema_file.is_none();
    let method = Ident::new(
        if !has_schema {
            "__agentcore_name"
        } else {
            "__agentcore_describe"
        },
        site,
    );
    quote_spanned! {site=>
        #(#cfgs)*
        (&&&#private::Probe::<#ty>::NEW)
            .__agentcore_tool_argument()
            .#method(#probe, #description, #private::Written {
                name: #name,
                description: #text,
                default: #shown,
            });
    }
}

/// The statements that make the arguments, call the function and make its result.
fn body(model: &Tool<'_>, names: &Names) -> TokenStream {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let call = &names.call;
    let values: Vec<_> = (0..model.parameters.len())
        .map(|i| format_ident!("__agentcore_arg{i}", span = site))
        .collect();
    let take = values
        .iter()
        .zip(&model.parameters)
        .map(|(value, parameter)| {
            let Argument { cfgs, ty, .. } = &parameter.argument;
            let probe = probe(private, ty);
            let name = name(parameter);
            let take = match &parameter.default {
                None => quote_spanned!(site=> .__agentcore_take(#probe, &mut #call, #name)),
                Some(_) => {
                    let default = default_fn(private, parameter);
                    quote_spanned!(site=> .__agentcore_take_or(#probe, &mut #call, #name, #default))
                }
            };
            quote_spanned! {site=>
                #(#cfgs)*
                let #value = (&&&#private::Probe::<#ty>::NEW).__agentcore_tool_argument() #take;
            }
        });
    let unwrap = values
        .iter()
        .zip(&model.parameters)
        .map(|(value, parameter)| {
            let cfgs = &parameter.argument.cfgs;
            quote_spanned! {site=>
                #(#cfgs)*
                let #value = match #value {
                    #private::Option::Some(value) => value,
                    #private::Option::None => return #call.refused(),
                };
            }
        });
    let passed = values
        .iter()
        .zip(&model.parameters)
        .map(|(value, parameter)| {
            let cfgs = &parameter.argument.cfgs;
            quote!(#(#cfgs)* #value)
        });
    let called = called(&model.function, &quote!(#(#passed),*), "tool");
    let respond = outcome(
        &model.function,
        &called,
        |value| {
            quote_spanned! {site=>
                (&&&#private::Probe::of(&#value)).__agentcore_tool_reply().__agentcore_finish(#value)
            }
        },
        |error| quote_spanned!(site=> #private::ToolErrorTag.__agentcore_fail(#error)),
    );
    quote_spanned! {site=>
        #(#take)*
        if #call.is_refused() {
            return #call.refused();
        }
        #(#unwrap)*
        #private::drop(#call);
        #respond
    }
}

/// The argument's name in the schema.
fn name(parameter: &ToolParameter<'_>) -> String {
    parameter
        .name
        .map_or_else(String::new, |name| name.unraw().to_string())
}

/// A function that makes the value of `#[default]`.
fn default_fn(private: &Private, parameter: &ToolParameter<'_>) -> TokenStream {
    let site = Span::mixed_site();
    let ty = parameter.argument.ty;
    let value = parameter
        .default
        .as_ref()
        .and_then(|default| default.value.as_ref());
    let value = match value {
        Some(value) => value.to_token_stream(),
        None => {
            let Range { start, .. } = Range::of(ty);
            let here = private.at(start);
            quote_spanned!(start=> #here::core::default::Default::default())
        }
    };
    quote_spanned!(site=> (|| -> #ty { #value }) as fn() -> #ty)
}

/// A compile-time check: a parameter with a default is no extractor, a pattern is one, and a parameter of a resource is one if it is
/// not in the URI. Only the type tells.
fn only_for_arguments(model: &Tool<'_>, parameter: &ToolParameter<'_>) -> Option<TokenStream> {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let noun = match model.offer {
        Offer::Tool => "a tool",
        Offer::Resource { .. } => "a resource",
        Offer::Prompt => "a prompt",
    };
    let name = name(parameter);
    let Argument { cfgs, ty, text } = &parameter.argument;
    let is_argument = quote_spanned!(site=> #private::Probe::<#ty>::__AGENTCORE_IS_PAYLOAD);
    let (wrong, panic) = if let Some(default) = &parameter.default {
        let message = format!(
            "`{text}` is made from the request, and is no argument of {noun}; it takes no `#[default]`"
        );
        (
            quote_spanned!(site=> !#is_argument),
            compile_panic(private, default.range, &message),
        )
    } else if parameter.name.is_none() {
        let message = format!(
            "an argument of {noun} needs a name, by which clients give it; `{text}` stands behind a pattern\n\n\
             help: take it by a name, and take it apart in the body of the function"
        );
        (is_argument, compile_panic(private, Range::of(ty), &message))
    } else if let Offer::Resource { variables, .. } = &model.offer {
        if variables.contains(&name) {
            let message = format!(
                "`{text}` is made from the request, so `{{{name}}}` cannot stand in the URI"
            );
            (
                quote_spanned!(site=> !#is_argument),
                compile_panic(private, Range::of(ty), &message),
            )
        } else {
            let message = format!(
                "`{name}` has no value, because it is not in the URI; write `{{{name}}}` there"
            );
            (is_argument, compile_panic(private, Range::of(ty), &message))
        }
    } else {
        return None;
    };
    Some(quote_spanned! {site=>
        #(#cfgs)*
        const _: () = if #wrong { #panic };
    })
}

fn registration(model: &Tool<'_>) -> TokenStream {
    let private = &model.function.private;
    let site = Span::mixed_site();
    let meta = meta(private, &model.function.name, model.function.ident);
    let package = package(private);
    let text = |method: &str, value: &str| {
        let method = Ident::new(method, site);
        (!value.is_empty()).then(|| quote_spanned!(site=> .#method(#value)))
    };
    let description = text("description", &model.description);
    let title = model
        .title
        .as_deref()
        .and_then(|title| text("title", title));
    let hint = |method: &str, value: Option<bool>| {
        let method = Ident::new(method, site);
        value.map(|value| quote_spanned!(site=> .#method(#value)))
    };
    let hints = [
        hint("read_only", model.hints.read_only),
        hint("destructive", model.hints.destructive),
        hint("idempotent", model.hints.idempotent),
        hint("open_world", model.hints.open_world),
    ];
    let timeout = model.timeout.map(|limit| {
        let limit = duration(private, limit);
        quote_spanned!(site=> .timeout(#limit))
    });
    let task = match model.task {
        TaskMode::Never => None,
        TaskMode::Auto => Some(Literal::u8_unsuffixed(1)),
        TaskMode::Always => Some(Literal::u8_unsuffixed(2)),
        TaskMode::OnDemand => Some(Literal::u8_unsuffixed(3)),
    };
    let task = task.map(|task| quote_spanned!(site=> .task(#task)));
    // With the literal's span: the path is relative to the file of the literal.
    let schema = model.schema_file.as_ref().map(|path| {
        let here = path.span();
        let at = private.at(here);
        let file = quote_spanned!(here=> #at::core::include_str!(#path));
        quote_spanned!(site=> .schema(#path, #file))
    });
    let offer = match &model.offer {
        Offer::Tool => None,
        Offer::Resource { uri, mime_type, .. } => {
            let mime_type = mime_type.as_deref().unwrap_or_default();
            Some(quote_spanned!(site=> .resource(#uri, #mime_type)))
        }
        Offer::Prompt => Some(quote_spanned!(site=> .prompt())),
    };
    submit(
        private,
        &quote_spanned! {site=>
            #private::ToolDef::new::<__AgentcoreTool>(#meta, #package)
                #title #description #(#hints)* #timeout #task #schema #offer
        },
    )
}
