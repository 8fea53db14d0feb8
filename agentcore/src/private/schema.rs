//! Whether a type has a JSON Schema: of a payload, of a reply, of an item of a stream.
//!
//! The choices are told apart by the number of `&`s before the probe: the first has the most. A tag has two methods:
//! `__agentcore_describe` takes note of the schema if there is one, and `__agentcore_require` is an error if there is none.

use futures_core::Stream;
use schemars::JsonSchema;

use super::probe::Probe;
use crate::handler::extract::FromInvocation;
#[cfg(feature = "garde")]
use crate::handler::extract::Valid;
use crate::handler::response::{IntoResponse, Json};
use crate::schema::{Schemas, schema_of};

/// Whether `#[entrypoint(schema)]` can be had.
pub const HAS_SCHEMAS: bool = true;

/// First choice for an argument: it says that it is the payload.
pub trait WrappedPayloadProbe {
    fn __agentcore_payload_schema(&self) -> WrappedTag {
        WrappedTag
    }
}

impl<T: JsonSchema> WrappedPayloadProbe for &&&Probe<Json<T>> {}

/// First choice for an argument, for `Valid<T>`: it says that it is the payload.
#[cfg(feature = "garde")]
pub trait ValidPayloadProbe {
    fn __agentcore_payload_schema(&self) -> ValidTag {
        ValidTag
    }
}

#[cfg(feature = "garde")]
impl<T: JsonSchema> ValidPayloadProbe for &&&Probe<Valid<T>> {}

/// Second choice for an argument: it is made from the request, and is no part of the payload.
pub trait ExtractedProbe {
    fn __agentcore_payload_schema(&self) -> OpaqueTag {
        OpaqueTag
    }
}

impl<T: FromInvocation> ExtractedProbe for &&Probe<T> {}

/// Third choice for an argument: it is the payload.
pub trait PayloadSchemaProbe {
    fn __agentcore_payload_schema(&self) -> PayloadSchemaTag {
        PayloadSchemaTag
    }
}

impl<T: JsonSchema> PayloadSchemaProbe for &Probe<T> {}

/// Last choice for an argument: it is the payload, and has no schema.
pub trait NoPayloadSchemaProbe {
    fn __agentcore_payload_schema(&self) -> NoPayloadSchemaTag {
        NoPayloadSchemaTag
    }
}

impl<T> NoPayloadSchemaProbe for Probe<T> {}

/// First choice for a reply: it says that it is JSON.
pub trait WrappedReplyProbe {
    fn __agentcore_reply_schema(&self) -> WrappedReplyTag {
        WrappedReplyTag
    }
}

impl<T: JsonSchema> WrappedReplyProbe for &&&&&&Probe<Json<T>> {}

/// Second choice for a reply: it implements `IntoResponse`, and has no schema.
pub trait ResponseSchemaProbe {
    fn __agentcore_reply_schema(&self) -> OpaqueTag {
        OpaqueTag
    }
}

impl<T: IntoResponse> ResponseSchemaProbe for &&&&&Probe<T> {}

/// Third choice for a reply: a stream that may fail, and whose items have a schema.
pub trait TryItemsProbe {
    fn __agentcore_reply_schema(&self) -> TryItemsTag {
        TryItemsTag
    }
}

impl<S: Stream<Item = Result<T, E>>, T: JsonSchema, E> TryItemsProbe for &&&&Probe<S> {}

/// Fourth choice for a reply: a stream whose items have a schema.
pub trait ItemsProbe {
    fn __agentcore_reply_schema(&self) -> ItemsTag {
        ItemsTag
    }
}

impl<S: Stream<Item: JsonSchema>> ItemsProbe for &&&Probe<S> {}

/// Fifth choice for a reply: another stream.
pub trait OpaqueItemsProbe {
    fn __agentcore_reply_schema(&self) -> OpaqueItemsTag {
        OpaqueItemsTag
    }
}

impl<S: Stream> OpaqueItemsProbe for &&Probe<S> {}

/// Sixth choice for a reply: it is serialised.
pub trait ReplySchemaProbe {
    fn __agentcore_reply_schema(&self) -> ReplySchemaTag {
        ReplySchemaTag
    }
}

impl<T: JsonSchema> ReplySchemaProbe for &Probe<T> {}

/// Last choice for a reply: it is serialised, and has no schema.
pub trait NoReplySchemaProbe {
    fn __agentcore_reply_schema(&self) -> NoReplySchemaTag {
        NoReplySchemaTag
    }
}

impl<T> NoReplySchemaProbe for Probe<T> {}

/// A type that needs no schema.
pub struct OpaqueTag;

impl OpaqueTag {
    pub fn __agentcore_describe<T>(self, _: Probe<T>, _: &mut Schemas) {}

    pub fn __agentcore_require<T>(self, _: Probe<T>, _: &mut Schemas) {}
}

pub struct WrappedTag;

impl WrappedTag {
    pub fn __agentcore_describe<T: JsonSchema>(self, _: Probe<Json<T>>, to: &mut Schemas) {
        to.payload = Some(schema_of::<T>);
    }

    pub fn __agentcore_require<T: JsonSchema>(self, probe: Probe<Json<T>>, to: &mut Schemas) {
        self.__agentcore_describe(probe, to);
    }
}

#[cfg(feature = "garde")]
pub struct ValidTag;

#[cfg(feature = "garde")]
impl ValidTag {
    pub fn __agentcore_describe<T: JsonSchema>(self, _: Probe<Valid<T>>, to: &mut Schemas) {
        to.payload = Some(schema_of::<T>);
    }

    pub fn __agentcore_require<T: JsonSchema>(self, probe: Probe<Valid<T>>, to: &mut Schemas) {
        self.__agentcore_describe(probe, to);
    }
}

pub struct PayloadSchemaTag;

impl PayloadSchemaTag {
    pub fn __agentcore_describe<T: JsonSchema>(self, _: Probe<T>, to: &mut Schemas) {
        to.payload = Some(schema_of::<T>);
    }

    pub fn __agentcore_require<T: JsonSchema>(self, probe: Probe<T>, to: &mut Schemas) {
        self.__agentcore_describe(probe, to);
    }
}

/// [`RequiredPayload`] has its `__agentcore_require`.
pub struct NoPayloadSchemaTag;

impl NoPayloadSchemaTag {
    pub fn __agentcore_describe<T>(self, _: Probe<T>, _: &mut Schemas) {}
}

pub struct WrappedReplyTag;

impl WrappedReplyTag {
    pub fn __agentcore_describe<T: JsonSchema>(self, _: Probe<Json<T>>, to: &mut Schemas) {
        to.reply = Some(schema_of::<T>);
    }

    pub fn __agentcore_require<T: JsonSchema>(self, probe: Probe<Json<T>>, to: &mut Schemas) {
        self.__agentcore_describe(probe, to);
    }
}

pub struct TryItemsTag;

impl TryItemsTag {
    pub fn __agentcore_describe<S, T, E>(self, _: Probe<S>, to: &mut Schemas)
    where
        S: Stream<Item = Result<T, E>>,
        T: JsonSchema,
    {
        to.reply = Some(schema_of::<T>);
        to.is_stream = true;
    }

    pub fn __agentcore_require<S, T, E>(self, probe: Probe<S>, to: &mut Schemas)
    where
        S: Stream<Item = Result<T, E>>,
        T: JsonSchema,
    {
        self.__agentcore_describe(probe, to);
    }
}

pub struct ItemsTag;

impl ItemsTag {
    pub fn __agentcore_describe<S>(self, _: Probe<S>, to: &mut Schemas)
    where
        S: Stream<Item: JsonSchema>,
    {
        to.reply = Some(schema_of::<S::Item>);
        to.is_stream = true;
    }

    pub fn __agentcore_require<S>(self, probe: Probe<S>, to: &mut Schemas)
    where
        S: Stream<Item: JsonSchema>,
    {
        self.__agentcore_describe(probe, to);
    }
}

/// [`RequiredItem`] has its `__agentcore_require`.
pub struct OpaqueItemsTag;

impl OpaqueItemsTag {
    pub fn __agentcore_describe<S>(self, _: Probe<S>, to: &mut Schemas) {
        to.is_stream = true;
    }

    pub fn __agentcore_require<S: Stream<Item: RequiredItem>>(self, _: Probe<S>, to: &mut Schemas) {
        to.is_stream = true;
    }
}

pub struct ReplySchemaTag;

impl ReplySchemaTag {
    pub fn __agentcore_describe<T: JsonSchema>(self, _: Probe<T>, to: &mut Schemas) {
        to.reply = Some(schema_of::<T>);
    }

    pub fn __agentcore_require<T: JsonSchema>(self, probe: Probe<T>, to: &mut Schemas) {
        self.__agentcore_describe(probe, to);
    }
}

/// [`RequiredReply`] has its `__agentcore_require`.
pub struct NoReplySchemaTag;

impl NoReplySchemaTag {
    pub fn __agentcore_describe<T>(self, _: Probe<T>, _: &mut Schemas) {}
}

#[diagnostic::on_unimplemented(
    message = "the payload `{T}` has no schema",
    label = "not `schemars::JsonSchema`",
    note = "put `#[derive(schemars::JsonSchema)]` on every type of yours in it, or remove `schema` from the attribute"
)]
pub trait RequiredPayload<T> {
    fn __agentcore_require(self, probe: Probe<T>, to: &mut Schemas);
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> RequiredPayload<T> for NoPayloadSchemaTag {
    fn __agentcore_require(self, _: Probe<T>, to: &mut Schemas) {
        to.payload = Some(schema_of::<T>);
    }
}

#[diagnostic::on_unimplemented(
    message = "the reply `{T}` has no schema",
    label = "not `schemars::JsonSchema`",
    note = "put `#[derive(schemars::JsonSchema)]` on every type of yours in it, or remove `schema` from the attribute"
)]
pub trait RequiredReply<T> {
    fn __agentcore_require(self, probe: Probe<T>, to: &mut Schemas);
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> RequiredReply<T> for NoReplySchemaTag {
    fn __agentcore_require(self, _: Probe<T>, to: &mut Schemas) {
        to.reply = Some(schema_of::<T>);
    }
}

#[diagnostic::on_unimplemented(
    message = "the items of the reply, `{Self}`, have no schema",
    label = "not a stream of `schemars::JsonSchema`",
    note = "put `#[derive(schemars::JsonSchema)]` on every type of yours in them, or remove `schema` from the attribute"
)]
pub trait RequiredItem {}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema> RequiredItem for T {}
