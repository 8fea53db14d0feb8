//! The URI of a resource, and the names in its braces.

use proc_macro2::Span;
use syn::LitStr;
use syn::ext::IdentExt as _;

use crate::args::Args;
use crate::errors::Errors;
use crate::model::{Offer, ToolParameter};

pub(super) fn resource(
    args: &Args,
    parameters: &[ToolParameter<'_>],
    errors: &mut Errors,
) -> Option<Offer> {
    let Some(uri) = &args.uri else {
        errors.push_at(
            Span::call_site(),
            "`#[agentcore::resource]` needs the URI of the resource: `uri = \"notes://{name}\"`",
        );
        return None;
    };
    for parameter in parameters {
        if let Some(default) = &parameter.default {
            errors.push_at(
                default.range.start,
                "an argument of a resource has its value from the URI; it takes no `#[default]`",
            );
        }
    }
    let variables = match variables(&uri.value()) {
        Ok(variables) => variables,
        Err(problem) => {
            errors.push(uri, problem);
            return None;
        }
    };
    for variable in &variables {
        check(uri, variable, parameters, errors);
    }
    Some(Offer::Resource {
        uri: uri.clone(),
        variables,
        mime_type: args.mime_type.clone(),
    })
}

/// Reports a name in braces that is none of an argument.
fn check(uri: &LitStr, variable: &str, parameters: &[ToolParameter<'_>], errors: &mut Errors) {
    let names = parameters.iter().filter_map(|parameter| parameter.name);
    let names: Vec<_> = names.map(|name| name.unraw().to_string()).collect();
    if !names.iter().any(|name| name == variable) {
        errors.push(
            uri,
            format_args!(
                "the URI has `{{{variable}}}`, and the function takes no argument `{variable}`"
            ),
        );
    }
}

/// The names in braces, in their order. The error is what is wrong with the URI.
fn variables(uri: &str) -> Result<Vec<String>, String> {
    if !has_scheme(uri) {
        return Err(format!(
            "a URI begins with a scheme, as `notes://` is one; `{uri}` has none"
        ));
    }
    let mut variables = Vec::new();
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            return Err("a brace is opened and not closed".to_owned());
        };
        if before.contains('}') {
            return Err("a brace is closed and not opened".to_owned());
        }
        if syn::parse_str::<syn::Ident>(name).is_err() {
            return Err(format!(
                "between braces stands the name of an argument, and `{name}` is none"
            ));
        }
        if before.is_empty() && !variables.is_empty() {
            return Err(format!(
                "something has to stand before `{{{name}}}`, so that one value ends before the other"
            ));
        }
        if variables.iter().any(|other| other == name) {
            return Err(format!("`{{{name}}}` stands twice in the URI"));
        }
        variables.push(name.to_owned());
        rest = behind;
    }
    if rest.contains('}') {
        return Err("a brace is closed and not opened".to_owned());
    }
    Ok(variables)
}

fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else {
        return false;
    };
    let mut letters = scheme.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_braces_are_found_in_their_order() {
        assert_eq!(variables("notes://all"), Ok(vec![]));
        assert_eq!(
            variables("test://template/{id}/data/{part}"),
            Ok(vec!["id".to_owned(), "part".to_owned()])
        );
    }

    #[test]
    fn a_uri_that_cannot_be_matched_says_why() {
        for (uri, problem) in [
            ("notes", "begins with a scheme"),
            ("{scheme}://a", "begins with a scheme"),
            ("a://{b", "opened and not closed"),
            ("a://b}", "closed and not opened"),
            ("a://b}{c}", "closed and not opened"),
            ("a://{}", "`` is none"),
            ("a://{b c}", "`b c` is none"),
            ("a://{b*}", "`b*` is none"),
            ("a://{b}{c}", "before `{c}`"),
            ("a://{b}/{b}", "twice"),
        ] {
            let found = variables(uri).expect_err(uri);
            assert!(found.contains(problem), "{uri}: {found}");
        }
    }
}
