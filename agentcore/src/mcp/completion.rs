//! Suggestions for the arguments of prompts and of resources: the choices of their types.

use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference};
use serde_json::Value;

use crate::tools::ToolSet;

/// The choices of an argument that begin with what has been typed, and all others that contain it behind them. Letter case does not
/// matter. A text that may be anything has none.
pub(super) fn of(
    request: &CompleteRequestParams,
    prompts: &ToolSet,
    resources: &ToolSet,
) -> Option<CompleteResult> {
    let offered = match &request.r#ref {
        Reference::Prompt(prompt) => prompts.find(&prompt.name),
        Reference::Resource(resource) => resources.iter().find(|offered| {
            let uri = offered.uri.as_ref();
            uri.is_some_and(|uri| uri.as_str() == resource.uri)
        }),
        _ => None,
    }?;
    let schema = offered
        .input
        .get("properties")
        .and_then(|properties| properties.get(&request.argument.name))?;
    let typed = request.argument.value.to_lowercase();
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for choice in choices(schema) {
        let lower = choice.to_lowercase();
        if lower.starts_with(&typed) {
            first.push(choice);
        } else if lower.contains(&typed) {
            then.push(choice);
        }
    }
    first.append(&mut then);
    let total = first.len();
    first.truncate(CompletionInfo::MAX_VALUES);
    let has_more = first.len() < total;
    let total = u32::try_from(total).ok();
    let info = CompletionInfo::with_pagination(first, total, has_more).ok()?;
    Some(CompleteResult::new(info))
}

/// The values that a schema lists.
fn choices(schema: &Value) -> Vec<String> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array);
    let mut found = Vec::new();
    for value in list("enum").into_iter().flatten() {
        found.extend(text(value));
    }
    if let Some(value) = schema.get("const") {
        found.extend(text(value));
    }
    for key in ["oneOf", "anyOf"] {
        for variant in list(key).into_iter().flatten() {
            found.extend(choices(variant));
        }
    }
    if schema.get("type").and_then(Value::as_str) == Some("boolean") {
        found.extend(["true", "false"].map(ToOwned::to_owned));
    }
    found
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_choices_of_a_schema_are_found_wherever_they_stand() {
        for (schema, expected) in [
            (json!({ "type": "string" }), &[][..]),
            (json!({ "type": "string", "enum": ["a", "b"] }), &["a", "b"]),
            (json!({ "enum": ["a", null] }), &["a"]),
            (json!({ "type": "boolean" }), &["true", "false"]),
            (
                json!({ "anyOf": [{ "oneOf": [{ "const": "x" }, { "enum": ["y", 3] }] }, { "type": "null" }] }),
                &["x", "y", "3"],
            ),
        ] {
            assert_eq!(choices(&schema), expected, "{schema}");
        }
    }
}
