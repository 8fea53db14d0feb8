//! [`Content`]: the result of a tool, with blocks for a model and data for a program.

use std::any::Any;
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_core::ser::SerializeMap as _;
use serde_core::{Serialize, Serializer};
use serde_json::{Value, json};

#[cfg(feature = "mcp")]
use super::messages::Messages;
use super::outcome::ToolFailure;
use crate::util::json;

/// The result of a tool: texts, images, sounds and resources for the model, and data for the program that calls.
///
/// A tool that returns a text, or any other value that is `serde::Serialize`, needs no `Content`: a text is a block, and
/// a value is data that also stands in a block, as JSON. A `Content` is for everything else, and for several blocks.
///
/// Its serialised form is the result of MCP: `{"content": [..], "structuredContent": ..}`.
///
/// ```
/// use agentcore::tool::Content;
/// use agentcore::{BoxError, tool};
///
/// /// A chart of the last days.
/// #[tool]
/// async fn chart() -> Result<Content, BoxError> {
///     let png = vec![0x89, b'P', b'N', b'G'];
///     Ok(Content::new().text("Temperatures of the last three days.").image("image/png", png))
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    blocks: Vec<Block>,
    structured: Option<Value>,
    /// The places of the blocks that the assistant says, in a prompt.
    by_assistant: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    Text(String),
    Image(Media),
    Audio(Media),
    Link(Resource),
    Embedded(Resource, Data),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Media {
    mime_type: String,
    bytes: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    uri: String,
    name: Option<String>,
    mime_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Text(String),
    Bytes(Bytes),
}

impl Content {
    /// A result without a block.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    /// Adds an image: its MIME type, such as `image/png`, and its bytes, which are sent in Base64.
    #[must_use]
    pub fn image(self, mime_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.with(Block::Image(Media {
            mime_type: mime_type.into(),
            bytes: bytes.into(),
        }))
    }

    /// Adds a sound: its MIME type, such as `audio/wav`, and its bytes, which are sent in Base64.
    #[must_use]
    pub fn audio(self, mime_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.with(Block::Audio(Media {
            mime_type: mime_type.into(),
            bytes: bytes.into(),
        }))
    }

    /// Adds a link to a resource, which the client may read: its URI, and a name to show.
    #[must_use]
    pub fn link(self, uri: impl Into<String>, name: impl Into<String>) -> Self {
        self.with(Block::Link(Resource {
            uri: uri.into(),
            name: Some(name.into()),
            mime_type: None,
        }))
    }

    /// Adds a resource that is a text: its URI, its MIME type, such as `text/markdown`, and the text.
    #[must_use]
    pub fn embedded_text(
        self,
        uri: impl Into<String>,
        mime_type: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        self.embedded(uri.into(), mime_type.into(), Data::Text(text.into()))
    }

    /// Adds a resource of bytes: its URI, its MIME type, and its bytes, which are sent in Base64.
    #[must_use]
    pub fn embedded_bytes(
        self,
        uri: impl Into<String>,
        mime_type: impl Into<String>,
        bytes: impl Into<Bytes>,
    ) -> Self {
        self.embedded(uri.into(), mime_type.into(), Data::Bytes(bytes.into()))
    }

    /// Sets the data of the result, which programs read. It is no block: a client without a use for data does not see it.
    #[must_use]
    pub fn structured(mut self, data: Value) -> Self {
        self.structured = Some(data);
        self
    }

    /// The data of the result.
    #[must_use]
    pub fn data(&self) -> Option<&Value> {
        self.structured.as_ref()
    }

    /// The texts among the blocks, one below the other; empty if there is none.
    #[must_use]
    pub fn to_text(&self) -> String {
        let texts = self.blocks.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The result as one value, for a model: the data if there is any, else the only text, else the blocks as MCP writes them.
    ///
    /// ```
    /// use agentcore::tool::Content;
    /// use serde_json::json;
    ///
    /// assert_eq!(Content::new().text("mild").to_value(), json!("mild"));
    /// assert_eq!(Content::new().structured(json!({ "celsius": 4 })).to_value(), json!({ "celsius": 4 }));
    /// assert_eq!(Content::new().to_value(), json!([]));
    /// ```
    #[must_use]
    pub fn to_value(&self) -> Value {
        match (&self.structured, &self.blocks[..]) {
            (Some(data), _) => data.clone(),
            (None, [Block::Text(text)]) => text.as_str().into(),
            (None, blocks) => blocks.iter().map(Block::to_json).collect(),
        }
    }

    fn embedded(self, uri: String, mime_type: String, data: Data) -> Self {
        let resource = Resource {
            uri,
            name: None,
            mime_type: Some(mime_type),
        };
        self.with(Block::Embedded(resource, data))
    }

    /// Adds the blocks of `other`.
    #[cfg(feature = "mcp")]
    pub(super) fn append(&mut self, other: Self, by_assistant: bool) {
        let places = self.blocks.len()..self.blocks.len() + other.blocks.len();
        self.blocks.extend(other.blocks);
        if by_assistant {
            self.by_assistant.extend(places);
        }
    }

    /// The blocks, each with whether the assistant says it.
    #[cfg(feature = "mcp")]
    pub(crate) fn into_said(self) -> Vec<(Block, bool)> {
        let by_assistant = self.by_assistant;
        let blocks = self.blocks.into_iter().enumerate();
        blocks
            .map(|(place, block)| (block, by_assistant.contains(&place)))
            .collect()
    }

    fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    #[cfg(feature = "mcp")]
    pub(crate) fn into_parts(self) -> (Vec<Block>, Option<Value>) {
        (self.blocks, self.structured)
    }

    /// The result of a tool without an output schema: data that is only the text again is left out.
    pub(super) fn without_repeated_text(mut self) -> Self {
        if let (Some(Value::String(data)), [Block::Text(text)]) =
            (&self.structured, &self.blocks[..])
        {
            if data == text {
                self.structured = None;
            }
        }
        self
    }

    /// The result, with its data as an object: a value of another kind becomes `{"result": ..}` if the tool's schema says so, and
    /// is left out otherwise.
    #[cfg(any(feature = "mcp", test))]
    pub(crate) fn wrapped(mut self, wraps: bool) -> Self {
        self.structured = match self.structured {
            Some(data) if wraps => Some(json!({ "result": data })),
            Some(Value::Object(data)) => Some(Value::Object(data)),
            _ => None,
        };
        self
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl Block {
    /// The text, if the block is a text.
    #[cfg(feature = "mcp")]
    pub(crate) fn into_text(self) -> Result<String, Self> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other),
        }
    }

    /// As MCP writes it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "type": "text", "text": text }),
            Self::Image(media) => media.to_json("image"),
            Self::Audio(media) => media.to_json("audio"),
            Self::Link(resource) => {
                let mut link = resource.to_json();
                link["type"] = "resource_link".into();
                link
            }
            Self::Embedded(resource, data) => {
                let mut resource = resource.to_json();
                match data {
                    Data::Text(text) => resource["text"] = text.as_str().into(),
                    Data::Bytes(bytes) => resource["blob"] = STANDARD.encode(bytes).into(),
                }
                json!({ "type": "resource", "resource": resource })
            }
        }
    }
}

impl Media {
    fn to_json(&self, kind: &str) -> Value {
        let data = STANDARD.encode(&self.bytes);
        json!({ "type": kind, "data": data, "mimeType": self.mime_type })
    }
}

impl Resource {
    fn to_json(&self) -> Value {
        let mut resource = json!({ "uri": self.uri });
        if let Some(name) = &self.name {
            resource["name"] = name.as_str().into();
        }
        if let Some(mime_type) = &self.mime_type {
            resource["mimeType"] = mime_type.as_str().into();
        }
        resource
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let blocks: Vec<_> = self.blocks.iter().map(Block::to_json).collect();
        map.serialize_entry("content", &blocks)?;
        if let Some(data) = &self.structured {
            map.serialize_entry("structuredContent", data)?;
        }
        map.end()
    }
}

/// The content for the value of a function: a `Content` itself, a text, nothing for `()`, or data with its JSON as a text.
pub(crate) fn content_of<T: Serialize + 'static>(value: T) -> Result<Content, ToolFailure> {
    let mut slot = Some(value);
    let any: &mut dyn Any = &mut slot;
    if let Some(content) = any.downcast_mut::<Option<Content>>() {
        return Ok(content.take().unwrap_or_default());
    }
    #[cfg(feature = "mcp")]
    if let Some(messages) = any.downcast_mut::<Option<Messages>>() {
        return Ok(messages.take().unwrap_or_default().0);
    }
    if let Some(text) = any.downcast_mut::<Option<String>>() {
        return Ok(Content::new().text(text.take().unwrap_or_default()));
    }
    if let Some(text) = any.downcast_mut::<Option<&'static str>>() {
        return Ok(Content::new().text(text.unwrap_or_default()));
    }
    if let Some(text) = any.downcast_mut::<Option<Cow<'static, str>>>() {
        return Ok(Content::new().text(text.take().unwrap_or_default()));
    }
    if any.is::<Option<()>>() {
        return Ok(Content::new());
    }
    if json::is_result::<T>() {
        return Err(ToolFailure::not_json(json::IS_A_RESULT));
    }
    match serde_json::to_value(&slot) {
        // Data too, because the tool may declare a schema of it.
        Ok(Value::String(text)) => Ok(Content::new().text(text.clone()).structured(text.into())),
        Ok(data) => Ok(Content::new().text(data.to_string()).structured(data)),
        Err(error) => Err(ToolFailure::not_json(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of<T: Serialize + 'static>(value: T) -> Value {
        serde_json::to_value(content_of(value).expect("a content")).expect("JSON")
    }

    #[test]
    fn a_value_is_data_and_a_text_is_a_block() {
        let text = json!({ "content": [{ "type": "text", "text": "mild" }] });
        assert_eq!(json_of("mild"), text);
        assert_eq!(json_of("mild".to_owned()), text);
        assert_eq!(json_of(Cow::Borrowed("mild")), text);
        let repeated = content_of(json!("mild")).expect("a content");
        assert_eq!(repeated.data(), Some(&json!("mild")));
        assert_eq!(
            serde_json::to_value(repeated.without_repeated_text()).expect("JSON"),
            text
        );
        assert_eq!(json_of(()), json!({ "content": [] }));
        assert_eq!(
            json_of(json!({ "celsius": 4 })),
            json!({
                "content": [{ "type": "text", "text": r#"{"celsius":4}"# }],
                "structuredContent": { "celsius": 4 },
            })
        );
        let own = Content::new().text("a").text("b");
        assert_eq!(content_of(own.clone()).expect("a content"), own);
        assert_eq!(own.to_text(), "a\nb");
    }

    #[test]
    fn a_result_is_no_value() {
        let result: Result<u8, String> = Err("no".to_owned());
        assert!(content_of(result).is_err());
    }

    #[test]
    fn blocks_are_written_as_mcp_has_them() {
        let content = Content::new()
            .image("image/png", &b"\x89P"[..])
            .audio("audio/wav", &b"RI"[..])
            .link("file:///a.md", "a")
            .embedded_text("test://a", "text/plain", "one")
            .embedded_bytes("test://b", "application/octet-stream", &b"two"[..]);
        assert_eq!(
            serde_json::to_value(&content).expect("JSON")["content"],
            json!([
                { "type": "image", "data": "iVA=", "mimeType": "image/png" },
                { "type": "audio", "data": "Ukk=", "mimeType": "audio/wav" },
                { "type": "resource_link", "uri": "file:///a.md", "name": "a" },
                { "type": "resource", "resource": { "uri": "test://a", "mimeType": "text/plain", "text": "one" } },
                { "type": "resource", "resource": { "uri": "test://b", "mimeType": "application/octet-stream", "blob": "dHdv" } },
            ])
        );
    }

    #[test]
    fn data_is_an_object_for_a_client_of_mcp() {
        let number = content_of(7).expect("a content");
        assert_eq!(
            number.clone().wrapped(true).data(),
            Some(&json!({ "result": 7 }))
        );
        assert_eq!(number.wrapped(false).data(), None);
    }
}
