//! What is read from a request's headers: ids, tokens, baggage, what may be passed on, and the WebSocket handshake.
//!
//! The first line of the input is a list of origins; the others are headers. The first byte of all decides over the
//! version.

#![no_main]

use agentcore::__fuzz::{handshake, request};
use agentcore::{Baggage, FromInvocation as _, HeaderMap, Response};
use http::{HeaderName, HeaderValue, Version, header};
use libfuzzer_sys::fuzz_target;

/// Names under which secrets come. Some of them are not read; none of them may show.
const SECRETS: [&str; 8] = [
    "authorization",
    "workloadaccesstoken",
    "x-amz-bedrock-agentcore-identity-wat",
    "x-amzn-bedrock-agentcore-runtime-workload-accesstoken",
    "x-aws-guest-auth",
    "cookie",
    "proxy-authorization",
    "sec-websocket-key",
];

/// What a secret looks like here, so that it is known when it shows.
const CANARY: &str = "kEePtHiStOyOuRsElF";

/// Some that the platform does not let an allow-list name, families by their prefix.
const KEPT: [&str; 14] = [
    "access-control-",
    "content-",
    "cross-origin-",
    "if-",
    "sec-websocket-",
    "x-amz-",
    "connection",
    "cookie",
    "host",
    "set-cookie",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
];

const CUSTOM: &str = "x-amzn-bedrock-agentcore-runtime-custom-";

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let mut lines = input.split(|&byte| byte == b'\n');
    let origins = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for line in lines.take(200) {
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let name = HeaderName::from_bytes(halves.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let version = match choice & 0b11 {
        0 => Version::HTTP_10,
        1 => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    check_handshake(version, &headers, &origins);
    check_context(&headers);
    check_secrets(headers);
});

/// The header's value as text, if there is any.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.is_empty()).then_some(text)
}

fn check_context(headers: &HeaderMap) {
    let (context, mut invocation) = request(headers.clone());
    assert_eq!(
        HeaderMap::from_invocation(&mut invocation).unwrap(),
        *headers
    );
    let prefixed = |name: &str| format!("x-amzn-bedrock-agentcore-runtime-{name}");
    assert_eq!(context.session_id(), text(headers, &prefixed("session-id")));
    assert_eq!(context.user_id(), text(headers, &prefixed("user-id")));
    assert_eq!(
        context.oauth2_callback_url(),
        text(headers, "oauth2callbackurl")
    );
    let given = text(headers, &prefixed("request-id")).or(text(headers, "x-amzn-requestid"));
    match given {
        Some(id) => assert_eq!(context.request_id(), id),
        None => assert_eq!(context.request_id().len(), 36),
    }
    let trace = context.trace_context();
    assert_eq!(trace.traceparent, text(headers, "traceparent"));
    assert_eq!(trace.tracestate, text(headers, "tracestate"));
    assert_eq!(trace.x_amzn_trace_id, text(headers, "x-amzn-trace-id"));
    let authorization = context.authorization();
    let authorization = authorization.as_ref().map(|token| token.expose_secret());
    assert_eq!(authorization, text(headers, "authorization"));

    for (name, value) in context.headers() {
        let name = name.as_str();
        assert!(
            !KEPT
                .iter()
                .any(|kept| name == *kept || kept.ends_with('-') && name.starts_with(kept)),
            "{name}"
        );
        assert!(!SECRETS.contains(&name), "{name}");
        assert!(
            !name.starts_with("x-amzn-") || name.starts_with(CUSTOM),
            "{name}"
        );
        assert!(headers.get_all(name).iter().any(|given| given == value));
    }
    for name in headers
        .keys()
        .filter(|name| name.as_str().starts_with(CUSTOM))
    {
        let passed = context.headers().get_all(name);
        assert!(
            passed.iter().eq(headers.get_all(name)),
            "{name} was not passed on"
        );
    }

    check_baggage(context.baggage());
}

/// Keys that are keys, each once; and written down again they mean the same.
fn check_baggage(baggage: &Baggage) {
    let mut written = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for (key, value) in baggage.iter() {
        assert!(
            !key.is_empty() && key.trim() == key && !key.contains([',', ';', '=']),
            "{key:?}"
        );
        assert!(known.insert(key), "{key} twice");
        assert_eq!(baggage.get(key), Some(value));
        let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        written.push(format!("{key} = {value} ;property"));
    }
    let written = written.join(",");
    assert_eq!(Baggage::parse([written.as_str()]), *baggage);
}

/// Puts a secret under every name that one may come under, beside what is there.
fn check_secrets(mut headers: HeaderMap) {
    let has_canary = |bytes: &[u8]| {
        let mut windows = bytes.windows(CANARY.len());
        windows.any(|window| window == CANARY.as_bytes())
    };
    // The fuzzer finds out what is looked for.
    if headers.values().any(|value| has_canary(value.as_bytes())) {
        return;
    }
    for name in SECRETS {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(CANARY),
        );
    }
    let (context, invocation) = request(headers);
    let shown = format!(
        "{context:?} {invocation:?} {:?} {:?} {:?} {:?} {:?}",
        context.headers(),
        context.authorization(),
        context.workload_access_token(),
        context.baggage(),
        context.trace_context(),
    );
    assert!(!has_canary(shown.as_bytes()), "{shown}");
}

fn check_handshake(version: Version, headers: &HeaderMap, origins: &str) {
    let Some(answer) = handshake(version, headers, origins) else {
        assert_ne!(origins.trim(), "*");
        return;
    };
    let any = || handshake(version, headers, "*").expect("any origin");
    match answer {
        Ok(response) => {
            assert_eq!(response.status(), 101);
            assert_eq!(response.headers()["upgrade"], "websocket");
            assert_eq!(response.headers()["sec-websocket-accept"].len(), 28);
            assert!(version >= Version::HTTP_11);
            let mentions = |name, word: &str| {
                let values = headers.get_all(name).iter();
                let mut texts = values.filter_map(|value| value.to_str().ok());
                texts.any(|text| text.to_ascii_lowercase().contains(word))
            };
            assert!(mentions(header::UPGRADE, "websocket"));
            assert!(mentions(header::CONNECTION, "upgrade"));
            assert_eq!(
                headers
                    .get_all(header::SEC_WEBSOCKET_VERSION)
                    .iter()
                    .count(),
                1
            );
            let keys: Vec<_> = headers.get_all(header::SEC_WEBSOCKET_KEY).iter().collect();
            assert_eq!((keys.len(), keys[0].len()), (1, 24));
            assert!(keys[0].as_bytes().ends_with(b"=="));
            assert!(any().is_ok());
            check_origins(version, headers, origins);
        }
        Err(response) => {
            refused(&response);
            if response.status() == 403 {
                assert!(any().is_ok(), "403 for what is wrong otherwise");
                assert!(headers.contains_key(header::ORIGIN));
            }
        }
    }
}

fn refused(response: &Response) {
    assert!(matches!(response.status().as_u16(), 400 | 403 | 426));
    let body: serde_json::Value =
        serde_json::from_slice(response.body().expect("a body in memory")).expect("JSON");
    assert!(body["error"].is_string() && body["details"].is_string());
    if response.status() == 426 {
        assert_eq!(response.headers()["sec-websocket-version"], "13");
    }
}

/// Of a list of origins each is let in, and one that is not on it is not.
fn check_origins(version: Version, headers: &HeaderMap, origins: &str) {
    let open_to = |origin: HeaderValue| {
        let mut headers = headers.clone();
        headers.insert(header::ORIGIN, origin);
        handshake(version, &headers, origins).is_some_and(|answer| answer.is_ok())
    };
    let is_any = origins.split(',').any(|origin| origin.trim() == "*");
    for origin in origins.split(',').map(str::trim) {
        if let Ok(origin) = HeaderValue::from_str(origin) {
            assert!(open_to(origin.clone()), "{origin:?} of {origins}");
        }
    }
    let stranger = HeaderValue::from_static("https://nobody-knows.example");
    assert_eq!(
        open_to(stranger),
        is_any || origins.to_ascii_lowercase().contains("nobody-knows")
    );
}
