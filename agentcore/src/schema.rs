//! JSON Schemas of the types that an agent takes and returns, with the feature `schema`.
//!
//! [`Schemas`] keeps functions that make schemas, because one type has different schemas in different documents: OpenAPI 3.0 uses an
//! older dialect than OpenAPI 3.1.

#[cfg(feature = "schema")]
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes the schema of a type.
#[cfg(feature = "schema")]
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Makes the schema of `T`.
#[cfg(feature = "schema")]
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema that `schema` makes, in the dialect of `generator`. The generator itself applies its transforms only to definitions.
#[cfg(feature = "schema")]
pub(crate) fn made(generator: &mut SchemaGenerator, schema: SchemaOf) -> serde_json::Value {
    let mut schema = schema(generator);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    schema.into()
}

/// The schemas of the types of one function.
#[cfg(feature = "schema")]
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// The payload of an entrypoint.
    pub(crate) payload: Option<SchemaOf>,
    /// The reply, or each item of a streamed reply.
    pub(crate) reply: Option<SchemaOf>,
    pub(crate) is_stream: bool,
    /// The arguments of a tool, in the order of the function.
    pub(crate) arguments: Vec<Argument>,
}

/// A named argument of a tool.
#[cfg(feature = "schema")]
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) is_required: bool,
    /// The value of `#[default]`, if it can be serialised.
    pub(crate) default: Option<serde_json::Value>,
    /// `None` if the schema of all arguments is in a file.
    pub(crate) schema: Option<SchemaOf>,
}

/// Without the feature there are no schemas.
#[cfg(not(feature = "schema"))]
#[derive(Clone, Debug, Default)]
pub struct Schemas(());
