//! [`Message`]: what the front reads of a message. It answers the platform's probe itself, and a call of a tool makes the agent busy.

use http::HeaderMap;
use serde_json::Value;

/// The largest message that the front reads, in bytes. A larger one counts as a call, unless its head says otherwise.
const LARGEST: usize = 8 << 10;

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// The revisions that have a `ping`, and whose calls go on when the client leaves.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A message, as far as the front reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// The id of a request, if it could be read.
    pub(crate) id: Option<Value>,
    pub(crate) kind: MessageKind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum MessageKind {
    /// A `ping` of a revision that has one.
    Ping,
    Call {
        /// The name of the tool, if it could be read.
        name: Option<String>,
        /// Whether a client that leaves cancels the call.
        cancels: bool,
    },
    Other,
}

impl Message {
    /// Reads a message, which may be anything. The workers read it again, and report what is wrong with it.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let version = headers.get(VERSION);
        let is_legacy = version.is_none_or(|version| {
            LEGACY
                .iter()
                .any(|known| known.as_bytes() == version.as_bytes())
        });
        if body.len() > LARGEST {
            let method = headers.get(METHOD);
            let kind = match method.is_none_or(|method| method == "tools/call") {
                true => MessageKind::Call {
                    name: None,
                    cancels: !is_legacy,
                },
                false => MessageKind::Other,
            };
            return Self { id: None, kind };
        }
        let Ok(Value::Object(mut message)) = serde_json::from_slice(body) else {
            return Self {
                id: None,
                kind: MessageKind::Other,
            };
        };
        let is_id = |id: &Value| matches!(id, Value::String(_) | Value::Number(_));
        let id = message.remove("id").filter(is_id);
        let params = message.get("params");
        let meta = params.and_then(|params| params.get("_meta"));
        let is_legacy = is_legacy && meta.and_then(|meta| meta.get(VERSION_KEY)).is_none();
        let is_well_formed = matches!(params, None | Some(Value::Null | Value::Object(_)));
        let kind = match message.get("method").and_then(Value::as_str) {
            Some("ping") if id.is_some() && is_legacy && is_well_formed => MessageKind::Ping,
            Some("tools/call") if id.is_some() => MessageKind::Call {
                name: params
                    .and_then(|params| params.get("name")?.as_str())
                    .map(ToOwned::to_owned),
                cancels: !is_legacy,
            },
            _ => MessageKind::Other,
        };
        Self { id, kind }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(version: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !version.is_empty() {
            headers.insert(VERSION, version.parse().expect("a value"));
        }
        headers
    }

    fn kind(headers: &HeaderMap, body: &[u8]) -> MessageKind {
        Message::of(headers, body).kind
    }

    #[test]
    fn the_probe_is_recognised_in_every_shape_that_has_been_seen() {
        for (body, id) in [
            (
                r#"{"jsonrpc":"2.0","method":"ping","params":null,"id":4}"#,
                json!(4),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"ping","id":"a\"b"}"#,
                json!("a\"b"),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"ping","params":{},"id":0}"#,
                json!(0),
            ),
        ] {
            for version in ["", "2025-03-26", "2025-11-25"] {
                let expected = Message {
                    id: Some(id.clone()),
                    kind: MessageKind::Ping,
                };
                assert_eq!(Message::of(&headers(version), body.as_bytes()), expected);
            }
        }
    }

    #[test]
    fn a_ping_of_a_revision_without_one_and_a_broken_one_are_not_the_probe() {
        let ping = br#"{"jsonrpc":"2.0","method":"ping","id":4}"#;
        assert_eq!(kind(&headers("2026-07-28"), ping), MessageKind::Other);
        assert_eq!(kind(&headers("v999"), ping), MessageKind::Other);
        for body in [
            r#"{"jsonrpc":"2.0","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":"ping","id":null}"#,
            r#"{"jsonrpc":"2.0","method":"ping","id":4,"params":[]}"#,
            r#"{"method":"ping","id":4,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
            r#"[{"jsonrpc":"2.0","method":"ping","id":4}]"#,
            "{",
            "",
        ] {
            assert_eq!(
                kind(&headers(""), body.as_bytes()),
                MessageKind::Other,
                "{body}"
            );
        }
    }

    #[test]
    fn only_a_call_makes_the_agent_busy() {
        let call = br#"{"method":"tools/call","id":1,"params":{"name":"forecast"}}"#;
        for (version, cancels) in [("", false), ("2025-06-18", false), ("2026-07-28", true)] {
            let expected = Message {
                id: Some(json!(1)),
                kind: MessageKind::Call {
                    name: Some("forecast".to_owned()),
                    cancels,
                },
            };
            assert_eq!(Message::of(&headers(version), call), expected);
        }
        let list = br#"{"method":"tools/list","id":1}"#;
        assert_eq!(kind(&headers(""), list), MessageKind::Other);
        let large = vec![b' '; LARGEST + 1];
        assert!(matches!(
            kind(&headers(""), &large),
            MessageKind::Call { name: None, .. }
        ));
        let mut other = headers("2026-07-28");
        other.insert(METHOD, "tools/list".parse().expect("a value"));
        assert_eq!(kind(&other, &large), MessageKind::Other);
    }
}
