//! Resources, as `rmcp` lists them and gives them out.

use rmcp::model::{CacheScope, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::Value;

use crate::tools::{Content, Offer, Registered, ToolSet};

/// The resources whose URIs have no arguments.
pub(super) fn fixed(resources: &ToolSet) -> Vec<Resource> {
    let listed = resources.iter().filter_map(|resource| {
        let uri = resource.uri.as_ref().filter(|uri| uri.is_fixed())?;
        let mut listed = Resource::new(uri.as_str(), resource.name());
        listed.title = resource.title.as_ref().map(ToString::to_string);
        listed.description = described(resource);
        listed.mime_type = mime_type(resource);
        Some(listed)
    });
    listed.collect()
}

/// The resources whose URIs have arguments.
pub(super) fn templates(resources: &ToolSet) -> Vec<ResourceTemplate> {
    let listed = resources.iter().filter_map(|resource| {
        let uri = resource.uri.as_ref().filter(|uri| !uri.is_fixed())?;
        let mut listed = ResourceTemplate::new(uri.as_str(), resource.name());
        listed.title = resource.title.as_ref().map(ToString::to_string);
        listed.description = described(resource);
        listed.mime_type = mime_type(resource);
        Some(listed)
    });
    listed.collect()
}

fn described(resource: &Registered) -> Option<String> {
    (!resource.description.is_empty()).then(|| resource.description.to_string())
}

fn mime_type(resource: &Registered) -> Option<String> {
    match resource.offer {
        Offer::Resource { mime_type, .. } => mime_type.map(ToOwned::to_owned),
        Offer::Tool | Offer::Prompt => None,
    }
}

/// Each block is a part of the resource. A link is left out: it holds nothing.
pub(super) fn result(resource: &Registered, uri: &str, content: Content) -> ReadResourceResult {
    let own = mime_type(resource);
    let (blocks, data) = content.into_parts();
    let of_text = if data.is_some() {
        "application/json"
    } else {
        "text/plain"
    };
    let parts = blocks.iter().filter_map(|block| {
        let block = block.to_json();
        let text = |key: &str| block.get(key).and_then(Value::as_str);
        match text("type")? {
            "text" => {
                let mime_type = own.as_deref().unwrap_or(of_text);
                Some(ResourceContents::text(text("text")?, uri).with_mime_type(mime_type))
            }
            "image" | "audio" => {
                let part = ResourceContents::blob(text("data")?, uri);
                Some(part.with_mime_type(text("mimeType")?))
            }
            "resource" => serde_json::from_value(block.get("resource")?.clone()).ok(),
            _ => None,
        }
    });
    let mut result = ReadResourceResult::new(parts.collect());
    // It may be another one at the next read, and of another caller.
    result.ttl_ms = Some(0);
    result.cache_scope = Some(CacheScope::Private);
    result
}
