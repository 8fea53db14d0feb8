//! Asking types for their schemas where the feature `schema` is off: none has one.

use super::probe::Probe;
use crate::schema::Schemas;

/// Whether `#[entrypoint(schema)]` can be had.
pub const HAS_SCHEMAS: bool = false;

/// The only choice for a payload.
pub trait PayloadSchemaProbe {
    fn __agentcore_payload_schema(&self) -> NoSchemaTag {
        NoSchemaTag
    }
}

impl<T> PayloadSchemaProbe for Probe<T> {}

/// The only choice for a reply.
pub trait ReplySchemaProbe {
    fn __agentcore_reply_schema(&self) -> NoSchemaTag {
        NoSchemaTag
    }
}

impl<T> ReplySchemaProbe for Probe<T> {}

pub struct NoSchemaTag;

impl NoSchemaTag {
    pub fn __agentcore_describe<T>(self, _: Probe<T>, _: &mut Schemas) {}

    /// A message of the expansion's says that the feature is missing.
    pub fn __agentcore_require<T>(self, _: Probe<T>, _: &mut Schemas) {}
}
