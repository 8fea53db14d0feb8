//! `#[tool]`, `#[resource]` and `#[prompt]`: the name, the doc comment, and the attributes of the arguments.

use proc_macro2::Span;
use syn::{Attribute, Expr, ExprLit, FnArg, Ident, Lit, Meta, Pat};

use super::{arguments, function, plain, signature, types, uri};
use crate::args::Args;
use crate::errors::Errors;
use crate::item::AnnotatedFn;
use crate::model::{DefaultValue, Offer, Range, Tool, ToolParameter};
use crate::role::Role;

/// The longest name that every model API takes.
const LONGEST_NAME: usize = 64;

/// `attributes` are those that were taken off the arguments.
pub(crate) fn tool<'a>(
    role: &'static Role,
    args: Args,
    item: &'a AnnotatedFn,
    attributes: &[Vec<Attribute>],
    errors: &mut Errors,
) -> Option<Tool<'a>> {
    let sig = &item.sig;
    signature::callable(role, item, errors);
    signature::not_generic(role, sig, errors);
    name(role, &args, &sig.ident, errors);
    if args.hints.read_only == Some(true) && args.hints.destructive == Some(true) {
        errors.push_at(
            Span::call_site(),
            "a tool that is `read_only` changes nothing, so it cannot be `destructive`",
        );
    }
    let arguments = arguments(sig, |ty| {
        types::owned(ty, "name the type that the argument decodes to", errors);
    });
    let inputs = sig.inputs.iter().zip(attributes);
    let typed = inputs.filter_map(|(input, attributes)| match input {
        FnArg::Typed(input) => Some((&*input.pat, attributes)),
        FnArg::Receiver(_) => None,
    });
    let parameters: Vec<_> = arguments
        .into_iter()
        .zip(typed)
        .map(|(argument, (pat, attributes))| ToolParameter {
            argument,
            name: argument_name(pat),
            description: documentation(attributes),
            default: default(attributes, errors),
        })
        .collect();
    signature::returns(role, sig, errors);
    let offer = match role.attribute {
        "resource" => uri::resource(&args, &parameters, errors),
        "prompt" => Some(Offer::Prompt),
        _ => Some(Offer::Tool),
    };
    let offer = offer.filter(|_| errors.is_empty())?;
    Some(Tool {
        offer,
        title: args.title.clone(),
        description: documentation(&item.attrs),
        hints: args.hints,
        timeout: args.timeout,
        task: args.task,
        schema_file: args.schema_file.clone(),
        function: function(args, item),
        parameters,
    })
}

/// Reports a name that MCP or a model API would refuse.
fn name(role: &Role, args: &Args, ident: &Ident, errors: &mut Errors) {
    let name = args.name.clone().unwrap_or_else(|| plain(ident));
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let problem = match name.chars().find(|&char| !fits(char)) {
        Some(' ') => "a space".to_owned(),
        Some(char) => format!("`{char}`"),
        None if name.len() > LONGEST_NAME => format!("{} characters", name.len()),
        None => return,
    };
    let why = match role.attribute {
        "tool" => ", because models take no other",
        _ => "",
    };
    let (noun, attribute) = (role.noun, role.attribute);
    let problem = format!(
        "the name of {noun} is up to {LONGEST_NAME} ASCII letters, digits, `_` and `-`{why}; `{name}` has {problem}"
    );
    match &args.name_literal {
        Some(literal) => errors.push(literal, problem),
        None => errors.push(
            ident,
            format_args!(
                "{problem}\n\nhelp: give it a name for models: `#[agentcore::{attribute}(name = \"..\")]`"
            ),
        ),
    }
}

/// The name of an argument; `None` for a pattern.
fn argument_name(pat: &Pat) -> Option<&Ident> {
    match pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        _ => None,
    }
}

/// The `#[default]` of an argument.
fn default(attributes: &[Attribute], errors: &mut Errors) -> Option<DefaultValue> {
    let mut found = None;
    for attr in attributes {
        if !attr.path().is_ident("default") {
            continue;
        }
        if found.is_some() {
            errors.push(attr.path(), "`#[default]` is given twice");
            continue;
        }
        let value = match &attr.meta {
            Meta::Path(_) => None,
            Meta::List(list) => match list.parse_args::<Expr>() {
                Ok(value) => Some(value),
                Err(_) => {
                    errors.push(
                        &attr.meta,
                        "`#[default(..)]` takes one expression, for example `#[default(3)]`",
                    );
                    continue;
                }
            },
            Meta::NameValue(pair) => Some(pair.value.clone()),
        };
        found = Some(DefaultValue {
            range: Range::of(attr.path()),
            value,
        });
    }
    found
}

/// The text of a doc comment, without the space that begins each line.
fn documentation(attributes: &[Attribute]) -> String {
    let texts = attributes.iter().filter_map(|attr| {
        let Meta::NameValue(pair) = &attr.meta else {
            return None;
        };
        match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) if pair.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    let lines: Vec<String> = texts
        .flat_map(|text| text.split('\n').map(line_of_comment).collect::<Vec<_>>())
        .collect();
    lines.join("\n").trim().to_owned()
}

fn line_of_comment(line: &str) -> String {
    let line = line.strip_prefix(' ').unwrap_or(line);
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use syn::{ItemFn, parse_quote};

    use super::*;

    #[test]
    fn documentation_is_the_text_of_the_comment() {
        let item: ItemFn = parse_quote! {
            /// The weather.
            ///
            ///  Indented.
            #[inline]
            #[doc = "And more,\n in two lines."]
            fn forecast() {}
        };
        assert_eq!(
            documentation(&item.attrs),
            "The weather.\n\n Indented.\nAnd more,\nin two lines."
        );
        let item: ItemFn = parse_quote!(
            #[doc(hidden)]
            fn bare() {}
        );
        assert_eq!(documentation(&item.attrs), "");
    }
}
