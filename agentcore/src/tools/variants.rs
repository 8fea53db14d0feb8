//! [`merged`]: a schema of variants as that of one object, because model APIs refuse `oneOf` and the like at the root.

use serde_json::{Map, Value, json};

/// The keys of a schema whose parts hold properties of the same object.
const PARTS: [&str; 3] = ["allOf", "oneOf", "anyOf"];

/// The properties of an object, or of all its variants.
#[derive(Default)]
struct Fields {
    properties: Map<String, Value>,
    required: Vec<String>,
    /// Whether there may be others.
    is_open: bool,
}

/// Whether `schema` has parts beside its own properties.
pub(super) fn has_parts(schema: &Map<String, Value>) -> bool {
    PARTS.iter().any(|key| schema.contains_key(*key))
}

/// The schema of an object with the properties of all variants, of which those are required that every variant requires. What goes
/// with which variant only serde knows, and the description of its tag says. Whether there may be other properties. `None` if the
/// schema, or that of a variant, is that of no object.
pub(super) fn merged(mut schema: Map<String, Value>) -> Option<(Map<String, Value>, bool)> {
    let is_object = schema.get("type") == Some(&json!("object"));
    if !is_object && !has_parts(&schema) {
        return None;
    }
    let fields = fields(&schema)?;
    if has_parts(&schema) {
        for key in PARTS {
            schema.remove(key);
        }
        schema.insert("properties".to_owned(), fields.properties.into());
        schema.remove("required");
        if !fields.required.is_empty() {
            schema.insert("required".to_owned(), fields.required.into());
        }
    }
    schema.insert("type".to_owned(), "object".into());
    Some((schema, fields.is_open))
}

fn fields(schema: &Map<String, Value>) -> Option<Fields> {
    let is_object = schema.get("type").is_none_or(|kind| kind == "object");
    if !is_object || schema.contains_key("$ref") {
        return None;
    }
    let required = schema.get("required").and_then(Value::as_array);
    let mut all = Fields {
        properties: object(schema.get("properties")),
        required: required
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(ToOwned::to_owned))
            .collect(),
        is_open: is_open(schema),
    };
    for key in PARTS {
        let Some(Value::Array(parts)) = schema.get(key) else {
            continue;
        };
        let parts = parts
            .iter()
            .map(|part| fields(part.as_object()?).map(|fields| (part, fields)));
        let parts: Vec<_> = parts.collect::<Option<_>>()?;
        if key == "allOf" {
            for (_, part) in parts {
                all.add(part);
            }
        } else {
            all.add(Fields::one_of(parts));
        }
    }
    Some(all)
}

/// Whether the schema allows properties that it does not name. A schema without a key is that of any object.
fn is_open(schema: &Map<String, Value>) -> bool {
    let more = schema.get("additionalProperties");
    more.is_some_and(|more| *more != json!(false))
        || schema.contains_key("patternProperties")
        || schema.is_empty()
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

impl Fields {
    /// Adds what the object has too.
    fn add(&mut self, more: Self) {
        for (name, schema) in more.properties {
            let merged = match self.properties.remove(&name) {
                Some(other) => either(other, schema),
                None => schema,
            };
            self.properties.insert(name, merged);
        }
        for name in more.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.is_open |= more.is_open;
    }

    /// What one of several variants has.
    fn one_of(variants: Vec<(&Value, Self)>) -> Self {
        let mut all = Self::default();
        let mut required: Option<Vec<String>> = None;
        for (schema, mut variant) in variants {
            variant.describe(schema.get("description").and_then(Value::as_str));
            let own = std::mem::take(&mut variant.required);
            match &mut required {
                Some(required) => required.retain(|name| own.contains(name)),
                None => required = Some(own),
            }
            all.add(variant);
        }
        all.required = required.unwrap_or_default();
        all
    }

    /// Keeps what only the variant says, in the description of the property that tells it from the others.
    fn describe(&mut self, description: Option<&str>) {
        let constant = |schema: &Value| schema.get("const")?.as_str().map(ToOwned::to_owned);
        let tag = self
            .properties
            .iter()
            .find_map(|(name, schema)| Some((name.clone(), constant(schema)?)));
        let (name, text) = match tag {
            Some((name, tag)) => {
                let others = self.required.iter().filter(|other| **other != name);
                let others: Vec<_> = others.map(|other| format!("`{other}`")).collect();
                let text = match (&others[..], description) {
                    ([], None) => return,
                    ([], Some(description)) => format!("`{tag}`: {description}"),
                    (others, None) => format!("`{tag}` needs {}", others.join(", ")),
                    (others, Some(description)) => {
                        format!("`{tag}` needs {}: {description}", others.join(", "))
                    }
                };
                (name, text)
            }
            None => match (self.properties.keys().next(), description) {
                (Some(name), Some(text)) if self.properties.len() == 1 => {
                    (name.clone(), text.to_owned())
                }
                _ => return,
            },
        };
        if let Some(Value::Object(property)) = self.properties.get_mut(&name) {
            property.entry("description").or_insert(text.into());
        }
    }
}

/// The schema of a property that has `a` in one variant, and `b` in another.
fn either(a: Value, b: Value) -> Value {
    if a == b {
        return a;
    }
    if let (Some(mut values), Some(more)) = (values(&a), values(&b)) {
        values.extend(
            more.into_iter()
                .filter(|value| !values.contains(value))
                .collect::<Vec<_>>(),
        );
        let mut merged = json!({ "type": "string", "enum": values });
        let texts = [&a, &b].map(|schema| schema.get("description").and_then(Value::as_str));
        let texts: Vec<_> = texts.into_iter().flatten().collect();
        if !texts.is_empty() {
            merged["description"] = texts.join("\n").into();
        }
        return merged;
    }
    let alternatives = |schema: Value| match schema {
        Value::Object(mut schema) if schema.len() == 1 && schema.contains_key("anyOf") => {
            match schema.remove("anyOf") {
                Some(Value::Array(alternatives)) => alternatives,
                other => vec![json!({ "anyOf": other })],
            }
        }
        other => vec![other],
    };
    let mut all = alternatives(a);
    for schema in alternatives(b) {
        if !all.contains(&schema) {
            all.push(schema);
        }
    }
    json!({ "anyOf": all })
}

/// The texts that a schema allows, if it says nothing else.
fn values(schema: &Value) -> Option<Vec<Value>> {
    let schema = schema.as_object()?;
    let is_plain = |key: &String| matches!(&**key, "type" | "const" | "enum" | "description");
    if schema.get("type") != Some(&json!("string")) || !schema.keys().all(is_plain) {
        return None;
    }
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), None) => Some(vec![value.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::*;

    #[derive(JsonSchema)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Shape {
        /// Is round.
        Circle {
            size: f64,
        },
        Square {
            size: f64,
            name: Option<String>,
        },
        Text {
            size: String,
        },
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Wrapped {
        /// By its name.
        Name(String),
        Number(u8),
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        shape: Shape,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct MaybeFlat {
        id: u8,
        #[serde(flatten)]
        shape: Option<Shape>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Mixed {
        Unit,
        Name(String),
    }

    fn of<T: JsonSchema>() -> Option<(Value, bool)> {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let schema = settings.into_generator().subschema_for::<T>();
        let (mut schema, is_open) = merged(schema.as_object()?.clone())?;
        schema.remove("title");
        Some((schema.into(), is_open))
    }

    fn shape() -> Value {
        json!({
            "kind": {
                "type": "string",
                "enum": ["circle", "square", "text"],
                "description": "`circle` needs `size`: Is round.\n`square` needs `size`\n`text` needs `size`",
            },
            "size": { "anyOf": [{ "type": "number", "format": "double" }, { "type": "string" }] },
            "name": { "type": ["string", "null"] },
        })
    }

    #[test]
    fn variants_are_one_object_with_the_properties_of_all() {
        let expected =
            json!({ "type": "object", "properties": shape(), "required": ["kind", "size"] });
        assert_eq!(of::<Shape>(), Some((expected, false)));
        let expected = json!({
            "type": "object",
            "properties": {
                "Name": { "type": "string", "description": "By its name." },
                "Number": { "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 },
            },
        });
        assert_eq!(of::<Wrapped>(), Some((expected, false)));
    }

    #[test]
    fn variants_beside_other_properties_are_merged_into_them() {
        let mut properties = shape();
        properties["id"] =
            json!({ "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 });
        let (flat, is_open) = of::<Flat>().expect("an object");
        assert_eq!(flat["properties"], properties);
        assert_eq!(flat["required"], json!(["id", "kind", "size"]));
        assert!(!is_open);
        let (flat, is_open) = of::<MaybeFlat>().expect("an object");
        assert_eq!(flat["properties"], properties);
        assert_eq!(flat["required"], json!(["id"]));
        assert!(is_open, "nothing says which others there may be");
    }

    #[test]
    fn a_variant_that_is_no_object_is_none() {
        assert_eq!(of::<Mixed>(), None);
        assert_eq!(of::<Vec<u8>>(), None);
    }
}
