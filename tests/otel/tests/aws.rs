//! Straight to AWS: requests are signed as X-Ray's endpoint requires.

use std::fs;
use std::path::Path;

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::receiver::{Raw, Receiver};
use crate::restorable::Restorable;
use crate::support::Agent;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[test]
fn on_the_platform_traces_are_signed_for_x_ray() {
    let receiver = Receiver::start();
    let url = receiver.url();
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_traced"),
        &[
            ("AGENT_OBSERVABILITY_ENABLED", "true"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", "a/session+token=="),
            ("AWS_ENDPOINT_URL_XRAY", &url),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("AGENTCORE_LOG", "trace"),
        ],
    );
    for count in 1..=3 {
        agent.invoke(json!({}));
        let spans = receiver.spans(count);
        // The code that finds the credentials also makes spans, which belong to no request.
        let names: Vec<_> = spans.iter().map(|span| &span.span.name).collect();
        assert_eq!(names, vec!["invoke_agent traced"; count]);
    }
    let request = receiver.requests(1).remove(0);
    assert_eq!(request.head[0], "POST /v1/traces HTTP/1.1");
    assert_eq!(
        request.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(
        request.header("x-amz-security-token"),
        Some("a/session+token==")
    );
    let given = request.header("authorization").expect("a signature");
    let (rest, signature) = given.split_once(", Signature=").expect("a signature");
    let (credential, signed) = rest.split_once(", SignedHeaders=").expect("what is signed");
    let date = request.header("x-amz-date").expect("a date");
    let scope = format!("{}/eu-west-1/xray/aws4_request", &date[..8]);
    assert_eq!(
        credential,
        format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}")
    );
    for needed in ["host", "x-amz-date", "x-amz-security-token"] {
        assert!(signed.split(';').any(|name| name == needed), "{signed}");
    }
    assert_eq!(signature, expected(&request, signed, date, &scope));
    agent.signal("TERM");
    let (_, log) = agent.wait();
    assert!(log.contains("TRACE"), "{log}");
    for secret in [SECRET, "a/session+token"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// The signature as the documentation computes it (AWS General Reference, "Signature Version 4").
fn expected(request: &Raw, signed: &str, date: &str, scope: &str) -> String {
    let headers: String = signed
        .split(';')
        .map(|name| {
            format!(
                "{name}:{}\n",
                request.header(name).expect("a signed header").trim()
            )
        })
        .collect();
    let body = hex(&Sha256::digest(&request.body));
    let canonical = format!("POST\n/v1/traces\n\n{headers}\n{signed}\n{body}");
    let canonical = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part);
    }
    hex(&hmac(&key, &text))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    hmac.update(text.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A snapshot clones the credentials of the machine that made it. libfaketime moves the wall clock ahead, as a restore does.
#[test]
fn after_a_restore_the_credentials_are_looked_up_again() {
    let keys = Path::new(env!("CARGO_TARGET_TMPDIR")).join("restored-credentials");
    let write = |id: &str| {
        let profile =
            format!("[default]\naws_access_key_id={id}\naws_secret_access_key={SECRET}\n");
        fs::write(&keys, profile).expect("a file");
    };
    write("AKIDSNAPSHOT");
    let receiver = Receiver::start();
    let Some(mut restorable) = Restorable::start(
        env!("CARGO_BIN_EXE_traced"),
        &[
            ("AGENT_OBSERVABILITY_ENABLED", "true"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_SHARED_CREDENTIALS_FILE", &*keys.to_string_lossy()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_XRAY", &receiver.url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ],
    ) else {
        return;
    };
    let signed_by = |agent: &Agent, count| {
        agent.invoke(json!({}));
        receiver.spans(count);
        let request = receiver.requests(count).remove(count - 1);
        let given = request.header("authorization").expect("a signature");
        let id = given.split_once("Credential=").expect("an id").1;
        id.split('/').next().expect("an id").to_owned()
    };
    assert_eq!(signed_by(&restorable.agent, 1), "AKIDSNAPSHOT");
    write("AKIDSESSION");
    // Credentials without an expiry are kept for some minutes.
    assert_eq!(signed_by(&restorable.agent, 2), "AKIDSNAPSHOT");
    restorable.restore();
    assert_eq!(signed_by(&restorable.agent, 3), "AKIDSESSION");
}

#[test]
fn without_credentials_it_is_said_and_the_agent_goes_on() {
    let receiver = Receiver::start();
    let url = receiver.url();
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_traced"),
        &[
            ("AGENT_OBSERVABILITY_ENABLED", "true"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_XRAY", &url),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ],
    );
    assert_eq!(agent.invoke(json!({})).status, 200);
    agent.line_with("traces could not be sent to");
    assert_eq!(agent.invoke(json!({})).status, 200);
    assert_eq!(receiver.count(), 0);
}
