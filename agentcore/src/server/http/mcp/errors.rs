//! Errors as clients of the Model Context Protocol read them: JSON-RPC, with the id of the message if it is known.

use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::config::ErrorMode;
use crate::handler::response::Response;
use crate::mcp::Message;

/// The code of errors that have none in the protocol. The platform has -32001 to -32011 for its own errors.
const SERVER_ERROR: i64 = -32000;

/// The code of JSON-RPC for a message that is not JSON.
const PARSE_ERROR: i64 = -32700;

/// The longest text, in bytes, that an error which is not JSON gives to the error that stands for it.
const LONGEST_TEXT: usize = 1024;

/// The reply to a message as a client of the protocol reads it. An error becomes one of JSON-RPC if it is not one already, and its
/// status 200 if errors are in-band. A 401 is left alone: its status and headers are what tells the client to authenticate. So is an
/// error of a mounted service unless errors are in-band. A 404 that is not JSON-RPC stays a 404: it says that the session has ended, and a
/// client begins another one at no other status.
pub(super) fn in_json_rpc(
    errors: ErrorMode,
    is_mounted: bool,
    message: &Message,
    response: Response,
) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || status == StatusCode::UNAUTHORIZED {
        return response;
    }
    let body: Option<Value> = serde_json::from_slice(response.body().unwrap_or_default()).ok();
    let has = |key: &str| body.as_ref().and_then(|body| body.get(key));
    if has("jsonrpc").is_some() {
        return match errors {
            ErrorMode::Http => response,
            ErrorMode::InBand => response.set_status(StatusCode::OK),
        };
    }
    // That of the library, for example after a panic, has a text there.
    let is_services = is_mounted && !has("error").is_some_and(Value::is_string);
    if is_services && errors == ErrorMode::Http {
        return response;
    }
    let code = if message.is_json {
        SERVER_ERROR
    } else {
        PARSE_ERROR
    };
    let response = response.without_header(&header::CONTENT_ENCODING);
    let errors = match status {
        StatusCode::NOT_FOUND => ErrorMode::Http,
        _ => errors,
    };
    error(errors, response, code, message.id.as_ref())
}

/// A refusal of the front as a JSON-RPC error, because clients of the protocol read no other. `id` is that of the message, if it is
/// known.
pub(in crate::server::http) fn refusal(
    errors: ErrorMode,
    response: Response,
    id: Option<&Value>,
) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    error(errors, response, SERVER_ERROR, id)
}

/// An error reply as a JSON-RPC error.
fn error(errors: ErrorMode, response: Response, code: i64, id: Option<&Value>) -> Response {
    let status = response.status();
    let body = response.body().unwrap_or_default();
    let plain = std::str::from_utf8(body).ok();
    let plain = plain.filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT);
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let text = |key: &str| body.as_ref().and_then(|body| body.get(key)?.as_str());
    let error = text("error")
        .or(plain.filter(|_| body.is_none()))
        .or(status.canonical_reason())
        .unwrap_or("error");
    let message = match text("details") {
        Some(details) => format!("{error}: {details}"),
        None => error.to_owned(),
    };
    let error = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": code, "message": message, "data": { "status": status.as_u16() } },
    });
    let response = response.with_json(&error);
    match errors {
        ErrorMode::Http => response,
        // The platform drops the body of every other reply.
        ErrorMode::InBand => response.set_status(StatusCode::OK),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::handler::response::internal_error;

    fn reply(
        errors: ErrorMode,
        is_mounted: bool,
        body: &str,
        response: Response,
    ) -> (u16, Option<Value>) {
        let message = Message::of(&HeaderMap::new(), body.as_bytes());
        let reply = in_json_rpc(errors, is_mounted, &message, response);
        let body = serde_json::from_slice(reply.body().unwrap_or_default()).ok();
        (reply.status().as_u16(), body)
    }

    #[test]
    fn every_error_is_one_of_json_rpc() {
        let list = r#"{"jsonrpc":"2.0","method":"tools/list","id":"a"}"#;
        let wrong = || Response::text("Not Acceptable: no").with_status(406);
        for (errors, status) in [(ErrorMode::Http, 406), (ErrorMode::InBand, 200)] {
            let error = json!({
                "jsonrpc": "2.0",
                "id": "a",
                "error": { "code": -32000, "message": "Not Acceptable: no", "data": { "status": 406 } },
            });
            assert_eq!(reply(errors, false, list, wrong()), (status, Some(error)));
            let (_, unread) = reply(errors, false, "{", wrong());
            assert_eq!(unread.expect("a body")["error"]["code"], -32700);
        }
        // An error of the library's own, such as the answer to a panic.
        for is_mounted in [false, true] {
            let (status, body) = reply(ErrorMode::InBand, is_mounted, list, internal_error());
            let body = body.expect("a body");
            assert_eq!((status, &body["id"]), (200, &json!("a")));
            assert_eq!(body["error"]["data"]["status"], 500);
            let (status, body) = reply(ErrorMode::Http, is_mounted, list, internal_error());
            assert_eq!((status, &body.expect("a body")["id"]), (500, &json!("a")));
        }
    }

    #[test]
    fn a_session_that_has_ended_is_not_found_wherever_errors_are() {
        let list = r#"{"jsonrpc":"2.0","method":"tools/list","id":"a"}"#;
        for errors in [ErrorMode::Http, ErrorMode::InBand] {
            let gone = Response::text("Not Found: Session not found").with_status(404);
            let (status, body) = reply(errors, false, list, gone);
            let body = body.expect("a body");
            assert_eq!((status, &body["id"]), (404, &json!("a")));
            assert_eq!(body["error"]["message"], "Not Found: Session not found");
        }
        // That of a service that is mounted is the same.
        let gone = Response::text("Not Found: Session not found").with_status(404);
        let (status, body) = reply(ErrorMode::InBand, true, list, gone);
        assert_eq!((status, &body.expect("a body")["id"]), (404, &json!("a")));
    }

    #[test]
    fn errors_that_say_enough_are_left_alone() {
        let list = r#"{"jsonrpc":"2.0","method":"tools/list","id":1}"#;
        let login = || Response::text("who are you?").with_status(401);
        for errors in [ErrorMode::Http, ErrorMode::InBand] {
            assert_eq!(reply(errors, true, list, login()), (401, None));
        }
        let own =
            || json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "no" } });
        for (errors, status) in [(ErrorMode::Http, 404), (ErrorMode::InBand, 200)] {
            let response = Response::json(&own()).with_status(404);
            assert_eq!(reply(errors, false, list, response), (status, Some(own())));
        }
        let page = Response::text("gone").with_status(410);
        assert_eq!(reply(ErrorMode::Http, true, list, page), (410, None));
    }
}
