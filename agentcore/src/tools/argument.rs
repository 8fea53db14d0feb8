//! The input schema of a tool: from the arguments of its function, or from a file.

use schemars::Schema;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use super::call::list;
use super::variants;
use crate::schema::{Argument, SchemaOf, Schemas, made};

/// The settings of the schemas of tools. Schemas stand where they are used, because not every model API follows a reference;
/// only types that contain themselves are referred to.
pub(crate) fn settings() -> schemars::generate::SchemaSettings {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(RecursiveTransform(without_formats_of_integers))
}

/// `uint8` and the like are no formats of the standard: some clients warn of them, and the bounds say as much.
fn without_formats_of_integers(schema: &mut Schema) {
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| format.starts_with("int") || format.starts_with("uint")) {
        schema.remove("format");
    }
}

/// The object schema of named arguments, which knows no other key.
pub(crate) fn of_arguments(arguments: &[Argument]) -> Map<String, Value> {
    let mut generator = settings().for_deserialize().into_generator();
    let mut properties = Map::new();
    for argument in arguments {
        let schema = argument.schema.map(|schema| made(&mut generator, schema));
        let mut property = match schema {
            Some(Value::Object(property)) => property,
            // Any value at all.
            Some(_) | None => Map::new(),
        };
        if !argument.description.is_empty() {
            property.insert("description".to_owned(), argument.description.into());
        }
        if let Some(default) = &argument.default {
            property.insert("default".to_owned(), default.clone());
        }
        properties.insert(argument.name.to_owned(), property.into());
    }
    let required: Vec<_> = arguments
        .iter()
        .filter(|argument| argument.is_required)
        .map(|argument| argument.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    add_definitions(&mut schema, &mut generator);
    schema
}

/// The object schema of one type that holds all arguments. Whether its properties are all arguments that a call may have, though
/// serde would accept others.
pub(crate) fn of_type(schema: SchemaOf) -> Result<(Map<String, Value>, bool), String> {
    let mut generator = settings().for_deserialize().into_generator();
    let Value::Object(mut schema) = made(&mut generator, schema) else {
        return Err("its arguments are any value, and a tool takes named arguments".to_owned());
    };
    let merged = variants::merged(schema).ok_or_else(|| {
        "its arguments are no object, and a tool takes named arguments: take a struct".to_owned()
    })?;
    (schema, _) = merged;
    add_definitions(&mut schema, &mut generator);
    schema.remove("title");
    // serde accepts other keys where the type does not say `deny_unknown_fields`; a tool does not.
    let is_closed = schema.contains_key("properties")
        && !merged.1
        && !schema.contains_key("additionalProperties");
    if is_closed {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    Ok((schema, is_closed))
}

/// The schema of a file.
pub(crate) fn of_file(
    path: &str,
    text: &str,
    arguments: &[Argument],
) -> Result<Map<String, Value>, String> {
    let schema = serde_json::from_str(text)
        .map_err(|error| format!("the schema `{path}` is no JSON: {error}"))?;
    let Value::Object(mut schema) = schema else {
        return Err(format!("the schema `{path}` is no object"));
    };
    if schema.get("type") != Some(&json!("object")) {
        return Err(format!(
            "the schema `{path}` has to have `\"type\": \"object\"`: a tool takes named arguments"
        ));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let has = |name: &str| properties.is_some_and(|known| known.contains_key(name));
    let takes = |name: &str| arguments.iter().any(|argument| argument.name == name);
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<_> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let arguments_that = |wrong: &dyn Fn(&Argument) -> bool| -> Vec<_> {
        let wrong = arguments.iter().filter(|argument| wrong(argument));
        wrong.map(|argument| argument.name).collect()
    };
    let wrong = |names: &[&str], problem: &str| match names {
        [] => Ok(()),
        names => Err(format!(
            "the schema `{path}` {}",
            problem.replace("{}", &list(names))
        )),
    };
    let missing = arguments_that(&|argument| !has(argument.name));
    wrong(&missing, "has no property {}, which the function takes")?;
    let more: Vec<_> = properties
        .iter()
        .flat_map(|known| known.keys().map(String::as_str))
        .chain(required.iter().copied().filter(|name| !has(name)))
        .filter(|name| !takes(name))
        .collect();
    wrong(&more, "has {}, which the function does not take")?;
    // Its parts may require more.
    if !variants::has_parts(&schema) && !schema.contains_key("if") {
        let optional =
            arguments_that(&|argument| argument.is_required && !required.contains(&argument.name));
        wrong(&optional, "does not require {}, which the function needs")?;
    }
    if !matches!(
        schema.get("additionalProperties"),
        None | Some(Value::Bool(false))
    ) {
        return Err(format!(
            "the schema `{path}` allows additional properties, which the function does not take"
        ));
    }
    schema
        .entry("additionalProperties")
        .or_insert(Value::Bool(false));
    Ok(schema)
}

/// The output schema of a return type, and whether its value is wrapped as `{"result": ..}`, because MCP wants an
/// object. `None` if the type has no schema, or is a text, `()`, or any value.
pub(crate) fn of_reply(schemas: &Schemas) -> Option<(Map<String, Value>, bool)> {
    let mut generator = settings().for_serialize().into_generator();
    let Value::Object(mut schema) = made(&mut generator, schemas.reply?) else {
        return None;
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("string" | "null") => return None,
        None if schema.is_empty() => return None,
        Some("object") => {
            add_definitions(&mut schema, &mut generator);
            return Some((schema, false));
        }
        _ => {}
    }
    let mut wrapped = Map::new();
    wrapped.insert("type".to_owned(), "object".into());
    wrapped.insert("properties".to_owned(), json!({ "result": schema }));
    wrapped.insert("required".to_owned(), json!(["result"]));
    add_definitions(&mut wrapped, &mut generator);
    Some((wrapped, true))
}

/// Types that contain themselves.
fn add_definitions(schema: &mut Map<String, Value>, generator: &mut schemars::SchemaGenerator) {
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), definitions.into());
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::schema::schema_of;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Tree {
        name: String,
        children: Vec<Self>,
    }

    #[derive(JsonSchema)]
    #[serde(tag = "kind")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
    }

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Strict {
        #[serde(alias = "label")]
        name: String,
    }

    fn argument(name: &'static str, schema: SchemaOf) -> Argument {
        Argument {
            name,
            description: "",
            is_required: true,
            default: None,
            schema: Some(schema),
        }
    }

    #[test]
    fn arguments_become_an_object_that_knows_no_other_key() {
        let city = Argument {
            description: "As a traveller would write it.",
            ..argument("city", schema_of::<String>)
        };
        let days = Argument {
            is_required: false,
            default: Some(json!(3)),
            ..argument("days", schema_of::<u8>)
        };
        assert_eq!(
            Value::from(of_arguments(&[city, days])),
            json!({
                "type": "object",
                "properties": {
                    "city": { "type": "string", "description": "As a traveller would write it." },
                    "days": { "type": "integer", "minimum": 0, "maximum": 255, "default": 3 },
                },
                "required": ["city"],
                "additionalProperties": false,
            })
        );
        assert_eq!(
            Value::from(of_arguments(&[])),
            json!({ "type": "object", "properties": {}, "additionalProperties": false })
        );
    }

    #[test]
    fn only_a_type_that_contains_itself_is_referred_to() {
        let schema = of_arguments(&[argument("shape", schema_of::<Shape>)]);
        assert!(!schema.contains_key("$defs"), "{schema:?}");
        let schema = of_arguments(&[argument("tree", schema_of::<Tree>)]);
        assert!(schema["$defs"]["Tree"].is_object(), "{schema:?}");
    }

    #[test]
    fn a_type_for_all_arguments_is_an_object() {
        let (shape, is_closed) = of_type(schema_of::<Shape>).expect("an object");
        assert_eq!(shape["type"], "object");
        assert!(is_closed);
        assert!(of_type(schema_of::<Vec<u8>>).is_err());
        assert!(of_type(schema_of::<Value>).is_err());
        let (tree, is_closed) = of_type(schema_of::<Tree>).expect("an object");
        assert_eq!(tree["additionalProperties"], false);
        assert!(is_closed);
        let (strict, is_closed) = of_type(schema_of::<Strict>).expect("an object");
        assert_eq!(strict["additionalProperties"], false);
        assert!(!is_closed, "serde refuses other keys, and knows aliases");
    }

    #[test]
    fn a_file_has_to_describe_what_the_function_takes() {
        let city = [argument("city", schema_of::<String>)];
        let of = |text: &str| of_file("f.json", text, &city).map(|_| ()).unwrap_err();
        assert!(of("{").starts_with("the schema `f.json` is no JSON: "));
        assert_eq!(of("[]"), "the schema `f.json` is no object");
        assert!(of("{}").contains(r#"has to have `"type": "object"`"#));
        assert_eq!(
            of(r#"{"type":"object","properties":{"town":{}}}"#),
            "the schema `f.json` has no property `city`, which the function takes"
        );
        for (more, problem) in [
            (
                r#""properties":{"city":{},"days":{}},"required":["city"]"#,
                "has `days`, which the function does not take",
            ),
            (
                r#""properties":{"city":{}},"required":["city","days"]"#,
                "has `days`, which the function does not take",
            ),
            (
                r#""properties":{"city":{}}"#,
                "does not require `city`, which the function needs",
            ),
            (
                r#""properties":{"city":{}},"required":["city"],"additionalProperties":true"#,
                "allows additional properties, which the function does not take",
            ),
        ] {
            let schema = format!(r#"{{"type":"object",{more}}}"#);
            assert_eq!(of(&schema), format!("the schema `f.json` {problem}"));
        }
        let fine = r#"{"type":"object","properties":{"city":{}},"required":["city"]}"#;
        let fine = of_file("f.json", fine, &city);
        assert_eq!(fine.expect("a schema")["additionalProperties"], false);
        // A part of the schema may say what is required.
        let parts = r#"{"type":"object","properties":{"city":{}},"allOf":[{"required":["city"]}]}"#;
        assert!(of_file("f.json", parts, &city).is_ok());
    }

    #[test]
    fn a_result_that_is_no_object_is_wrapped() {
        let reply = |schema: SchemaOf| {
            of_reply(&Schemas {
                reply: Some(schema),
                ..Schemas::default()
            })
        };
        assert!(!reply(schema_of::<Tree>).expect("a schema").1);
        let (schema, is_wrapped) = reply(schema_of::<Vec<u8>>).expect("a schema");
        assert!(is_wrapped);
        assert_eq!(schema["properties"]["result"]["type"], "array");
        for nothing in [schema_of::<String>, schema_of::<()>, schema_of::<Value>] {
            assert!(reply(nothing).is_none());
        }
    }
}
