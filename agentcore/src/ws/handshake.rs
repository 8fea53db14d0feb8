//! The opening handshake, RFC 6455 section 4.2: the headers that a request needs, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use sha1_smol::Sha1;

use crate::config::Origins;
use crate::handler::response::Response;

/// The only version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// The text that the RFC appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer to a request for `GET /ws`: 101, or the reason for its rejection.
///
/// Subprotocols that the client offers are not answered. The platform offers one of its own to carry a token, answers it itself,
/// and forwards no `Sec-WebSocket-*` header.
pub(crate) fn accept(
    version: Version,
    headers: &HeaderMap,
    origins: &Origins,
) -> Result<Response, Response> {
    if version < Version::HTTP_11 {
        return Err(malformed("a WebSocket handshake is HTTP/1.1"));
    }
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(upgrade_required("this path speaks WebSocket only"));
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(upgrade_required("the version has to be 13"));
    }
    let Some(key) = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return Err(malformed("Sec-WebSocket-Key has to be 16 bytes in base64"));
    };
    if !origins.allow(headers) {
        let details = "sockets are not open to this origin";
        let (status, error) = (StatusCode::FORBIDDEN, "Forbidden");
        return Err(Response::rejection(status, error, details, None));
    }
    let accepted = Response::default().with_status(StatusCode::SWITCHING_PROTOCOLS);
    Ok(upgrade(accepted).with_header(header::SEC_WEBSOCKET_ACCEPT, answer_to(key)))
}

fn upgrade(response: Response) -> Response {
    response
        .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
        .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
}

fn malformed(details: &str) -> Response {
    let error = "Invalid WebSocket handshake";
    Response::rejection(StatusCode::BAD_REQUEST, error, details, None)
}

fn upgrade_required(details: &str) -> Response {
    let status = StatusCode::UPGRADE_REQUIRED;
    upgrade(Response::rejection(
        status,
        "Upgrade Required",
        details,
        None,
    ))
    .with_header(header::SEC_WEBSOCKET_VERSION, VERSION)
}

/// Whether `token` is one of the comma-separated words of the header, which may occur several times.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// The header's value, if the header occurs exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn answer_to(key: &HeaderValue) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(GUID);
    STANDARD.encode(sha1.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn headers<'a>(pairs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> HeaderMap {
        pairs
            .into_iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, value.parse::<HeaderValue>().expect("a value"))
            })
            .collect()
    }

    fn status(changed: &[(&str, &str)]) -> u16 {
        let kept = HANDSHAKE
            .iter()
            .filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let sent = changed.iter().filter(|(_, value)| !value.is_empty());
        let headers = headers(kept.chain(sent));
        let answer = accept(Version::HTTP_11, &headers, &Origins::Any);
        answer
            .unwrap_or_else(|rejection| rejection)
            .status()
            .as_u16()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let response = accept(Version::HTTP_11, &headers(&HANDSHAKE), &Origins::Any).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn tokens_may_stand_in_lists_and_in_any_case() {
        assert_eq!(
            status(&[
                ("connection", "keep-alive,  UPGRADE"),
                ("upgrade", "WebSocket")
            ]),
            101
        );
        assert_eq!(
            status(&[("connection", "keep-alive"), ("connection", "upgrade")]),
            101
        );
        assert_eq!(status(&[("upgrade", "h2c, websocket")]), 101);
    }

    #[test]
    fn what_is_missing_or_wrong_decides_the_status() {
        for (header, value, expected) in [
            ("connection", "", 426),
            ("connection", "keep-alive", 426),
            ("connection", "not-upgrade", 426),
            ("upgrade", "", 426),
            ("upgrade", "h2c", 426),
            ("sec-websocket-version", "", 426),
            ("sec-websocket-version", "8", 426),
            ("sec-websocket-version", "13, 8", 426),
            ("sec-websocket-key", "", 400),
            ("sec-websocket-key", "c2hvcnQ=", 400),
            ("sec-websocket-key", "not base64 of anything==", 400),
        ] {
            assert_eq!(status(&[(header, value)]), expected, "{header}: {value}");
        }
        let key = HANDSHAKE[3];
        assert_eq!(status(&[key, key]), 400, "two keys");
        let old = accept(Version::HTTP_10, &headers(&HANDSHAKE), &Origins::Any);
        assert_eq!(old.unwrap_err().status(), 400);
    }

    #[test]
    fn origins_are_compared_whole_and_their_absence_is_no_browser() {
        let only = ["https://app.example.com:443", " http://LOCALHOST:3000"];
        let only = Origins::parse(only).unwrap();
        for (origin, expected) in [
            (Some("https://app.example.com"), true),
            (Some("https://APP.example.com"), true),
            (Some("http://localhost:3000"), true),
            (None, true),
            (Some("https://app.example.com.evil.net"), false),
            (Some("http://app.example.com"), false),
            (Some("http://localhost:3001"), false),
            (Some("null"), false),
        ] {
            let headers: HeaderMap = origin
                .map(|origin| (header::ORIGIN, origin.parse().unwrap()))
                .into_iter()
                .collect();
            assert_eq!(only.allow(&headers), expected, "{origin:?}");
        }
    }

    #[test]
    fn a_list_that_could_never_match_is_refused() {
        for list in [
            "",
            "app.example.com",
            "https://",
            "https://a.example/path",
            "://a",
        ] {
            assert_eq!(Origins::parse(list.split(',')), None, "{list}");
        }
        assert_eq!(Origins::parse(["*"]), Some(Origins::Any));
    }
}
