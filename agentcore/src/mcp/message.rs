//! [`Message`]: what the front reads of a message. It answers the platform's probe itself, and a call of a tool makes the agent busy.

use std::fmt;

use http::HeaderMap;
use serde_core::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The largest body in bytes that may be a health probe.
pub(crate) const LARGEST_PROBE: usize = 8 << 10;

/// How many bytes of a message the front reads. More would delay `/ping`. A longer message counts as a call, unless its head says
/// otherwise, or what has been read is of an answer.
pub(crate) const MOST_READ: usize = 64 << 10;

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CALL: &str = "tools/call";

/// The revisions that have a `ping`, and whose calls go on when the client leaves.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A message, as far as the front reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// The id of a request, if it could be read.
    pub(crate) id: Option<Value>,
    pub(crate) kind: MessageKind,
    /// Whether the message is JSON, as far as it has been read.
    pub(crate) is_json: bool,
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
        let mut seen = Seen::default();
        let mut json = serde_json::Deserializer::from_slice(body.get(..MOST_READ).unwrap_or(body));
        let level = Level {
            at: At::Message,
            seen: &mut seen,
        };
        let read = level.deserialize(&mut json).and_then(|()| json.end());
        let is_legacy = is_legacy(headers) && !seen.has_version;
        let is_id = |id: &Value| matches!(id, Value::String(_) | Value::Number(_));
        let id = seen.id.take().filter(is_id);
        let call = |name| MessageKind::Call {
            name,
            cancels: !is_legacy,
        };
        if body.len() > MOST_READ {
            let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
            let kind = match Self::may_be_call(headers) && !seen.is_answer() {
                true if is_legacy => call(seen.name),
                true => call(seen.name.or_else(|| header(NAME).map(ToOwned::to_owned))),
                false => MessageKind::Other,
            };
            return Self {
                id,
                kind,
                is_json: true,
            };
        }
        if let Err(error) = read {
            return Self {
                id: None,
                kind: MessageKind::Other,
                is_json: error.is_data(),
            };
        }
        let kind = match seen.method.as_deref() {
            // If the method is said twice, the workers may take either.
            _ if seen.is_call && id.is_some() => call(seen.name),
            Some("ping") if id.is_some() && is_legacy && !seen.has_odd_params => MessageKind::Ping,
            _ => MessageKind::Other,
        };
        Self {
            id,
            kind,
            is_json: true,
        }
    }

    /// Whether a message with this head may be a call. `rmcp` compares the header with the body only since 2026-07-28, so that it
    /// proves nothing in an earlier revision.
    pub(crate) fn may_be_call(headers: &HeaderMap) -> bool {
        let method = headers.get(METHOD).filter(|_| !is_legacy(headers));
        method.is_none_or(|method| method == CALL)
    }
}

/// Whether the head names a revision before 2026-07-28, or none.
fn is_legacy(headers: &HeaderMap) -> bool {
    headers.get(VERSION).is_none_or(|version| {
        LEGACY
            .iter()
            .any(|known| known.as_bytes() == version.as_bytes())
    })
}

/// What has been read of a message. It holds even where the rest cannot be read.
#[derive(Default)]
struct Seen {
    id: Option<Value>,
    has_method: bool,
    /// Whether it has a `result` or an `error`.
    has_outcome: bool,
    method: Option<String>,
    is_call: bool,
    name: Option<String>,
    has_odd_params: bool,
    has_version: bool,
}

impl Seen {
    /// Whether the message is an answer to a request of the server. A method may follow in the part that has not been read, but `rmcp`
    /// refuses a message that has both.
    fn is_answer(&self) -> bool {
        self.has_outcome && !self.has_method
    }
}

/// Reads one level of a message, and skips what the front has no use for.
struct Level<'s> {
    at: At,
    seen: &'s mut Seen,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Message,
    Params,
    Meta,
}

impl Level<'_> {
    /// The value of this level is no object and not null.
    fn odd<E: serde_core::de::Error>(self) -> Result<(), E> {
        match self.at {
            At::Message => Err(E::custom("a message is an object")),
            At::Params => {
                self.seen.has_odd_params = true;
                Ok(())
            }
            At::Meta => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { at, seen } = self;
        while let Some(key) = map.next_key::<String>()? {
            match (at, &*key) {
                (At::Message, "id") => seen.id = Some(map.next_value()?),
                (At::Message, "method") => {
                    seen.has_method = true;
                    seen.method = map.next_value::<Value>()?.as_str().map(ToOwned::to_owned);
                    seen.is_call |= seen.method.as_deref() == Some(CALL);
                }
                (At::Message, "result" | "error") => {
                    seen.has_outcome = true;
                    map.next_value::<IgnoredAny>()?;
                }
                (At::Message, "params") => map.next_value_seed(Level {
                    at: At::Params,
                    seen: &mut *seen,
                })?,
                (At::Params, "name") => {
                    seen.name = map.next_value::<Value>()?.as_str().map(ToOwned::to_owned);
                }
                (At::Params, "_meta") => map.next_value_seed(Level {
                    at: At::Meta,
                    seen: &mut *seen,
                })?,
                (at, key) => {
                    seen.has_version |= at == At::Meta && key == VERSION_KEY;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_unit<E: serde_core::de::Error>(self) -> Result<(), E> {
        match self.at {
            At::Message => self.odd(),
            At::Params | At::Meta => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.odd()
    }

    fn visit_bool<E: serde_core::de::Error>(self, _: bool) -> Result<(), E> {
        self.odd()
    }

    fn visit_i64<E: serde_core::de::Error>(self, _: i64) -> Result<(), E> {
        self.odd()
    }

    fn visit_u64<E: serde_core::de::Error>(self, _: u64) -> Result<(), E> {
        self.odd()
    }

    fn visit_f64<E: serde_core::de::Error>(self, _: f64) -> Result<(), E> {
        self.odd()
    }

    fn visit_str<E: serde_core::de::Error>(self, _: &str) -> Result<(), E> {
        self.odd()
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
                    is_json: true,
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
                is_json: true,
            };
            assert_eq!(Message::of(&headers(version), call), expected);
        }
        let list = br#"{"method":"tools/list","id":1}"#;
        assert_eq!(kind(&headers(""), list), MessageKind::Other);
    }

    /// A call whose text argument has this many bytes, with the method and the id behind it or before it.
    fn large(bytes: usize, method: &str, is_last: bool) -> Vec<u8> {
        let text = "x".repeat(bytes);
        let params = format!(r#""params":{{"name":"forecast","arguments":{{"text":"{text}"}}}}"#);
        let rest = format!(r#""method":"{method}","id":1"#);
        match is_last {
            true => format!("{{{params},{rest}}}").into_bytes(),
            false => format!("{{{rest},{params}}}").into_bytes(),
        }
    }

    #[test]
    fn a_header_that_the_workers_do_not_check_hides_no_call() {
        let mut listing = headers("");
        listing.insert(METHOD, "tools/list".parse().expect("a value"));
        for bytes in [9 << 10, MOST_READ] {
            for is_last in [true, false] {
                let message = Message::of(&listing, &large(bytes, CALL, is_last));
                let call = MessageKind::Call {
                    name: Some("forecast".to_owned()),
                    cancels: false,
                };
                assert_eq!(message.kind, call, "{bytes} {is_last}");
            }
        }
        let twice = br#"{"method":"tools/call","id":1,"method":"tools/list"}"#;
        assert!(matches!(
            kind(&headers(""), twice),
            MessageKind::Call { .. }
        ));
    }

    #[test]
    fn a_large_message_has_its_id_and_its_method() {
        for is_last in [true, false] {
            let call = Message::of(&headers(""), &large(10 << 10, CALL, is_last));
            assert_eq!(call.id, Some(json!(1)));
            let prompt = Message::of(&headers(""), &large(10 << 10, "prompts/get", is_last));
            assert_eq!(prompt.kind, MessageKind::Other);
        }
        // Of one that is longer than what is read, what stands at its beginning is known.
        let call = Message::of(&headers(""), &large(MOST_READ, CALL, false));
        assert_eq!(call.id, Some(json!(1)));
        let mut modern = headers("2026-07-28");
        modern.insert(METHOD, "tools/list".parse().expect("a value"));
        let listed = large(MOST_READ, "tools/list", true);
        assert_eq!(kind(&modern, &listed), MessageKind::Other);
        modern.insert(METHOD, CALL.parse().expect("a value"));
        modern.insert(NAME, "other".parse().expect("a value"));
        let unread = vec![b' '; MOST_READ + 1];
        let call = MessageKind::Call {
            name: Some("other".to_owned()),
            cancels: true,
        };
        assert_eq!(kind(&modern, &unread), call);
    }

    #[test]
    fn a_large_answer_is_no_call() {
        let text = "x".repeat(MOST_READ);
        let answers = [
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{text}"}}}}"#),
            format!(r#"{{"result":{{"text":"{text}","method":"{CALL}"}},"id":1}}"#),
            format!(r#"{{"id":1,"error":{{"code":-1,"message":"{text}"}}}}"#),
        ];
        for version in ["", "2025-11-25", "2026-07-28"] {
            for answer in &answers {
                let kind = kind(&headers(version), answer.as_bytes());
                assert_eq!(kind, MessageKind::Other, "{version} {}", &answer[..40]);
            }
        }
        let calls = [
            // The result is one of the parameters.
            format!(r#"{{"params":{{"result":1,"error":2,"text":"{text}"}},"method":"{CALL}"}}"#),
            format!(r#"{{"method":"{CALL}","result":1,"params":{{"text":"{text}"}}}}"#),
            format!(r#"{{"result":1,"method":3,"params":{{"text":"{text}"}}}}"#),
        ];
        for call in calls {
            let kind = kind(&headers(""), call.as_bytes());
            assert!(matches!(kind, MessageKind::Call { .. }), "{}", &call[..40]);
        }
    }

    #[test]
    fn what_is_not_json_is_told_from_what_is_no_message() {
        for (body, is_json) in [
            ("{", false),
            ("", false),
            ("[]", true),
            ("3", true),
            ("{}", true),
        ] {
            let message = Message::of(&headers(""), body.as_bytes());
            assert_eq!(message.is_json, is_json, "{body}");
        }
    }
}
