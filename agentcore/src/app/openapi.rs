//! The agent's HTTP interface as an OpenAPI document.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::parts::Agent;
use crate::config::Settings;
use crate::schema::{SchemaOf, Schemas, made};

/// The place of schemas in both versions.
const COMPONENTS: &str = "/components/schemas";

/// The schemas of the library's own replies. The prefix keeps them apart from types of the user.
const ERROR: &str = "AgentcoreError";
const PING: &str = "AgentcorePing";

/// A version of OpenAPI. Its schemas are of another dialect in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// A dialect of its own, which many generators of clients know alone.
    V3_0,
    /// JSON Schema, 2020-12.
    #[default]
    V3_1,
}

impl Version {
    fn settings(self) -> SchemaSettings {
        match self {
            Self::V3_0 => SchemaSettings::openapi3()
                .with_transform(RecursiveTransform(with_one_schema_of_items)),
            Self::V3_1 => SchemaSettings::draft2020_12(),
        }
        .with(|settings| {
            settings.definitions_path = COMPONENTS.into();
            settings.meta_schema = None;
        })
    }

    fn text(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0.3",
            Self::V3_1 => "3.1.0",
        }
    }
}

/// Gives arrays one schema for all items, because OpenAPI 3.0 has no tuples.
fn with_one_schema_of_items(schema: &mut Schema) {
    if let Some(Value::Array(items)) = schema.get("items") {
        let any = json!({ "anyOf": items });
        schema.insert("items".to_owned(), any);
    }
}

/// The document of `agent`.
pub(crate) fn openapi(agent: &Agent, settings: &Settings, version: Version) -> Value {
    let mut schemas = Components::new(version);
    let mut paths = Map::new();
    if agent.entrypoint.is_some() {
        let path = settings.invocations_path.to_string();
        paths.insert(path, invocations(agent, &mut schemas));
    }
    paths.insert("/ping".to_owned(), ping());
    json!({
        "openapi": version.text(),
        "info": {
            "title": agent.package.name(),
            "version": agent.package.version().unwrap_or("0.0.0"),
        },
        "paths": paths,
        "components": { "schemas": schemas.finish() },
    })
}

fn invocations(agent: &Agent, schemas: &mut Components) -> Value {
    let mut types = Schemas::default();
    let name = agent.entrypoint.as_ref().map(|entrypoint| {
        (entrypoint.describe)(&mut types);
        entrypoint.meta.name()
    });
    let payload = types.payload.map(|schema| schemas.payload(schema));
    let reply = types.reply.map(|schema| schemas.reply(schema));
    let (content_type, what) = if types.is_stream {
        (
            "text/event-stream",
            "Server-sent events. The data of each is JSON of this schema.",
        )
    } else {
        ("application/json", "What the entrypoint returned.")
    };
    let mut good = json!({ "description": what });
    if let Some(schema) = reply {
        good["content"] = json!({ content_type: { "schema": schema } });
    } else if types.is_stream {
        good["content"] = json!({ content_type: { "schema": {} } });
    }
    let mut operation = json!({
        "operationId": "invoke",
        "summary": format!("Calls the entrypoint `{}`.", name.unwrap_or_default()),
        "parameters": [{
            "name": "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id",
            "in": "header",
            "required": false,
            "description": "The session that the invocation belongs to.",
            "schema": { "type": "string" },
        }],
        "responses": {
            "200": good,
            "400": failure("No JSON, or no UTF-8."),
            "413": failure("More than the agent takes."),
            "422": failure("JSON of another shape."),
            "500": failure("The entrypoint failed."),
            "503": failure("Starting, stopping, or too busy; `Retry-After` says when to come back."),
            "504": failure("The time of the invocation was up."),
        },
    });
    if let Some(schema) = payload {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        });
    }
    json!({ "post": operation })
}

fn ping() -> Value {
    json!({
        "get": {
            "operationId": "ping",
            "summary": "Says whether the agent is busy.",
            "responses": {
                "200": {
                    "description": "The status.",
                    "content": {
                        "application/json": { "schema": { "$ref": format!("#{COMPONENTS}/{PING}") } },
                    },
                },
                "503": failure("Start hooks run."),
            },
        },
    })
}

fn failure(when: &str) -> Value {
    json!({
        "description": when,
        "content": { "application/json": { "schema": { "$ref": format!("#{COMPONENTS}/{ERROR}") } } },
    })
}

/// The schemas that a document refers to. What a payload may be and what a reply is may differ for one type: a field with a
/// default may be missing in the one, and is always there in the other.
struct Components {
    payloads: SchemaGenerator,
    replies: SchemaGenerator,
    /// Those of the replies, once they are there; they may have to be renamed.
    reply: Option<Value>,
}

impl Components {
    fn new(version: Version) -> Self {
        Self {
            payloads: version.settings().for_deserialize().into_generator(),
            replies: version.settings().for_serialize().into_generator(),
            reply: None,
        }
    }

    fn payload(&mut self, schema: SchemaOf) -> Value {
        made(&mut self.payloads, schema)
    }

    /// The schema, with the names that it has in [`finish`](Self::finish).
    fn reply(&mut self, schema: SchemaOf) -> Value {
        let mut schema = made(&mut self.replies, schema);
        let payloads = self.payloads.take_definitions(true);
        let mut replies = self.replies.take_definitions(true);
        let others: Vec<_> = replies
            .iter()
            .filter(|(name, schema)| payloads.get(*name).is_some_and(|other| other != *schema))
            .map(|(name, _)| name.clone())
            .collect();
        let mut all = payloads;
        for name in &others {
            let new = (1..)
                .map(|count| match count {
                    1 => format!("{name}Reply"),
                    count => format!("{name}Reply{count}"),
                })
                .find(|new| !all.contains_key(new) && !replies.contains_key(new));
            let (Some(new), Some(renamed)) = (new, replies.remove(name)) else {
                continue;
            };
            replies.insert(new.clone(), renamed);
            let (from, to) = (
                format!("#{COMPONENTS}/{name}"),
                format!("#{COMPONENTS}/{new}"),
            );
            replies
                .values_mut()
                .for_each(|schema| refer(schema, &from, &to));
            refer(&mut schema, &from, &to);
        }
        all.extend(replies);
        self.reply = Some(all.into());
        schema
    }

    fn finish(mut self) -> Value {
        let mut all = match self.reply {
            Some(Value::Object(all)) => all,
            _ => self.payloads.take_definitions(true),
        };
        all.insert(
            ERROR.to_owned(),
            json!({
                "type": "object",
                "properties": {
                    "error": { "type": "string" },
                    "details": { "type": "string" },
                    "path": { "type": "string", "description": "The JSON path of what does not fit." },
                },
            }),
        );
        all.insert(
            PING.to_owned(),
            json!({
                "type": "object",
                "required": ["status", "time_of_last_update"],
                "properties": {
                    "status": { "type": "string", "enum": ["Healthy", "HealthyBusy"] },
                    "time_of_last_update": { "type": "integer", "description": "In seconds since 1970." },
                },
            }),
        );
        all.into()
    }
}

/// Has every reference to `from` refer to `to`.
fn refer(schema: &mut Value, from: &str, to: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "$ref" && text == from => to.clone_into(text),
                    value => refer(value, from, to),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer(value, from, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::handler::response::Json;
    use crate::{App, Config};

    #[derive(serde::Deserialize, serde::Serialize, JsonSchema)]
    struct Order {
        item: Item,
        #[serde(default)]
        note: Option<String>,
        place: (f64, f64),
    }

    #[derive(serde::Deserialize, serde::Serialize, JsonSchema)]
    struct Item {
        name: String,
        #[serde(default)]
        count: u32,
    }

    fn document(version: Version) -> Value {
        let app = App::new()
            .package("shop", "1.2.3")
            .entrypoint("order", async |order: Json<Order>| order)
            .entrypoint_schema::<Order, Order>();
        let (agent, settings) = app.into_agent_for_tests().expect("an agent");
        openapi(&agent, &settings, version)
    }

    #[test]
    fn a_type_that_differs_in_a_reply_has_two_schemas() {
        let document = document(Version::V3_1);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Item"]["required"], json!(["name"]));
        assert_eq!(schemas["ItemReply"]["required"], json!(["name", "count"]));
        assert_eq!(
            schemas["OrderReply"]["properties"]["item"]["$ref"],
            "#/components/schemas/ItemReply"
        );
        let post = &document["paths"]["/invocations"]["post"];
        assert_eq!(
            post["requestBody"]["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/Order"
        );
        assert_eq!(
            post["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
            "#/components/schemas/OrderReply"
        );
    }

    #[test]
    fn the_path_of_invocations_is_the_one_that_is_set() {
        let app = App::new()
            .entrypoint("any", async |any: Json<Value>| any)
            .config(Config::new().invocations_path("/chat"));
        let (agent, settings) = app.into_agent_for_tests().expect("an agent");
        let document = openapi(&agent, &settings, Version::V3_1);
        assert!(document["paths"]["/chat"]["post"].is_object(), "{document}");
        assert_eq!(document["paths"].as_object().map(Map::len), Some(2));
    }

    /// `true` is a schema of JSON, and none of OpenAPI 3.0.
    #[test]
    fn a_value_of_any_kind_has_a_schema_in_both_versions() {
        for (version, schema) in [(Version::V3_0, json!({})), (Version::V3_1, json!(true))] {
            let app = App::new()
                .entrypoint("any", async |any: Json<Value>| any)
                .entrypoint_schema::<Value, Value>();
            let (agent, settings) = app.into_agent_for_tests().expect("an agent");
            let document = openapi(&agent, &settings, version);
            let post = &document["paths"]["/invocations"]["post"];
            let reply = &post["responses"]["200"]["content"]["application/json"];
            assert_eq!(reply["schema"], schema);
        }
    }

    #[test]
    fn each_version_has_its_dialect() {
        let note = |version| {
            let document = document(version);
            document["components"]["schemas"]["Order"]["properties"]["note"].clone()
        };
        assert_eq!(note(Version::V3_1)["type"], json!(["string", "null"]));
        assert_eq!(note(Version::V3_0)["nullable"], true);
        assert_eq!(document(Version::V3_0)["openapi"], "3.0.3");
        let place = |version| {
            let document = document(version);
            document["components"]["schemas"]["Order"]["properties"]["place"].clone()
        };
        assert!(place(Version::V3_0)["items"]["anyOf"].is_array());
        assert!(place(Version::V3_1)["prefixItems"].is_array());
    }
}
