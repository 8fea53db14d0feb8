//! The document that `--schema` prints: the JSON Schemas of the payload, the reply and the tools.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::openapi::{Version, openapi};
use super::parts::Agent;
use crate::config::Settings;
use crate::error::{Error, Kind};
use crate::report::panics;
use crate::schema::{SchemaOf, Schemas, made};
use crate::util::package;

impl Agent {
    /// Adds the OpenAPI document and the schemas of the entrypoint, as far as they are wanted. User code makes the schemas, so this
    /// is not for the front.
    pub(crate) fn with_documents(mut self, settings: &Settings) -> Result<Self, Error> {
        let made = panics::guard(|| {
            let document = || openapi(&self, settings, Version::default()).to_string();
            let has_form = settings.dev.is_some();
            (
                settings.openapi.then(document),
                has_form.then(|| entrypoint(&self)),
            )
        });
        (self.openapi, self.schema) = made.map_err(|panic| {
            let message = panic.message();
            let problem = format!("the schemas cannot be made: their code panicked: {message}");
            Error::new(Kind::Registration, problem)
        })?;
        Ok(self)
    }
}

/// Makes the document. Fields are added, never renamed.
pub(crate) fn document(agent: &Agent) -> Value {
    let tools: Vec<_> = agent.tools.iter().map(|tool| tool.to_json()).collect();
    json!({
        "name": agent.package.name(),
        "version": agent.package.version(),
        "agentcore": package::AGENTCORE,
        "entrypoint": entrypoint(agent),
        "tools": tools,
    })
}

/// The schemas of the entrypoint; `null` without one.
pub(crate) fn entrypoint(agent: &Agent) -> Value {
    let Some(entrypoint) = &agent.entrypoint else {
        return Value::Null;
    };
    let mut schemas = Schemas::default();
    (entrypoint.describe)(&mut schemas);
    let payload = schemas
        .payload
        .map(|schema| alone(settings().for_deserialize(), schema));
    let reply = schemas
        .reply
        .map(|schema| alone(settings().for_serialize(), schema));
    json!({
        "name": entrypoint.meta.name(),
        "payload": payload,
        "reply": reply,
        "streams": schemas.is_stream,
    })
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12()
}

/// A schema that needs no other document.
fn alone(settings: SchemaSettings, schema: SchemaOf) -> Value {
    let meta = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let schema = made(&mut generator, schema);
    let Value::Object(schema) = schema else {
        // `true`: any value.
        return schema;
    };
    let mut whole = Map::new();
    if let Some(meta) = meta {
        whole.insert("$schema".to_owned(), meta.into_owned().into());
    }
    whole.extend(schema);
    let mut definitions = generator.take_definitions(true);
    if let Some(own) = whole.get("$ref").and_then(Value::as_str) {
        let name = own.strip_prefix("#/$defs/").unwrap_or_default().to_owned();
        // The whole schema is a reference, so the definition takes its place.
        if let Some(Value::Object(definition)) = definitions.get(&name).cloned() {
            let reference = json!(own).to_string();
            whole.remove("$ref");
            whole.extend(definition);
            let is_recursive = |schema: &Value| schema.to_string().contains(&reference);
            if !definitions.values().any(is_recursive) {
                definitions.remove(&name);
            }
        }
    }
    if !definitions.is_empty() {
        whole.insert("$defs".to_owned(), definitions.into());
    }
    whole.into()
}
