//! The arguments of handlers, and the replies if one cannot be made: paths into payloads, headers, errors with a status.

use serde_json::{Value, json};

use crate::support::{Agent, Reply};

fn start() -> Agent {
    Agent::start(env!("CARGO_BIN_EXE_extraction"), &[])
}

/// Posts `body` with additional header lines.
fn post(agent: &Agent, headers: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    agent.connect().send(request.as_bytes()).reply()
}

#[test]
fn a_payload_with_a_tag_is_refused_with_the_path_and_the_position() {
    let agent = start();
    let orders = json!([{ "price": 1 }, { "price": 2 }, { "price": "free" }]);
    let body = json!({ "action": "total", "orders": orders });
    let end = body.to_string().find("\"free\"").unwrap() + "\"free\"".len();
    let reply = post(&agent, "x-tenant: acme\r\n", &body);
    assert_eq!(
        reply.parts(),
        (
            422,
            json!({
                "error": "Invalid payload",
                "details": format!("invalid type: string \"free\", expected f64 at line 1 column {end}"),
                "path": "orders[2].price",
            })
        )
    );
}

#[test]
fn a_header_is_an_argument() {
    let agent = start();
    let body = json!({ "action": "total", "orders": [{ "price": 1.5 }] });
    let reply = post(&agent, "X-TENANT: acme\r\nX-Limit: 7\r\n", &body);
    assert_eq!(
        reply.parts(),
        (200, json!({ "tenant": "acme", "limit": 7, "total": 1.5 }))
    );
    let reply = post(&agent, "x-tenant: a\r\nx-tenant: b\r\n", &body);
    assert_eq!(
        reply.parts(),
        (200, json!({ "tenant": "a", "limit": null, "total": 1.5 }))
    );
}

#[test]
fn a_header_that_is_missing_or_wrong_is_named() {
    let agent = start();
    let body = json!({ "action": "total", "orders": [] });
    for (headers, error) in [
        ("", "the header `X-Tenant` is missing"),
        ("x-tenant:\r\n", "the header `X-Tenant` is missing"),
        (
            "x-tenant: caf\u{e9}\r\n",
            "the header `X-Tenant` is not visible ASCII",
        ),
        (
            "x-tenant: a\r\nx-limit: many\r\n",
            "the header `x-limit` is not valid: invalid digit found in string",
        ),
    ] {
        let reply = post(&agent, headers, &body);
        assert_eq!(
            reply.parts(),
            (400, json!({ "error": error })),
            "{headers:?}"
        );
    }
}

#[test]
fn a_secret_header_that_is_wrong_is_named_and_not_quoted() {
    let agent = start();
    let body = json!({ "action": "total", "orders": [] });
    let head = "x-tenant: a\r\nauthorization: Basic c2VjcmV0\r\n";
    let error = "the header `Authorization` is not valid";
    let reply = post(&agent, head, &body);
    assert_eq!(reply.parts(), (400, json!({ "error": error })));
    let line = agent.line_with("answered 400");
    assert!(!line.contains("c2VjcmV0"), "{line}");
    let head = "x-tenant: a\r\nauthorization: Bearer c2VjcmV0\r\n";
    assert_eq!(post(&agent, head, &body).parts().0, 200);
}

#[test]
fn an_error_gets_a_status_and_the_caller_sees_its_text_only_if_it_is_the_callers() {
    let agent = start();
    let ask = |body| post(&agent, "x-tenant: a\r\n", &body).parts();
    assert_eq!(
        ask(json!({ "action": "parse", "text": "seven" })),
        (422, json!({ "error": "invalid digit found in string" }))
    );
    assert_eq!(
        ask(json!({ "action": "find", "name": "milk" })),
        (404, json!({ "error": "there is no milk" }))
    );
    assert_eq!(
        ask(json!({ "action": "open", "path": "/no/such/file" })),
        (503, json!({ "error": "Service Unavailable" }))
    );
    agent.line_with("No such file or directory");
}
