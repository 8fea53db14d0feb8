//! Forms: the schema of a type as the protocol wants it, which is flat, and the answers to it.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Elicited;
use crate::report::panics;
use crate::schema::{made, schema_of};
use crate::tools::argument;

/// The schema of the form that `T` stands for.
pub(super) fn of_type<T: JsonSchema>() -> Result<Value, String> {
    // The schema is made by the user's code.
    let made = panics::guard(|| {
        let mut generator = argument::settings().for_deserialize().into_generator();
        made(&mut generator, schema_of::<T>)
    });
    let made = made.map_err(|panic| format!("its schema cannot be made: {}", panic.message()))?;
    let Value::Object(mut schema) = made else {
        return Err("its type is any value; take a struct".to_owned());
    };
    let Some(Value::Object(properties)) = schema.remove("properties") else {
        return Err("its type has no fields; take a struct".to_owned());
    };
    let mut fields = Map::new();
    for (name, property) in properties {
        let field = field(property).ok_or_else(|| {
            format!(
                "`{name}` is no text, number, boolean, choice or list of choices, and a form has no others"
            )
        })?;
        fields.insert(name, field);
    }
    let mut form = json!({ "type": "object", "properties": fields });
    for key in ["required", "description"] {
        if let Some(value) = schema.remove(key) {
            form[key] = value;
        }
    }
    Ok(form)
}

/// The schema of a field, as forms have it; `None` if it has nested ones.
fn field(schema: Value) -> Option<Value> {
    let Value::Object(mut schema) = schema else {
        return None;
    };
    // An `Option`: that a field may be missing, `required` says.
    if let Some(Value::Array(variants)) = schema.remove("anyOf") {
        let null = json!({ "type": "null" });
        let mut others = variants.into_iter().filter(|variant| *variant != null);
        let (Some(Value::Object(only)), None) = (others.next(), others.next()) else {
            return None;
        };
        for (key, value) in only {
            schema.entry(key).or_insert(value);
        }
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        let mut others = types.iter().filter(|kind| *kind != "null").cloned();
        let only = others.next().filter(|_| others.next().is_none())?;
        schema.insert("type".to_owned(), only);
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        titled(choices)?;
        schema.insert("type".to_owned(), "string".into());
    }
    match schema.get("type")?.as_str()? {
        "string" | "number" | "integer" | "boolean" => {}
        "array" => {
            let items = schema.get_mut("items")?.as_object_mut()?;
            match items.remove("oneOf").or_else(|| items.remove("anyOf")) {
                Some(Value::Array(mut choices)) => {
                    titled(&mut choices)?;
                    *items = Map::from_iter([("anyOf".to_owned(), choices.into())]);
                }
                _ => {
                    items.get("enum")?;
                }
            }
        }
        _ => return None,
    }
    if schema
        .get("format")
        .is_some_and(|format| !is_format(format))
    {
        schema.remove("format");
    }
    Some(schema.into())
}

/// Whether forms know the format of a text.
fn is_format(format: &Value) -> bool {
    let known = ["email", "uri", "date", "date-time"];
    format
        .as_str()
        .is_some_and(|format| known.contains(&format))
}

/// Makes choices of variants: each has a title.
fn titled(choices: &mut Vec<Value>) -> Option<()> {
    let mut made = Vec::new();
    for choice in choices.iter() {
        if let Some(plain) = choice.get("enum") {
            // The variants that have no doc comment stand together.
            for value in plain.as_array()? {
                made.push(json!({ "const": value, "title": value.as_str()? }));
            }
            continue;
        }
        let value = choice.get("const")?.as_str()?;
        let text = |key: &str| choice.get(key).and_then(Value::as_str);
        let title = text("title").or_else(|| text("description"));
        made.push(json!({ "const": value, "title": title.unwrap_or(value) }));
    }
    *choices = made;
    Some(())
}

/// The answer to a form: `{"action": "accept", "content": ..}`.
pub(super) struct Answered<T>(PhantomData<T>);

impl<T> Answered<T> {
    /// Says why `answer` is no decision.
    pub(super) fn check_decision(answer: &Value) -> Result<(), String> {
        Self::read_decision(answer).map(|_| ())
    }

    pub(super) fn read_decision(answer: &Value) -> Result<Elicited<()>, String> {
        match answer.get("action").and_then(Value::as_str) {
            Some("accept") => Ok(Elicited::Accepted(())),
            Some("decline") => Ok(Elicited::Declined),
            Some("cancel") => Ok(Elicited::Cancelled),
            _ => Err("`action` is none of `accept`, `decline`, `cancel`".to_owned()),
        }
    }
}

impl<T: DeserializeOwned> Answered<T> {
    /// Says why `answer` is none to the form.
    pub(super) fn check(answer: &Value) -> Result<(), String> {
        Self::read(answer.clone()).map(|_| ())
    }

    pub(super) fn read(mut answer: Value) -> Result<Elicited<T>, String> {
        Ok(match Self::read_decision(&answer)? {
            Elicited::Accepted(()) => {
                let content = answer["content"].take();
                // A form whose fields are all optional.
                let content = match content {
                    Value::Null => Value::Object(Map::new()),
                    content => content,
                };
                let content = serde_path_to_error::deserialize(content).map_err(|error| {
                    misfit(&error.path().to_string(), &error.inner().to_string())
                })?;
                Elicited::Accepted(content)
            }
            Elicited::Declined => Elicited::Declined,
            Elicited::Cancelled => Elicited::Cancelled,
        })
    }
}

/// What is wrong with an answer, without what the client has sent: it may be a secret, and the text gets into logs. `error` is that of
/// serde for the value at `path`.
fn misfit(path: &str, error: &str) -> String {
    let names_value = ["type: ", "value: ", "length "].iter().any(|what| {
        error
            .strip_prefix("invalid ")
            .is_some_and(|error| error.starts_with(what))
    });
    let said = if names_value || error.starts_with("unknown variant `") {
        // The value may have these words too, but what is expected comes last.
        let at = error.rfind(", expected ");
        at.map(|at| &error[at + ", ".len()..])
    } else {
        Some(error).filter(|error| error.starts_with("missing field `"))
    };
    match (path, said) {
        (".", Some(said)) => said.to_owned(),
        (".", None) => "the content is invalid".to_owned(),
        (path, Some(said)) => format!("`{path}`: {said}"),
        (path, None) => format!("`{path}` is invalid"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    enum Size {
        Small,
        Large,
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    enum Colour {
        /// As the sky.
        Blue,
        #[schemars(title = "Like grass")]
        Green,
        Other,
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    struct Order {
        /// As on the card.
        name: String,
        count: Option<u8>,
        size: Size,
        colour: Option<Colour>,
        #[serde(default)]
        gift: bool,
        extras: Vec<Size>,
        paints: Vec<Colour>,
    }

    #[test]
    fn the_fields_of_a_struct_are_those_of_the_form() {
        let choices = json!([
            { "const": "Blue", "title": "As the sky." },
            { "const": "Green", "title": "Like grass" },
            { "const": "Other", "title": "Other" },
        ]);
        let mut form = of_type::<Order>().expect("a form");
        // The order of variants is the generator's.
        for at in ["/properties/colour/oneOf", "/properties/paints/items/anyOf"] {
            let choices = form.pointer_mut(at).and_then(Value::as_array_mut);
            choices
                .expect("choices")
                .sort_by_key(|choice| choice["const"].to_string());
        }
        let expected = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "description": "As on the card." },
                "count": { "type": "integer", "minimum": 0, "maximum": 255 },
                "size": { "type": "string", "enum": ["Small", "Large"] },
                "colour": { "type": "string", "oneOf": choices },
                "gift": { "type": "boolean", "default": false },
                "extras": { "type": "array", "items": { "type": "string", "enum": ["Small", "Large"] } },
                "paints": { "type": "array", "items": { "anyOf": choices } },
            },
            "required": ["name", "size", "extras", "paints"],
        });
        assert_eq!(form, expected);
    }

    #[test]
    fn what_is_no_form_is_said() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "its schema is what matters")]
        struct Nested {
            order: Vec<String>,
        }
        let why = of_type::<Nested>().expect_err("no form");
        assert!(why.starts_with("`order` is no text"), "{why}");
        assert!(of_type::<Value>().is_err());
        assert!(of_type::<String>().is_err());
    }

    #[test]
    fn what_is_said_of_a_misfit_has_nothing_that_the_client_has_sent() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "what cannot be read matters")]
        struct Fields {
            #[serde(default)]
            flag: bool,
            #[serde(default)]
            count: u8,
            size: Option<Size>,
            address: Option<std::net::Ipv4Addr>,
            #[serde(default)]
            own: Own,
        }
        #[derive(Debug, Default)]
        struct Own;
        impl<'de> Deserialize<'de> for Own {
            fn deserialize<D: serde::Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                let value = String::deserialize(value)?;
                Err(serde::de::Error::custom(format!(
                    "{value}, expected {value}"
                )))
            }
        }
        let secret = "hunter2, expected hunter2";
        for (content, why) in [
            (json!({ "flag": secret }), "`flag`: expected a boolean"),
            (json!({ "count": 1234 }), "`count`: expected u8"),
            (
                json!({ "size": secret }),
                "`size`: expected `Small` or `Large`",
            ),
            (json!({ "address": secret }), "`address` is invalid"),
            (json!({ "own": secret }), "`own` is invalid"),
            (json!(secret), "expected struct Fields"),
        ] {
            let answer = json!({ "action": "accept", "content": content });
            let misfit = Answered::<Fields>::check(&answer).expect_err("a misfit");
            assert_eq!(misfit, why);
        }
    }

    #[test]
    fn an_answer_is_a_decision_and_a_value() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Name {
            name: String,
        }
        let read = Answered::<Name>::read;
        let ada = Name {
            name: "Ada".to_owned(),
        };
        let accepted = json!({ "action": "accept", "content": { "name": "Ada", "other": 1 } });
        assert_eq!(read(accepted), Ok(Elicited::Accepted(ada)));
        assert_eq!(read(json!({ "action": "decline" })), Ok(Elicited::Declined));
        assert_eq!(
            read(json!({ "action": "cancel", "content": {} })),
            Ok(Elicited::Cancelled)
        );
        let wrong = read(json!({ "action": "accept", "content": { "name": 3 } }));
        assert_eq!(wrong, Err("`name`: expected a string".to_owned()));
        let empty = read(json!({ "action": "accept" }));
        assert_eq!(empty, Err("missing field `name`".to_owned()));
        for wrong in [
            json!(12345),
            json!(null),
            json!({}),
            json!({ "action": "yes" }),
        ] {
            assert!(Answered::<Name>::check(&wrong).is_err(), "{wrong}");
        }
    }
}
