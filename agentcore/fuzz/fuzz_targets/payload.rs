//! Bodies into payloads: what the handler gets, or what the caller is told about it.
//!
//! The first byte of the input chooses the type and the configuration, the second is unused; the rest is the body.

#![no_main]

use std::collections::BTreeMap;

use agentcore::testing::{TestClient, TestResponse};
use agentcore::{App, Config, ErrorMode, Json};
use agentcore_fuzz::rt::run;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else {
        return;
    };
    run(async {
        match choice & 0b111 {
            0 => payload::<Value>(choice, body).await,
            1 => payload::<Order>(choice, body).await,
            2 => payload::<String>(choice, body).await,
            3 => payload::<BTreeMap<String, Vec<Option<u8>>>>(choice, body).await,
            4 => payload::<(i64, f32, char, [bool; 2])>(choice, body).await,
            5 => bytes(choice, body).await,
            _ => debug_action(choice, body).await,
        }
    });
});

/// A bit of everything.
#[derive(Debug, Deserialize, Serialize)]
struct Order {
    items: Vec<Item>,
    #[serde(default)]
    note: Option<String>,
    kind: Kind,
    #[serde(rename = "ship-to", skip_serializing_if = "Option::is_none")]
    ship_to: Option<Box<Order>>,
    #[serde(default)]
    tags: BTreeMap<String, Loose>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    price: f64,
    count: u16,
    size: Option<(u8, i8)>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Plain,
    Gift { from: String, wrapped: bool },
    Pair(i32, u64),
    Again(Vec<Kind>),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Loose {
    Number(i128),
    Text(String),
    Nested { of: Option<Kind> },
}

fn config(choice: u8) -> Config {
    let errors = match choice & 0x08 {
        0 => ErrorMode::Http,
        _ => ErrorMode::InBand,
    };
    Config::new().errors(errors).debug(choice & 0x10 != 0)
}

async fn post(app: App, body: &[u8]) -> (TestClient, TestResponse) {
    let agent = TestClient::new(app).await.expect("an app that starts");
    let reply = send(&agent, body).await;
    agent.idle().await;
    assert_eq!(agent.tasks().active_count, 0);
    (agent, reply)
}

async fn send(agent: &TestClient, body: &[u8]) -> TestResponse {
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/invocations");
    agent.send(request).await
}

/// An agent that sends its payload back.
fn echo<T>(choice: u8) -> App
where
    T: DeserializeOwned + Serialize + Send + 'static,
{
    let app = App::new().config(config(choice));
    app.entrypoint("echo", async |payload: Json<T>| payload)
}

/// The body as the README has it: UTF-8, with or without a byte order mark.
fn as_text(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

async fn payload<T>(choice: u8, body: &[u8])
where
    T: DeserializeOwned + Serialize + Send + 'static,
{
    let choice = choice & !0x10;
    let (_, reply) = post(echo::<T>(choice), body).await;
    let expected = as_text(body).map(serde_json::from_str::<T>);
    if let Some(Ok(expected)) = expected {
        // serde rounds a number that does not fit into an f32 to an infinity, which is null in JSON; the agent refuses it.
        if choice & 0b111 == 4 && reply.bytes().starts_with(br#"{"error""#) {
            let (status, refusal) = refusal(choice, &reply);
            let details = refusal["details"].as_str().expect("details");
            assert_eq!(status, 422);
            assert!(details.starts_with("number out of range"), "{details}");
            let rounded = serde_json::to_value(&expected).expect("JSON");
            assert!(rounded[1].is_null(), "{rounded}");
            return;
        }
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "application/json");
        // What JSON has no number for is null.
        assert_eq!(*reply.bytes(), serde_json::to_vec(&expected).expect("JSON"));
        return;
    }
    let (status, refusal) = refusal(choice, &reply);
    let error = refusal["error"].as_str().expect("an error");
    assert!(refusal["details"].is_string());
    let path = refusal.get("path");
    match as_text(body) {
        None => assert_eq!((status, error, path), (400, "Invalid encoding", None)),
        Some(text) if serde_json::from_str::<IgnoredAny>(text).is_err() => {
            assert_eq!((status, error, path), (400, "Invalid JSON", None));
        }
        // JSON by its grammar: too deep, a lone surrogate, a number out of range; or not what was wanted.
        Some(_) if status == 400 => assert_eq!((error, path), ("Invalid JSON", None)),
        Some(text) => {
            assert_eq!((status, error), (422, "Invalid payload"));
            let path = path.and_then(Value::as_str).expect("a path");
            leads_somewhere(path, text);
        }
    }
}

/// The status, and the body of an error, whichever way it is sent.
fn refusal(choice: u8, reply: &TestResponse) -> (u16, Value) {
    assert_eq!(reply.headers()["content-type"], "application/json");
    let body: Value = reply.json();
    let status = reply.status().as_u16();
    let status = match choice & 0x08 {
        0 => status,
        _ => {
            assert_eq!(status, 200);
            body["status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok())
                .expect("a status")
        }
    };
    assert!((400..500).contains(&status), "{status}");
    (status, body)
}

/// A path is one into the body, as far as its keys can be told from its punctuation.
fn leads_somewhere(path: &str, text: &str) {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return;
    };
    if path == "." || has_odd_keys(&body) {
        return;
    }
    let mut place = &body;
    for key in path.split(['.', '[']) {
        let next = match key.strip_suffix(']') {
            Some(index) => place.get(index.parse::<usize>().expect("an index")),
            None if key.is_empty() || key == "?" => Some(place),
            None => place.get(key),
        };
        place = next.unwrap_or_else(|| panic!("{path} leads nowhere in {text}"));
    }
}

fn has_odd_keys(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_odd_keys),
        Value::Object(entries) => entries.iter().any(|(key, value)| {
            let is_odd = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
            key.is_empty() || key.contains(is_odd) || has_odd_keys(value)
        }),
        _ => false,
    }
}

async fn bytes(choice: u8, body: &[u8]) {
    let app = App::new().config(config(choice & !0x10));
    let app = app.entrypoint("echo", async |body: Bytes| agentcore::Response::bytes(body));
    let (_, reply) = post(app, body).await;
    assert_eq!((reply.status().as_u16(), &**reply.bytes()), (200, body));
}

/// With debug actions on, bodies that name one are answered; all others reach the handler.
async fn debug_action(choice: u8, body: &[u8]) {
    let choice = choice | 0x10;
    let (agent, reply) = post(echo::<Value>(choice), body).await;
    let event = as_text(body).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let is_true = |action: &&Value| {
        let nothing = [json!(null), json!(false), json!(""), json!([]), json!({})];
        !nothing.contains(action) && action.as_f64() != Some(0.0)
    };
    let action = event
        .as_ref()
        .and_then(|event| event.get("_agent_core_app_action"));
    match (action.filter(is_true), &event) {
        (Some(action), _) => {
            let key = match action.as_str().unwrap_or_default() {
                "ping_status" => "time_of_last_update",
                "job_status" => "running_jobs",
                "force_healthy" | "force_busy" | "clear_forced_status" => "forced_status",
                _ => {
                    let (status, refusal) = refusal(choice, &reply);
                    assert_eq!(status, 400);
                    let error = refusal["error"].as_str().expect("an error");
                    assert!(error.starts_with("Unknown action: "), "{error}");
                    return;
                }
            };
            assert_eq!(reply.status(), 200);
            assert!(reply.json::<Value>().get(key).is_some(), "{key}");
            let is_forced = action == "force_busy";
            assert_eq!(agent.ping().await.status.is_busy(), is_forced);
        }
        (None, Some(event)) => assert_eq!(reply.text(), event.to_string()),
        (None, None) => {
            refusal(choice, &reply);
        }
    }
}
